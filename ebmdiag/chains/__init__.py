"""Long and short runs of a model's chains: the table that samplers write and analyses read.

``runs/x/chains/NAME.parquet`` has a row for each chain and recorded draw; ``NAME.npz`` holds whole states
(:mod:`ebmdiag.chains.samples`); the folder ``NAME/`` holds parts, the state to resume from and pictures.
"""

from ebmdiag.chains.files import ChainFiles, chain_files
from ebmdiag.chains.metadata import ChainsMetadata
from ebmdiag.chains.samples import Samples, read_samples, write_samples
from ebmdiag.chains.schema import CHAIN_COLUMNS, ChainColumn
from ebmdiag.chains.table import Chains, Phase, read_chains
from ebmdiag.chains.writer import ChainWriter

__all__ = [
    "CHAIN_COLUMNS",
    "ChainColumn",
    "ChainFiles",
    "ChainWriter",
    "Chains",
    "ChainsMetadata",
    "Phase",
    "Samples",
    "chain_files",
    "read_chains",
    "read_samples",
    "write_samples",
]

"""The columns of a table of chains: one place that says what each means, from which the docs page is made.

A row is one chain at one recorded draw. U = F / T with T = ε²/2 as in a trace; the chains follow exp(-U / τ), where
τ is the temperature asked for (1 unless stated).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ebmdiag.chains.metadata import KEY, ChainsMetadata
from ebmdiag.errors import TraceError

PHASES = ("data", "short", "long")
PROJECTIONS = 4


@dataclass(frozen=True)
class ChainColumn:
    """One column; ``required`` ones hold a value in every row."""

    name: str
    kind: str
    unit: str
    meaning: str
    required: bool = False


CHAIN_COLUMNS: tuple[ChainColumn, ...] = (
    ChainColumn("phase", "string", "", "data (no chain at all), short (as in training) or long", True),
    ChainColumn("init", "string", "", "where the chains began: data, noise or bank", True),
    ChainColumn("chain", "int32", "1", "number of the chain in its phase, from 0", True),
    ChainColumn("start", "int32", "1", "chains of equal number began at the same state (a superchain)", True),
    ChainColumn("draw", "int64", "steps", "steps of the sampler since the start; 0 is the start itself", True),
    ChainColumn("energy", "float64", "U", "U at the state, at temperature 1", True),
    ChainColumn("grad_norm", "float64", "U per unit of x", "‖∇U‖ at the state, at temperature 1", True),
    ChainColumn("displacement", "float64", "unit of x", "distance from the start", True),
    ChainColumn("log_accept", "float64", "1", "mean log Metropolis ratio since the last recorded draw"),
    ChainColumn(
        "acceptance",
        "float64",
        "1",
        "mean of min(1, ratio) since the last recorded draw (of langevin on an engine: over the second half of each of "
        "its calls); what would be accepted, for an unadjusted sampler",
    ),
    ChainColumn("swaps", "float64", "1", "share of accepted swaps with the next temperature since the last draw"),
    *(
        ChainColumn(f"projection_{k}", "float64", "unit of x", "coordinate, or product with a random unit vector")
        for k in range(PROJECTIONS)
    ),
    ChainColumn("saturation", "float64", "1", "images: mean (max - min) / max over the colours of a pixel"),
    ChainColumn("colourfulness", "float64", "1", "images: Hasler and Süsstrunk 2003, on a scale of 0 to 255"),
    ChainColumn("salt_and_pepper", "float64", "1", "images: share of the spectral energy at the highest frequencies"),
    ChainColumn("outside", "float64", "1", "images: share of the values beyond [-1, 1]"),
)
"""In the order of the file."""

MEASURES = tuple(column.name for column in CHAIN_COLUMNS if column.kind == "float64")


def chains_schema(metadata: ChainsMetadata) -> pa.Schema:
    """All columns, each with unit and meaning in its field's metadata."""
    fields = [
        pa.field(
            column.name,
            pa.type_for_alias(column.kind),
            nullable=not column.required,
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in CHAIN_COLUMNS
    ]
    return pa.schema(fields, metadata={KEY: metadata.to_bytes()})


def check_chains_schema(schema: pa.Schema, where: str) -> ChainsMetadata:
    """Refuse a Parquet file that is no table of chains; what it says of itself.

    Raises:
        TraceError: no ``ebmdiag_chains`` metadata, a missing column, or one of the wrong type.
    """
    raw = (schema.metadata or {}).get(KEY)
    if raw is None:
        raise TraceError(f"{where} is no table of chains: it lacks the metadata 'ebmdiag_chains'.")
    for column in CHAIN_COLUMNS:
        if column.name not in schema.names:
            raise TraceError(f"{where}: the column '{column.name}' is missing.")
        kind = schema.field(column.name).type
        if kind != pa.type_for_alias(column.kind):
            raise TraceError(f"{where}: column '{column.name}' must be {column.kind}, but is {kind}.")
    return ChainsMetadata.from_bytes(raw, where)

"""Reading a table of chains, also one that is still being written: rows become arrays (chains, draws)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ebmdiag.arrow import floats, integers
from ebmdiag.chains.files import ChainFiles
from ebmdiag.chains.metadata import ChainsMetadata
from ebmdiag.chains.schema import MEASURES, check_chains_schema
from ebmdiag.errors import TraceError
from ebmdiag.locks import is_held
from ebmdiag.strangers import opened_parquet

Floats = NDArray[np.float64]
_ATTEMPTS = 20


@dataclass(frozen=True)
class Phase:
    """The chains of one phase, M of them with D recorded draws each.

    Attributes:
        name, init: data, short or long; and where the chains began.
        draws: steps since the start, shape (D,), increasing.
        starts: which chains began together, shape (M,).
        values: measure → shape (M, D); NaN where it was not measured.
    """

    name: str
    init: str
    draws: NDArray[np.int64]
    starts: NDArray[np.int64]
    values: Mapping[str, Floats]

    def has(self, measure: str) -> bool:
        """Whether any value of it was recorded."""
        return measure in self.values and bool(np.isfinite(self.values[measure]).any())


@dataclass(frozen=True)
class Chains:
    """One table of chains."""

    files: ChainFiles
    table: pa.Table
    metadata: ChainsMetadata

    @cached_property
    def phases(self) -> Mapping[str, Phase]:
        """By name; a phase without rows is absent.

        A last draw that lacks some chains is left out, unless the table says that it is finished.

        Raises:
            TraceError: a phase of several starts, or chains that were not recorded at the same draws.
        """
        names = pc.unique(self.table.column("phase")).to_pylist()
        return {name: self._phase(name) for name in names}

    def _phase(self, name: str) -> Phase:
        rows = self.table.filter(pc.equal(self.table.column("phase"), name))
        inits = pc.unique(rows.column("init")).to_pylist()
        if len(inits) > 1:
            raise TraceError(f"{self.files.table}: the phase '{name}' has several starts: {', '.join(inits)}.")
        chain, draw = (integers(rows.column(column).cast(pa.int64())) for column in ("chain", "draw"))
        count = int(chain.max()) + 1
        order = np.lexsort((chain, draw))
        cut = len(order) % count  # a part may end within a draw
        if count > len(order) or (cut and self.metadata.state == "finished"):
            raise TraceError(
                f"{self.files.table}: phase '{name}' has {len(order)} rows, which are no whole draws of {count} chains."
            )
        order = order[: len(order) - cut]
        grid = chain[order].reshape(-1, count)
        draws = draw[order].reshape(-1, count)
        if not (grid == np.arange(count)).all() or not (draws == draws[:, :1]).all():
            raise TraceError(f"{self.files.table}: the chains of phase '{name}' were not recorded at the same draws.")
        values = {measure: floats(rows.column(measure))[order].reshape(-1, count).T for measure in MEASURES}
        starts = integers(rows.column("start").cast(pa.int64()))[order][:count]
        return Phase(name, str(inits[0]), draws[:, 0], starts, values)


def read_chains(path: str | Path) -> Chains:
    """Read a table of chains, whatever the state of the run that writes it.

    Raises:
        TraceError: nothing is there, or it cannot be read as a table of chains.
        UsageError: the path does not end in ``.parquet``.
    """
    files = ChainFiles.of(path)
    for _ in range(_ATTEMPTS):
        paths = _sources(files)
        if not paths:
            raise TraceError(f"{files.table}: no such table of chains (and no parts of one in {files.parts}).")
        try:
            pieces = [read_chain_piece(piece) for piece in paths]
        except FileNotFoundError:  # parts were merged into the table between listing and reading
            continue
        if paths[:1] == _sources(files)[:1]:
            metadata = check_chains_schema(pieces[-1].schema, str(paths[-1]))
            if metadata.state == "running" and not is_held(files.lock):
                metadata = metadata.with_facts(state="interrupted", message="the process that ran these chains is gone")
            return Chains(files, pa.concat_tables([piece.replace_schema_metadata(None) for piece in pieces]), metadata)
    raise TraceError(f"{files.table} keeps changing while it is read; try again.")


def _sources(files: ChainFiles) -> list[Path]:
    """The table, or else its parts: parts beside a table are in it already."""
    return [files.table] if files.table.exists() else files.part_paths()


def chain_groups(path: Path) -> Iterator[tuple[int, pa.Table]]:
    """A table piece by piece, each with the number of its first row: never all of it in memory.

    Raises:
        TraceError: it cannot be read as a table of chains.
    """
    first = 0
    with opened_parquet(path) as file:
        check_chains_schema(file.schema_arrow, str(path))
        for place in range(file.num_row_groups):
            group = file.read_row_group(place)
            yield first, group
            first += len(group)


def read_chain_piece(path: Path) -> pa.Table:
    """One Parquet file of chains, checked.

    Raises:
        TraceError: truncated, foreign, or without a needed column or value.
        FileNotFoundError: it is not there (any more).
    """
    with opened_parquet(path) as file:
        check_chains_schema(file.schema_arrow, str(path))
        table = file.read()
    for name in ("phase", "init", "chain", "start", "draw", "energy"):
        if table.column(name).null_count:
            raise TraceError(f"{path}: column '{name}' has missing values; every row needs one.")
    if table.num_rows and (pc.min(table.column("chain")).as_py() < 0 or pc.min(table.column("draw")).as_py() < 0):
        raise TraceError(f"{path}: the columns chain and draw count from 0, but hold negative numbers.")
    return table

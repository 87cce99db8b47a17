"""Reading a trace: finished, still being written, or left behind by a killed process.

A run's rows lie in the trace file and, while the run lives, in parts beside it (``x/trace/part-*.parquet``).
Rows are joined in the order of their steps; a part whose steps the trace file holds already is skipped,
since a killed process may leave both behind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ebmdiag.arrow import floats, integers
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.locks import is_held
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import nearest
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import check_schema, metadata_of
from ebmdiag.strangers import opened_parquet

if TYPE_CHECKING:
    import pandas as pd

_ATTEMPTS = 20


@dataclass(frozen=True)
class Trace:
    """Rows of one run, by column, and what the run says of itself."""

    path: Path
    table: pa.Table
    metadata: TraceMetadata

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def steps(self) -> NDArray[np.int64]:
        """Iteration numbers, shape (rows,)."""
        return integers(self.table.column("step"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that hold at least one value."""
        return tuple(name for name in self.table.column_names if self.table.column(name).null_count < len(self))

    def series(self, column: str) -> NDArray[np.float64]:
        """One column as float64, shape (rows,), every value finite.

        Raises:
            UsageError: there is no such column.
            TraceError: it holds no values, a gap, or a value that is not finite.
        """
        values = self._values(column)
        self._refuse_gaps(column, values)
        return values

    def measured(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and values, each of shape (measured rows,), of the rows that hold a value.

        For columns that are measured now and then, or undefined at times.

        Raises:
            UsageError: there is no such column.
            TraceError: it holds no values, or one that is not finite.
        """
        values, present = self._values(column), self._present(column)
        if not np.isfinite(values[present]).all():
            self._refuse_gaps(column, values)
        return self.steps[present], values[present]

    def _values(self, column: str) -> NDArray[np.float64]:
        """Values of a column that has some, NaN where there is none."""
        if column not in self.table.column_names:
            raise UsageError(
                f"{self.path}: no column '{column}'{nearest(column, self.columns)} It has: {', '.join(self.columns)}."
            )
        chunked = self.table.column(column)
        if len(self) and chunked.null_count == len(self):
            raise TraceError(f"{self.path}: column '{column}' is empty; it has values in: {', '.join(self.columns)}.")
        return floats(chunked)

    def _present(self, column: str) -> NDArray[np.bool_]:
        return floats(self.table.column(column).is_valid().cast("float64")) > 0

    def _refuse_gaps(self, column: str, values: NDArray[np.float64]) -> None:
        bad = ~np.isfinite(values)
        if not bad.any():
            return
        present = self._present(column)
        first = int(np.argmax(bad))
        if np.isfinite(values[present]).all():
            raise TraceError(
                f"{self.path}, column '{column}': only {int(present.sum())} of {len(values)} rows hold a value (the "
                f"first gap is at step {int(self.steps[first])}); 'ebmdiag summary' takes such a column, an "
                "analysis of every iteration does not (or choose rows without gaps with --from and --until)."
            )
        step = int(self.steps[first])
        what = "missing" if self.table.column(column)[first].as_py() is None else str(values[first])
        raise TraceError(
            f"{self.path}, column '{column}': {int(bad.sum())} of {len(values)} values are not finite "
            f"(the first, {what}, at step {step}); choose rows without them with --from and --until."
        )

    def between(self, first: int | None = None, last: int | None = None) -> Trace:
        """The rows of steps ``first`` to ``last``, both included; None leaves an end open.

        Raises:
            UsageError: no row is left.
        """
        steps = self.steps
        low = 0 if first is None else int(np.searchsorted(steps, first, side="left"))
        high = len(steps) if last is None else int(np.searchsorted(steps, last, side="right"))
        if high <= low:
            span = f"{steps[0]} to {steps[-1]}" if len(steps) else "no rows"
            wanted = " and ".join(
                [f"from step {first} on"] * (first is not None) + [f"up to step {last}"] * (last is not None)
            )
            raise UsageError(f"{self.path}: no row {wanted}; the trace holds {span}.")
        return replace(self, table=self.table.slice(low, high - low))

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def read_trace(path: str | Path, columns: list[str] | None = None) -> Trace:
    """Read a trace, whatever the state of its run.

    Args:
        path: the trace file, or the run's folder beside it. A run that is still alive (or was killed) has
            its rows in parts; they are found from the same path.
        columns: read only these (and ``step``); unknown ones are left to :meth:`Trace.series` to name.

    Raises:
        TraceError: nothing is there, or it cannot be read as a trace.
    """
    run = RunFolder.of(path)
    for _ in range(_ATTEMPTS):
        before = _signature(run)
        try:
            pieces = _read_pieces(run, columns)
        except FileNotFoundError:  # a part was compacted away between listing and reading
            continue
        if before == _signature(run):
            return _join(run, pieces)
    raise TraceError(f"{run.trace} keeps changing while it is read; try again.")


def _signature(run: RunFolder) -> tuple[object, ...]:
    """Changes whenever the trace file is replaced: then parts may have gone into it."""
    try:
        stat = run.trace.stat()
    except OSError:
        return ()
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _read_pieces(run: RunFolder, columns: list[str] | None) -> list[pa.Table]:
    paths = part_paths(run)
    if run.trace.exists():
        paths.insert(0, run.trace)
    if not paths:
        raise TraceError(f"{run.trace}: no such trace (and no parts of one in {run.parts}).")
    return [read_piece(path, columns) for path in paths]


def part_paths(run: RunFolder) -> list[Path]:
    """The parts of a run, oldest first."""
    return sorted(run.parts.glob("part-*.parquet"))


def read_piece(path: Path, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file of a trace, checked against the contract.

    Raises:
        TraceError: empty, truncated, foreign, or without a needed column.
        FileNotFoundError: it is not there (any more).
    """
    if path.is_file() and path.stat().st_size == 0:
        raise TraceError(f"{path} is empty (0 bytes), not a trace.")
    with opened_parquet(path) as file:
        schema = file.schema_arrow
        check_schema(schema, str(path))
        wanted = None if columns is None else [n for n in schema.names if n == "step" or n in columns]
        table = file.read(columns=wanted)
    missing = table.column("step").null_count
    if missing:
        raise TraceError(f"{path}: column 'step' has {missing} missing values; every row needs its step.")
    return table


def _join(run: RunFolder, pieces: list[pa.Table]) -> Trace:
    kept: list[pa.Table] = []
    last: int | None = None
    newest = pieces[0]  # a part that adds no row was left behind by a kill after it had been merged
    for piece in pieces:
        fresh = rows_after(piece, last)
        kept.append(fresh)
        if fresh.num_rows:
            last = int(fresh.column("step")[-1].as_py())
            newest = piece
    metadata = metadata_of(newest.schema, str(run.trace))
    if metadata.state == "running" and not is_held(run.lock):
        metadata = metadata.with_state("interrupted", "the process that wrote this run is gone")
    table = pa.concat_tables([piece.replace_schema_metadata(None) for piece in kept], promote_options="default")
    _refuse_disorder(run.trace, table)
    return Trace(run.trace, table, metadata)


def rows_after(piece: pa.Table, step: int | None) -> pa.Table:
    """The rows of later steps than ``step`` (all, if None)."""
    if step is None or not piece.num_rows:
        return piece
    steps = integers(piece.column("step"))
    return piece.slice(int(np.searchsorted(steps, step, side="right")))


def _refuse_disorder(path: Path, table: pa.Table) -> None:
    steps = integers(table.column("step"))
    wrong = np.flatnonzero(steps[1:] <= steps[:-1])
    if len(wrong):
        row = int(wrong[0])
        raise TraceError(
            f"{path}: steps must increase, but row {row + 2} has step {steps[row + 1]} after step {steps[row]}."
        )

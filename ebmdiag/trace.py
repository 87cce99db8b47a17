"""Reading a trace: finished, still being written, or left behind by a killed process.

A run's rows lie in the trace file and, while the run lives, in parts beside it (``x/trace/part-*.parquet``).
Rows are joined in the order of their steps; a part whose steps the trace file holds already is skipped,
since a killed process may leave both behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ebmdiag.columns import Column, Floats, Rows, Steps, TableRows, listed
from ebmdiag.errors import TraceError, UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import nearest
from ebmdiag.pieces import part_paths as part_paths
from ebmdiag.pieces import read_piece as read_piece
from ebmdiag.pieces import rows_after as rows_after
from ebmdiag.runfolder import RunFolder
from ebmdiag.stored import StoredRows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """Rows of one run, by column, and what the run says of itself.

    Of :func:`read_trace` all columns lie in memory. Of :func:`open_trace` they stay in the file: each is read when it
    is asked for, and again when it is asked for again; ``table`` reads them all and keeps them.

    Attributes:
        path: of the trace file.
        rows: where the columns come from; an Arrow table may be given.
        metadata: what the run says of itself.
    """

    path: Path
    rows: Rows
    metadata: TraceMetadata

    def __post_init__(self) -> None:
        if isinstance(self.rows, pa.Table):
            object.__setattr__(self, "rows", TableRows(self.rows))

    def __len__(self) -> int:
        return len(self.rows.steps)

    def __repr__(self) -> str:
        return f"Trace({str(self.path)!r}, {len(self)} rows, {self.metadata.state})"

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def table(self) -> pa.Table:
        """All columns, in memory from then on."""
        return self.rows.table

    @property
    def steps(self) -> Steps:
        """Iteration numbers, shape (rows,); shared by all who ask, so not to be written to."""
        return self.rows.steps

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, those without a value too."""
        return self.rows.names

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that hold at least one value."""
        held = self.rows.filled
        return tuple(name for name in self.names if name in held)

    def series(self, column: str) -> Floats:
        """One column as float64, shape (rows,), every value finite.

        Raises:
            UsageError: there is no such column.
            TraceError: it holds no values, a gap, or a value that is not finite.
        """
        found = self._column(column)
        if not np.isfinite(found.values).all():
            self._refuse_gaps(column, found)
        return found.values

    def measured(self, column: str) -> tuple[Steps, Floats]:
        """Steps and values, each of shape (measured rows,), of the rows that hold a value.

        For columns that are measured now and then, or undefined at times.

        Raises:
            UsageError: there is no such column.
            TraceError: it holds no values, or one that is not finite.
        """
        found = self._column(column)
        steps, values = self.steps, found.values
        if found.present is not None:
            steps, values = steps[found.present], values[found.present]
        if not np.isfinite(values).all():
            self._refuse_gaps(column, found)
        return steps, values

    def values(self, column: str) -> Floats:
        """One column as it is: float64, shape (rows,), NaN where there is no value.

        Raises:
            UsageError: there is no such column.
            TraceError: it holds no values.
        """
        return self._column(column).values

    def _column(self, name: str) -> Column:
        """A column that has values."""
        if name not in self.names:
            raise UsageError(
                f"{self.path}: no column '{name}'{nearest(name, self.columns)} It has: {listed(self.columns)}."
            )
        found = self.rows.column(name)
        if len(self) and not found.count:
            raise TraceError(f"{self.path}: column '{name}' is empty; it has values in: {listed(self.columns)}.")
        return found

    def _refuse_gaps(self, column: str, found: Column) -> None:
        """Raise what is wrong with a column that has a value which is absent or not finite."""
        values, finite = found.values, np.isfinite(found.values)
        present = np.ones(len(values), dtype=np.bool_) if found.present is None else found.present
        first = int(np.argmin(finite))
        step = int(self.steps[first])
        if finite[present].all():
            raise TraceError(
                f"{self.path}, column '{column}': only {int(present.sum())} of {len(values)} rows hold a value (the "
                f"first gap is at step {step}); 'ebmdiag summary' takes such a column, an "
                "analysis of every iteration does not (or choose rows without gaps with --from and --until)."
            )
        what = str(values[first]) if present[first] else "missing"
        raise TraceError(
            f"{self.path}, column '{column}': {int((~finite).sum())} of {len(values)} values are not finite "
            f"(the first, {what}, at step {step}); choose rows without them with --from and --until."
        )

    def between(self, first: int | None = None, last: int | None = None) -> Trace:
        """The rows of steps ``first`` to ``last``, both included; None leaves an end open.

        Raises:
            UsageError: no row is left.
        """
        found, steps = self.within(first, last), self.steps
        if not len(found):
            span = f"{steps[0]} to {steps[-1]}" if len(steps) else "no rows"
            wanted = " and ".join(
                [f"from step {first} on"] * (first is not None) + [f"up to step {last}"] * (last is not None)
            )
            raise UsageError(f"{self.path}: no row {wanted}; the trace holds {span}.")
        return found

    def within(self, first: int | None = None, last: int | None = None) -> Trace:
        """The same, for who can do with no row at all."""
        steps = self.steps
        low = 0 if first is None else int(np.searchsorted(steps, first, side="left"))
        high = len(steps) if last is None else int(np.searchsorted(steps, last, side="right"))
        return self._of(self.rows.slice(low, max(low, high)))

    def latest(self, rows: int) -> Trace:
        """The last ``rows`` rows; all, if there are not so many."""
        return self._of(self.rows.slice(max(0, len(self) - rows), len(self)))

    def only(self, columns: Iterable[str]) -> Trace:
        """The same rows with these columns and ``step`` only; unknown names are left to :meth:`series` to name."""
        return self._of(self.rows.only({"step", *columns}))

    def _of(self, rows: Rows) -> Trace:
        return replace(self, rows=rows)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def read_trace(path: str | Path, columns: list[str] | None = None) -> Trace:
    """Read a trace into memory, whatever the state of its run.

    Args:
        path: the trace file, or the run's folder beside it. A run that is still alive (or was killed) has
            its rows in parts; they are found from the same path.
        columns: read only these (and ``step``); unknown ones are left to :meth:`Trace.series` to name.

    Raises:
        TraceError: nothing is there, or it cannot be read as a trace.
    """
    rows = StoredRows.of(RunFolder.of(path))
    table = (rows if columns is None else rows.only({"step", *columns})).last_table()
    return Trace(rows.store.run.trace, table, rows.store.metadata)


def open_trace(path: str | Path) -> Trace:
    """A trace whose columns are read when they are asked for: a long one never lies in memory as a whole.

    The rows are those that are there now, also for a column that is read later, when the run has grown and its parts
    have been merged. A column that cannot be read is refused when it is asked for.

    Args:
        path: as of :func:`read_trace`.

    Raises:
        TraceError: nothing is there, it cannot be read as a trace, or (later) its rows have been replaced by others.
    """
    rows = StoredRows.of(RunFolder.of(path))
    return Trace(rows.store.run.trace, rows, rows.store.metadata)

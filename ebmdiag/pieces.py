"""The Parquet files that a trace is made of, one by one: the trace file, and the parts of a run that is alive.

A column is read in batches into its place, so that no second copy of it lies beside it. What is null is told by reading
it, which takes a hundredth of a second for a million rows: the statistics that a file carries may be a stranger's, and
pyarrow aborts the whole process over damaged ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ebmdiag.arrow import floats, integers, validity
from ebmdiag.columns import Column, Steps
from ebmdiag.errors import TraceError
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import check_schema
from ebmdiag.strangers import opened_parquet

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BATCH = 250_000  # rows
_TOGETHER = 5_000_000  # values of several columns that are read in one go

Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Piece:
    """One file as it was when it was looked at.

    Attributes:
        signature: changes when the file is replaced.
        table: all that a small file holds; None where it is to be read when it is asked for.
    """

    path: Path
    signature: Signature
    schema: pa.Schema = field(repr=False)
    rows: int
    table: pa.Table | None = field(repr=False)

    def is_readable(self) -> bool:
        """Whether what was looked at can still be had."""
        return self.table is not None or signature(self.path) == self.signature


def part_paths(run: RunFolder) -> list[Path]:
    """The parts of a run, oldest first."""
    return sorted(run.parts.glob("part-*.parquet"))


def signature(path: Path) -> Signature | None:
    """Changes whenever the file is replaced; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def read_piece(path: Path, columns: list[str] | None = None) -> pa.Table:
    """One Parquet file of a trace, checked against the contract.

    Raises:
        TraceError: empty, truncated, foreign, or without a needed column.
        FileNotFoundError: it is not there (any more).
    """
    with _checked(path) as file:
        names = file.schema_arrow.names
        table = file.read(columns=None if columns is None else [n for n in names if n == "step" or n in columns])
    _refuse_missing_steps(path, table.column("step"))
    return table


def look(path: Path, keep: int = 0) -> tuple[Piece, Steps]:
    """What a file holds, checked against the contract, and its steps; the other columns too if it has few rows.

    Args:
        path: of the file.
        keep: how many rows are few.

    Raises:
        TraceError: as of :func:`read_piece`.
        FileNotFoundError: it is not there (any more).
    """
    found = signature(path)
    if found is None:
        raise FileNotFoundError(path)
    with _checked(path) as file:
        schema = file.schema_arrow
        steps = file.read(columns=["step"]).column("step")
        table = file.read() if len(steps) <= keep else None
    _refuse_missing_steps(path, steps)
    return Piece(path, found, schema, len(steps), table), integers(steps)


def rows_after(piece: pa.Table, step: int | None) -> pa.Table:
    """The rows of later steps than ``step`` (all, if None)."""
    if step is None or not piece.num_rows:
        return piece
    steps = integers(piece.column("step"))
    return piece.slice(int(np.searchsorted(steps, step, side="right")))


def read_into(column: Column, piece: Piece, name: str, first: int) -> None:
    """Fill a column with the rows of a piece from ``first`` on; it has a mask, and NaN where there is no value.

    Raises:
        TraceError: the file cannot be read.
        FileNotFoundError: it is not there (any more).
    """
    for begin, values in _batches(piece, name):
        low, high = max(first - begin, 0), min(first + len(column.values) - begin, len(values))
        if low < high and values.null_count < len(values):
            chunk, here = values.slice(low, high - low), slice(begin + low - first, begin + high - first)
            column.values[here] = floats(chunk)
            if column.present is not None:
                column.present[here] = validity(chunk)


def has_value(piece: Piece, name: str, first: int, last: int) -> bool:
    """Whether a row from ``first`` up to ``last`` holds a value of a column; read up to the first one.

    Raises:
        TraceError: the file cannot be read.
        FileNotFoundError: it is not there (any more).
    """
    with closing(_batches(piece, name)) as batches:
        for begin, values in batches:
            low, high = max(first - begin, 0), min(last - begin, len(values))
            if low < high and values.slice(low, high - low).null_count < high - low:
                return True
    return False


def read_columns(piece: Piece, names: list[str]) -> pa.Table:
    """Columns of a piece that has them, in this order; those without a value share one buffer.

    Raises:
        TraceError: the file cannot be read.
        FileNotFoundError: it is not there (any more).
    """
    if piece.table is not None:
        return piece.table.select(names).replace_schema_metadata(None)
    shared: dict[pa.DataType, pa.ChunkedArray] = {}
    arrays: list[pa.ChunkedArray] = []
    together = max(1, _TOGETHER // max(piece.rows, 1))
    with opened_parquet(piece.path) as file:
        for place in range(0, len(names), together):
            table = file.read(columns=names[place : place + together])
            for name in names[place : place + together]:
                _refuse_other(name in table.column_names and table.num_rows == piece.rows)
                column = table.column(name)
                arrays.append(shared.setdefault(column.type, column) if column.null_count == piece.rows else column)
    return pa.Table.from_arrays(arrays, schema=pa.schema([piece.schema.field(name) for name in names]))


@contextmanager
def _checked(path: Path) -> Iterator[pq.ParquetFile]:
    if path.is_file() and path.stat().st_size == 0:
        raise TraceError(f"{path} is empty (0 bytes), not a trace.")
    with opened_parquet(path) as file:
        check_schema(file.schema_arrow, str(path))
        yield file


def _refuse_missing_steps(path: Path, steps: pa.ChunkedArray) -> None:
    if steps.null_count:
        raise TraceError(f"{path}: column 'step' has {steps.null_count} missing values; every row needs its step.")


def _batches(piece: Piece, name: str) -> Generator[tuple[int, pa.Array], None, None]:
    """First row and values of each batch of a column."""
    begin = 0
    for values in _values(piece, name) if piece.table is None else piece.table.column(name).chunks:
        yield begin, values
        begin += len(values)


def _values(piece: Piece, name: str) -> Iterator[pa.Array]:
    rows = 0
    with opened_parquet(piece.path) as file:
        for batch in file.iter_batches(_BATCH, columns=[name]):
            _refuse_other(name in batch.schema.names)
            rows += batch.num_rows
            yield batch.column(0)
        _refuse_other(rows == piece.rows)


def _refuse_other(same: bool) -> None:
    if not same:
        raise ValueError("not the rows and columns that were there at first")

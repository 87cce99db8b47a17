"""The Parquet files that a trace is made of, one by one: the trace file, and the parts of a run that is alive.

A column is read in batches into its place, so that no second copy of it lies beside it. What is null is told by reading
it, which takes a hundredth of a second for a million rows: the statistics that a file carries may be a stranger's, and
pyarrow aborts the whole process over damaged ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
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
_GLANCE = 100_000  # the same, where only what is there is looked for

Signature = tuple[int, int, int]


@dataclass(frozen=True)
class Piece:
    """One file as it was when it was looked at.

    Attributes:
        path: where it lies, whatever the working directory is by now.
        shown: its path as the user gave it.
        signature: changes when the file is replaced.
        table: all that a small file holds; None where it is to be read when it is asked for.
    """

    path: Path
    shown: Path
    signature: Signature
    schema: pa.Schema = field(repr=False)
    rows: int
    table: pa.Table | None = field(repr=False)

    @cached_property
    def names(self) -> frozenset[str]:
        """Its columns; the schema makes a new list whenever it is asked."""
        return frozenset(self.schema.names)

    def is_readable(self) -> bool:
        """Whether what was looked at can still be had."""
        return self.table is not None or signature(self.path) == self.signature


def part_paths(run: RunFolder) -> list[Path]:
    """The parts of a run, oldest first.

    Raises:
        TraceError: their folder cannot be looked into.
    """
    try:
        names = sorted(path.name for path in run.parts.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise TraceError(
            f"{run.parts}, where a run keeps its latest rows, cannot be read ({error.strerror}); allow reading it."
        ) from error
    return [run.parts / name for name in names if name.startswith("part-") and name.endswith(".parquet")]


def signature(path: Path) -> Signature | None:
    """Changes whenever the file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def read_piece(path: Path) -> pa.Table:
    """One Parquet file of a trace, checked against the contract.

    Raises:
        TraceError: empty, truncated, foreign, or without a needed column.
        FileNotFoundError: it is not there (any more).
    """
    with _checked(path, path) as file:
        table = file.read()
    _refuse_missing_steps(path, table.column("step"))
    return table


def look(path: Path, shown: Path, keep: int = 0) -> tuple[Piece, Steps]:
    """What a file holds, checked against the contract, and its steps; the other columns too if it is small.

    Args:
        path: of the file.
        shown: how to name it in a complaint.
        keep: how many values are few, gaps counted.

    Raises:
        TraceError: as of :func:`read_piece`.
        FileNotFoundError: it is not there (any more).
    """
    found = signature(path)
    if found is None:
        if path.is_symlink():
            raise TraceError(f"{shown} is a link to a file that is not there; bring it back or delete the link.")
        raise FileNotFoundError(path)
    with _checked(path, shown) as file:
        schema = file.schema_arrow
        steps = file.read(columns=["step"]).column("step")
        table = file.read() if len(steps) * len(schema) <= keep else None
    _refuse_missing_steps(shown, steps)
    return Piece(path, shown, found, schema, len(steps), table), integers(steps)


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
    with _columns(piece, name) as batches:
        for begin, values in batches:
            low, high = max(first - begin, 0), min(first + len(column.values) - begin, len(values))
            if low < high and values.null_count < len(values):
                chunk, here = values.slice(low, high - low), slice(begin + low - first, begin + high - first)
                column.values[here] = floats(chunk)
                if column.present is not None:
                    column.present[here] = validity(chunk)


def filled(piece: Piece, names: Iterable[str], first: int, last: int) -> set[str]:
    """Which of these columns, those that it has, hold a value in a row from ``first`` up to ``last``.

    Read in one opening, and of each column as far as its first value.

    Raises:
        TraceError: the file cannot be read.
        FileNotFoundError: it is not there (any more).
    """
    wanted = [name for name in names if name in piece.names]
    if piece.table is not None:
        rows = piece.table.slice(first, last - first)
        return {name for name in wanted if rows.column(name).null_count < rows.num_rows}
    with opened_parquet(piece.path, piece.shown) as file:
        found, seen = _filled_at_once(file, piece, wanted, first, last)
        left = [name for name in wanted if name not in found] if seen < piece.rows else []
        return found | {name for name in left if _has_value(file, piece, name, first, last)}


def _filled_at_once(
    file: pq.ParquetFile, piece: Piece, names: list[str], first: int, last: int
) -> tuple[set[str], int]:
    """Those with a value in the first batch, several columns at a time, and how many rows of the file that is."""
    found: set[str] = set()
    seen = piece.rows
    together = max(1, _GLANCE // max(1, min(piece.rows, _BATCH)))
    for place in range(0, len(names), together):
        for batch in islice(file.iter_batches(_BATCH, columns=names[place : place + together]), 1):
            rows = batch.slice(first, max(0, last - first))
            found |= {name for name in rows.schema.names if rows.column(name).null_count < rows.num_rows}
            seen = min(seen, batch.num_rows)
    return found, seen


def _has_value(file: pq.ParquetFile, piece: Piece, name: str, first: int, last: int) -> bool:
    for begin, values in _batches(file, piece, name):
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
    with opened_parquet(piece.path, piece.shown) as file:
        for place in range(0, len(names), together):
            table = file.read(columns=names[place : place + together])
            for name in names[place : place + together]:
                _refuse_other(name in table.column_names and table.num_rows == piece.rows)
                column = table.column(name)
                arrays.append(shared.setdefault(column.type, column) if column.null_count == piece.rows else column)
    return pa.Table.from_arrays(arrays, schema=pa.schema([piece.schema.field(name) for name in names]))


@contextmanager
def _checked(path: Path, shown: Path) -> Iterator[pq.ParquetFile]:
    if path.is_file() and path.stat().st_size == 0:
        raise TraceError(f"{shown} is empty (0 bytes), not a trace.")
    with opened_parquet(path, shown) as file:
        check_schema(file.schema_arrow, str(shown))
        yield file


def _refuse_missing_steps(path: Path, steps: pa.ChunkedArray) -> None:
    if steps.null_count:
        raise TraceError(f"{path}: column 'step' has {steps.null_count} missing values; every row needs its step.")


@contextmanager
def _columns(piece: Piece, name: str) -> Iterator[Iterator[tuple[int, pa.Array]]]:
    """First row and values of each batch of a column, wherever it lies."""
    if piece.table is not None:
        yield _counted(piece.table.column(name).chunks)
        return
    with opened_parquet(piece.path, piece.shown) as file:
        yield _batches(file, piece, name)


def _counted(chunks: Iterable[pa.Array]) -> Iterator[tuple[int, pa.Array]]:
    begin = 0
    for values in chunks:
        yield begin, values
        begin += len(values)


def _batches(file: pq.ParquetFile, piece: Piece, name: str) -> Iterator[tuple[int, pa.Array]]:
    rows = 0
    for batch in file.iter_batches(_BATCH, columns=[name]):
        _refuse_other(name in batch.schema.names)
        yield rows, batch.column(0)
        rows += batch.num_rows
    _refuse_other(rows == piece.rows)


def _refuse_other(same: bool) -> None:
    if not same:
        raise ValueError("not the rows and columns that were there at first")

"""Rows that stay in their files until a column is asked for, and one column at a time.

A run that is alive writes on, and merges its parts into the trace file. The rows that were seen at first are kept to:
where a file has been replaced, they are looked for again. The run must say the same of itself, have the same steps, and
every column that was handed out must still hold what was handed out, by its digest (BLAKE2b): so all that one trace has
ever said belongs to one history, whoever wrote the file and however. No file is held open, so nothing keeps a writer
from replacing it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from ebmdiag.columns import Column, Steps, TableRows, clamped, refuse_unknown
from ebmdiag.errors import TraceError
from ebmdiag.layout import ATTEMPTS, find_layout
from ebmdiag.metadata import TraceMetadata
from ebmdiag.pieces import Piece, filled, read_columns, read_into
from ebmdiag.runfolder import RunFolder

T = TypeVar("T")


class TraceChanged(TraceError):
    """The rows that were seen at first are gone: what was read of them does not go with what is there now."""


class Store:
    """The rows of a run as they were at first, wherever they lie by now."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._place = RunFolder(run.trace.absolute())  # the working directory may change
        self.layout = find_layout(run, self._place)
        self.metadata, self.names, self.steps = self.layout.metadata, self.layout.names, self.layout.steps
        self._filled: dict[tuple[int, int], frozenset[str]] = {}
        self._said: dict[tuple[str, int, int], bytes] = {}  # digests of what was handed out
        self._earlier = 0  # rows of the layout before those seen at first
        self._is_compared = True

    def column(self, name: str, low: int, high: int) -> Column:
        """Rows ``low`` to ``high`` of a column."""
        column = self._unchanged(lambda: self._column(name, low, high))
        self._remember(name, low, high, column)
        return Column(column.values) if column.count == high - low else column

    def table(self, names: Iterable[str], low: int, high: int, *, remember: bool = True) -> pa.Table:
        """Rows ``low`` to ``high`` of several columns at once; not remembered where nothing will be read after it."""
        wanted = list(names)
        table = self._unchanged(lambda: self._table(wanted)).slice(low + self._earlier, high - low)
        for name in wanted if remember else ():
            self._remember(name, low, high, TableRows(table).column(name))
        return table

    def filled(self, low: int, high: int) -> frozenset[str]:
        """The columns with a value in rows ``low`` to ``high``."""
        if (low, high) not in self._filled:
            self._filled[low, high] = self._unchanged(lambda: self._find_filled(low, high))
        return self._filled[low, high]

    def _find_filled(self, low: int, high: int) -> frozenset[str]:
        found: set[str] = set()
        for piece, first, last, _ in self._overlaps(low, high):
            found |= filled(piece, [name for name in self.names if name not in found], first, last)
        return frozenset(found)

    def _column(self, name: str, low: int, high: int) -> Column:
        rows = high - low
        whole = Column(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
        for piece, first, last, place in self._overlaps(low, high):
            if name in piece.names and whole.present is not None:
                here = slice(place, place + last - first)
                read_into(Column(whole.values[here], whole.present[here]), piece, name, first)
        return whole

    def _table(self, names: list[str]) -> pa.Table:
        tables = [
            read_columns(piece, [name for name in names if name in piece.names]).slice(start)
            for piece, start in zip(self.layout.pieces, self.layout.starts, strict=True)
        ]
        return pa.concat_tables(tables, promote_options="default").select(names)

    def _overlaps(self, low: int, high: int) -> list[tuple[Piece, int, int, int]]:
        """Pieces with rows from ``low`` up to ``high``: first and last row within the piece, place of the first."""
        found, before = [], -self._earlier
        for piece, start in zip(self.layout.pieces, self.layout.starts, strict=True):
            rows = piece.rows - start
            first, last = max(low, before), min(high, before + rows)
            if first < last:
                found.append((piece, first - before + start, last - before + start, first - low))
            before += rows
        return found

    def _unchanged(self, read: Callable[[], T]) -> T:
        """What is read while no file is replaced.

        Raises:
            TraceError: a file cannot be read.
            TraceChanged: other rows have taken the place of those seen at first.
        """
        for _ in range(ATTEMPTS):
            try:
                if not self._is_compared:
                    self._compare()
                found = read()
            except (FileNotFoundError, TraceError):
                if self._is_readable():
                    raise
            else:
                if self._is_readable():
                    self._is_compared = True
                    return found
            self._find_again()
        raise TraceChanged(f"{self.run.trace} keeps changing while it is read; try again.")

    def _is_readable(self) -> bool:
        return all(piece.is_readable() for piece in self.layout.pieces)

    def _find_again(self) -> None:
        try:
            fresh = find_layout(self.run, self._place)
        except TraceError as error:
            raise TraceChanged(str(error)) from error
        first = int(np.searchsorted(fresh.steps, self.steps[0])) if len(self.steps) else 0
        same = np.array_equal(fresh.steps[first : first + len(self.steps)], self.steps)
        if not (same and _identity(fresh.metadata) == _identity(self.metadata) and set(self.names) <= set(fresh.names)):
            raise self._changed()
        self.layout, self._earlier, self._is_compared = fresh, first, False

    def _compare(self) -> None:
        """Hold what is there now against all that was handed out.

        Raises:
            TraceChanged: something of it is not there any more.
        """
        columns = all(_digest(self._column(*key)) == digest for key, digest in self._said.items())
        if not columns or any(self._find_filled(*key) != names for key, names in self._filled.items()):
            raise self._changed()

    def _remember(self, name: str, low: int, high: int, column: Column) -> None:
        if name != "step" and (name, low, high) not in self._said:
            self._said[name, low, high] = _digest(column)

    def _changed(self) -> TraceChanged:
        return TraceChanged(f"{self.run.trace} was written anew while it was read; try again.")


def _identity(metadata: TraceMetadata) -> TraceMetadata:
    """What a run says of itself as long as it is the same run."""
    return metadata.with_state("running")


def _digest(column: Column) -> bytes:
    """Of values and of where they are; two columns are told apart by it."""
    digest = hashlib.blake2b(column.values.data, digest_size=16)
    if column.present is not None and not column.present.all():
        digest.update(np.packbits(column.present).data)
    return digest.digest()


@dataclass(frozen=True)
class StoredRows:
    """Some rows and columns of a store."""

    store: Store
    names: tuple[str, ...]
    low: int
    high: int

    @classmethod
    def of(cls, run: RunFolder) -> StoredRows:
        """All rows of a run, as they are now.

        Raises:
            TraceError: nothing is there, or it cannot be read as a trace.
        """
        store = Store(run)
        return cls(store, store.names, 0, len(store.steps))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    @property
    def steps(self) -> Steps:
        """Iteration numbers, shape (rows,)."""
        return self.store.steps[self.low : self.high]

    @cached_property
    def table(self) -> pa.Table:
        """All columns at once; kept, once they were asked for."""
        return self.store.table(self.names, self.low, self.high)

    def last_table(self) -> pa.Table:
        """The same, for who will read nothing after it."""
        return self.store.table(self.names, self.low, self.high, remember=False)

    @cached_property
    def filled(self) -> frozenset[str]:
        """The columns that hold a value; each read as far as its first one, once."""
        return self.store.filled(self.low, self.high) & self._known

    def column(self, name: str) -> Column:
        """One column; read anew each time."""
        refuse_unknown(name, self._known)
        return self.store.column(name, self.low, self.high)

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value; all columns are looked at in one go."""
        refuse_unknown(name, self._known)
        return name not in self.filled

    def slice(self, low: int, high: int) -> StoredRows:
        """Some rows."""
        low, high = clamped(low, high, self.high - self.low)
        return StoredRows(self.store, self.names, self.low + low, self.low + high)

    def only(self, names: Iterable[str]) -> StoredRows:
        """Some columns."""
        wanted = set(names)
        return StoredRows(self.store, tuple(name for name in self.names if name in wanted), self.low, self.high)

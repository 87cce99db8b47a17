"""Rows that stay in their files until a column is asked for, and one column at a time.

A run that is alive writes on, and merges its parts into the trace file. The rows that were seen at first are kept to:
where a file has been replaced, they are looked for again and must have the same steps. No file is held open, so
nothing keeps a writer from replacing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from ebmdiag.columns import Column, Steps, shared
from ebmdiag.errors import TraceError
from ebmdiag.locks import is_held
from ebmdiag.metadata import TraceMetadata
from ebmdiag.pieces import Piece, has_value, look, part_paths, read_columns, read_into, signature
from ebmdiag.runfolder import RunFolder
from ebmdiag.schema import metadata_of

_ATTEMPTS = 20
_KEPT = 100_000  # rows of parts that are kept in memory
T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Which rows of which files make up a trace: of each piece all from ``starts`` on."""

    pieces: tuple[Piece, ...]
    starts: tuple[int, ...]
    steps: Steps
    metadata: TraceMetadata

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of any piece, in the order in which they come."""
        return tuple(dict.fromkeys(name for piece in self.pieces for name in piece.schema.names))


class Store:
    """The rows of a run as they were at first, wherever they lie by now."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.layout = find_layout(run)
        self.metadata, self.names, self.steps = self.layout.metadata, self.layout.names, self.layout.steps
        self._empty: dict[tuple[str, int, int], bool] = {}
        self._earlier = 0  # rows of the layout before those seen at first

    def column(self, name: str, low: int, high: int) -> Column:
        """Rows ``low`` to ``high`` of a column."""
        column = self._unchanged(lambda: self._column(name, low, high))
        return Column(column.values) if column.count == high - low else column

    def table(self, names: Iterable[str], low: int, high: int) -> pa.Table:
        """Rows ``low`` to ``high`` of several columns at once."""
        wanted = list(names)
        return self._unchanged(lambda: self._table(wanted)).slice(low + self._earlier, high - low)

    def is_empty(self, name: str, low: int, high: int) -> bool:
        """Whether a column has no value in rows ``low`` to ``high``."""
        key = (name, low, high)
        if key not in self._empty:
            self._empty[key] = self._unchanged(lambda: self._is_empty(*key))
        return self._empty[key]

    def _is_empty(self, name: str, low: int, high: int) -> bool:
        return not any(
            has_value(piece, name, first, last)
            for piece, first, last, _ in self._overlaps(low, high)
            if name in piece.schema.names
        )

    def _column(self, name: str, low: int, high: int) -> Column:
        rows = high - low
        whole = Column(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
        for piece, first, last, place in self._overlaps(low, high):
            if name in piece.schema.names and whole.present is not None:
                here = slice(place, place + last - first)
                read_into(Column(whole.values[here], whole.present[here]), piece, name, first)
        return whole

    def _table(self, names: list[str]) -> pa.Table:
        tables = [
            read_columns(piece, [name for name in names if name in piece.schema.names]).slice(start)
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
            TraceError: a file cannot be read, or other rows have taken the place of those seen at first.
        """
        for _ in range(_ATTEMPTS):
            try:
                found = read()
            except (FileNotFoundError, TraceError):
                if self._is_readable():
                    raise
            else:
                if self._is_readable():
                    return found
            self._find_again()
        raise TraceError(f"{self.run.trace} keeps changing while it is read; try again.")

    def _is_readable(self) -> bool:
        return all(piece.is_readable() for piece in self.layout.pieces)

    def _find_again(self) -> None:
        fresh = find_layout(self.run)
        first = int(np.searchsorted(fresh.steps, self.steps[0])) if len(self.steps) else 0
        same = np.array_equal(fresh.steps[first : first + len(self.steps)], self.steps)
        if not same or fresh.metadata.started_at != self.metadata.started_at:
            raise TraceError(f"{self.run.trace} was written anew while it was read; try again.")
        self.layout, self._earlier = fresh, first


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

    @property
    def steps(self) -> Steps:
        """Iteration numbers, shape (rows,)."""
        return self.store.steps[self.low : self.high]

    @cached_property
    def table(self) -> pa.Table:
        """All columns at once; kept, once they were asked for."""
        return self.store.table(self.names, self.low, self.high)

    def column(self, name: str) -> Column:
        """One column; read anew each time."""
        return self.store.column(name, self.low, self.high)

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value; read as far as the first one, once."""
        return self.store.is_empty(name, self.low, self.high)

    def slice(self, low: int, high: int) -> StoredRows:
        """Some rows."""
        return StoredRows(self.store, self.names, self.low + low, self.low + high)

    def only(self, names: Iterable[str]) -> StoredRows:
        """Some columns."""
        wanted = set(names)
        return StoredRows(self.store, tuple(name for name in self.names if name in wanted), self.low, self.high)


def find_layout(run: RunFolder) -> Layout:
    """Which rows of which files make up a trace.

    Raises:
        TraceError: nothing is there, or it cannot be read as a trace.
    """
    for _ in range(_ATTEMPTS):
        before = signature(run.trace)
        try:
            pieces = _pieces(run)
        except FileNotFoundError:  # a part was compacted away between listing and reading
            continue
        if before == signature(run.trace):  # else parts may have gone into it
            return _join(run, pieces)
    raise TraceError(f"{run.trace} keeps changing while it is read; try again.")


def _pieces(run: RunFolder) -> list[tuple[Piece, Steps]]:
    parts = part_paths(run)
    if not parts and not run.trace.exists():
        raise TraceError(f"{run.trace}: no such trace (and no parts of one in {run.parts}).")
    found = [look(run.trace)] if run.trace.exists() else []
    keep = _KEPT
    for path in parts:  # a live run has hundreds, too small to be opened again for each column
        found.append(look(path, keep))
        keep -= found[-1][0].rows
    return found


def _join(run: RunFolder, found: list[tuple[Piece, Steps]]) -> Layout:
    starts: list[int] = []
    kept: list[Steps] = []
    last: int | None = None
    newest = found[0][0]  # a part that adds no row was left behind by a kill after it had been merged
    for piece, own in found:
        start = 0 if last is None else int(np.searchsorted(own, last, side="right"))
        starts.append(start)
        kept.append(own[start:])
        if start < len(own):
            last, newest = int(own[-1]), piece
    metadata = metadata_of(newest.schema, str(run.trace))
    if metadata.state == "running" and not is_held(run.lock):
        metadata = metadata.with_state("interrupted", "the process that wrote this run is gone")
    steps = kept[0] if len(kept) == 1 else np.concatenate(kept)
    _refuse_disorder(run, steps)
    return Layout(tuple(piece for piece, _ in found), tuple(starts), shared(steps), metadata)


def _refuse_disorder(run: RunFolder, steps: Steps) -> None:
    wrong = np.flatnonzero(steps[1:] <= steps[:-1])
    if len(wrong):
        row = int(wrong[0])
        raise TraceError(
            f"{run.trace}: steps must increase, but row {row + 2} has step {steps[row + 1]} after step {steps[row]}."
        )

"""Rows by column: what a trace is made of, whether they lie in memory or in files.

A column is handed out as a copy in float64, NaN where a value is absent, with a mask of what is present: an absent
value and a NaN that was written are different things.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ebmdiag.arrow import floats, integers, validity
from ebmdiag.errors import UsageError

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

_LISTED = 20


@dataclass(frozen=True)
class Column:
    """Values, shape (rows,), NaN where there is none; where there is one, shape (rows,), None: everywhere."""

    values: Floats
    present: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        """How many rows hold a value."""
        return len(self.values) if self.present is None else int(np.count_nonzero(self.present))


class Rows(Protocol):
    """Rows of a trace, in the order of their steps."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, those without a value too."""

    @property
    def steps(self) -> Steps:
        """Iteration numbers, shape (rows,); shared, hence not to be written to."""

    @property
    def table(self) -> pa.Table:
        """All columns at once."""

    @property
    def filled(self) -> frozenset[str]:
        """The columns of which a row holds a value."""

    def column(self, name: str) -> Column:
        """One column.

        Raises:
            UsageError: there is no such column.
        """

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value of a column.

        Raises:
            UsageError: there is no such column.
        """

    def slice(self, low: int, high: int) -> Rows:
        """The rows ``low`` to ``high``, the latter excluded; those of them that there are."""

    def only(self, names: Iterable[str]) -> Rows:
        """The same rows of fewer columns, in their own order."""


@dataclass(frozen=True)
class TableRows:
    """Rows of a table in memory."""

    table: pa.Table

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return tuple(self.table.column_names)

    @cached_property
    def steps(self) -> Steps:
        """Iteration numbers, shape (rows,)."""
        return shared(integers(self.table.column("step")))

    @cached_property
    def filled(self) -> frozenset[str]:
        """The columns that hold a value."""
        rows, columns = self.table.num_rows, self.table.columns
        return frozenset(name for name, one in zip(self.names, columns, strict=True) if one.null_count < rows)

    def column(self, name: str) -> Column:
        """One column."""
        refuse_unknown(name, self.names)
        chunked = self.table.column(name)
        return Column(floats(chunked), validity(chunked) if chunked.null_count else None)

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value."""
        refuse_unknown(name, self.names)
        return name not in self.filled

    def slice(self, low: int, high: int) -> TableRows:
        """Some rows, not copied."""
        low, high = clamped(low, high, self.table.num_rows)
        return TableRows(self.table.slice(low, high - low))

    def only(self, names: Iterable[str]) -> TableRows:
        """Some columns, not copied."""
        wanted = set(names)
        return TableRows(self.table.select([name for name in self.names if name in wanted]))


def clamped(low: int, high: int, rows: int) -> tuple[int, int]:
    """The part of ``low`` to ``high`` that lies within so many rows; perhaps an empty one.

    Example:
        >>> clamped(-3, 7, 5), clamped(9, 12, 5), clamped(4, 2, 5)
        ((0, 5), (5, 5), (4, 4))
    """
    low = min(max(low, 0), rows)
    return low, min(max(high, low), rows)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first twenty, and how many more there are.

    Example:
        >>> listed(["step", "d_s_t"])
        'step, d_s_t'
    """
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def refuse_unknown(name: str, names: Container[str]) -> None:
    """Raise where a column is not there.

    Raises:
        UsageError: it is not.
    """
    if name not in names:
        raise UsageError(f"no column '{name}' in these rows; Trace.names lists those that there are.")


def shared(steps: Steps) -> Steps:
    """The same steps, not to be written to."""
    steps.flags.writeable = False
    return steps

"""Rows by column: what a trace is made of, whether they lie in memory or in files.

A column is handed out as a copy in float64, NaN where a value is absent, with a mask of what is present: an absent
value and a NaN that was written are different things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ebmdiag.arrow import floats, integers, validity

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


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

    def column(self, name: str) -> Column:
        """One column, which must be there."""

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value of a column, which must be there."""

    def slice(self, low: int, high: int) -> Rows:
        """The rows ``low`` to ``high``, the latter excluded."""

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

    def column(self, name: str) -> Column:
        """One column."""
        chunked = self.table.column(name)
        return Column(floats(chunked), validity(chunked) if chunked.null_count else None)

    def is_empty(self, name: str) -> bool:
        """Whether no row holds a value."""
        return int(self.table.column(name).null_count) == int(self.table.num_rows)

    def slice(self, low: int, high: int) -> TableRows:
        """Some rows, not copied."""
        return TableRows(self.table.slice(low, high - low))

    def only(self, names: Iterable[str]) -> TableRows:
        """Some columns, not copied."""
        wanted = set(names)
        return TableRows(self.table.select([name for name in self.names if name in wanted]))


def shared(steps: Steps) -> Steps:
    """The same steps, not to be written to."""
    steps.flags.writeable = False
    return steps

"""Frozen records for what an analysis found: numbers, tables, findings; to JSON as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, and whether to trust it.

    An estimate that cannot be trusted still hands over its value, with ``reliable`` False and the reason.
    ``value`` is None only where the quantity is undefined (a constant series has no correlation).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reliable: bool = True
    reason: str = ""

    @classmethod
    def undefined(cls, reason: str) -> Estimate:
        """No number at all, and why."""
        return cls(None, reliable=False, reason=reason)

    @classmethod
    def doubted(cls, value: float, doubt: str, *, low: float | None = None, high: float | None = None) -> Estimate:
        """A number that is reliable if, and only if, ``doubt`` is empty."""
        return cls(value, low, high, reliable=not doubt, reason=doubt)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; a non-finite bound becomes null."""
        return {
            "value": _plain(self.value),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "reliable": self.reliable,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Table:
    """Columns of equal length, shape (rows,), with a title and what each column means."""

    title: str
    columns: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"table '{self.title}': columns differ in length: {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as tuples of plain Python values."""
        return list(zip(*(_plain_list(values) for values in self.columns.values()), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; non-finite numbers become null."""
        return {
            "title": self.title,
            "columns": {name: _plain_list(values) for name, values in self.columns.items()},
        }


@dataclass(frozen=True)
class Result:
    """What one analysis computed from one trace."""

    analysis: str
    trace: str
    rows: int
    settings: Mapping[str, Any]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON of everything."""
        return {
            "analysis": self.analysis,
            "trace": self.trace,
            "rows": self.rows,
            "settings": dict(self.settings),
            "estimates": {name: estimate.to_json() for name, estimate in self.estimates.items()},
            "tables": {name: table.to_json() for name, table in self.tables.items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Finding:
    """One judgement: a value held against a named limit, what it means and what to do."""

    code: str
    severity: Severity
    statement: str
    value: float | None = None
    limit: float | None = None
    advice: str = ""
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "code": self.code,
            "severity": self.severity,
            "statement": self.statement,
            "value": _plain(self.value),
            "limit": _plain(self.limit),
            "advice": self.advice,
            "source": self.source,
        }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain_list(values: NDArray[Any]) -> list[Any]:
    return [_plain(value) for value in values.tolist()]

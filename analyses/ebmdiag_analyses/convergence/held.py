"""Each difference of ``agreement`` held against the margin: shown to agree, shown to differ, or neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmdiag.result import Result
from ebmdiag_analyses.convergence.agreement import NO_UNIT
from ebmdiag_analyses.convergence.limits import Limits
from ebmdiag_analyses.convergence.means import student

_SAID = {
    "long-data": "the long run is {size} off the data in {measure}",
    "long-short": "the long run is {size} off the short runs in {measure}",
    "short-data": "short runs are {size} off the data in {measure}",
    "drift": "the long run's energy changes by {size} from its middle to its end",
}
UNITS = {
    "data": "sd",
    "short": "sd of the short runs (the data's do not vary)",
    "long": "sd of the long runs (the data's do not vary)",
    NO_UNIT: "in its own unit (nothing varies)",
}
"""Whose standard deviation a difference is told in."""


@dataclass(frozen=True)
class Held:
    """One difference held against the margin; ``unit``: whose standard deviation it is told in."""

    pair: str
    measure: str
    value: float
    unit: str
    known: bool
    agrees: bool
    differs: bool
    starts: int
    needed: int | None

    @property
    def said(self) -> str:
        """In words."""
        return _SAID[self.pair].format(size=f"{self.value:+.2g} {UNITS[self.unit]}", measure=self.measure)


def held_against(result: Result, limits: Limits) -> list[Held]:
    """Each row of the table ``agreement``: shown to agree, shown to differ, or neither."""
    table = result.tables.get("agreement")
    if table is None:
        return []
    columns = [
        table.columns[name].tolist() for name in ("pair", "measure", "difference", "error", "freedom", "starts", "unit")
    ]
    rows = list(zip(*columns, strict=True))
    return [_held(row, result.settings["level"], len(rows), limits.margin) for row in rows]


def _held(row: tuple[str, str, float, float, float, int, str], level: float, rows: int, margin: float) -> Held:
    pair, measure, value, error, freedom, starts, unit = row
    if not math.isfinite(value) or not math.isfinite(error):
        return Held(pair, measure, value, unit, known=False, agrees=False, differs=False, starts=starts, needed=None)
    narrow = student(max(0.0, 2 * level - 1), freedom) * error
    wide = student(1 - (1 - level) / rows, freedom) * error
    agrees, differs = abs(value) + narrow < margin, abs(value) - wide > margin
    room = margin - abs(value)
    needed = math.ceil(starts * (narrow / room) ** 2) if room > 0 else None
    return Held(pair, measure, value, unit, known=True, agrees=agrees, differs=differs, starts=starts, needed=needed)

"""The balance, in words."""

from __future__ import annotations

import math

from ebmdiag.result import Result
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.balance.options import CEILING, DRIFT, TEMPERATURE, WIDTH, R
from ebmdiag_analyses.lags import footnotes, heading, percent

_ROWS = (
    ("r:late", "late mean of r"),
    ("r:growth", "growth per 10,000 iterations"),
    ("r:growth_share", "growth over the 2nd half / late mean"),
    ("r:settled", "settled at step"),
    ("r:relaxation", "relaxation time (iterations)"),
    (CEILING, "late r / ceiling"),
    (DRIFT, "late drift² / noise²"),
    ("crossover", "its inverse (Langevin steps)"),
    (WIDTH, "late effective width"),
    ("burst:count", "bursts of r"),
)
_TENTHS = ((R, "r"), (CEILING, "r / ceiling"), (DRIFT, "drift²/noise²"), (WIDTH, "width"), (TEMPERATURE, "T_c"))


def text(result: Result) -> list[str]:
    """The estimates, the tenths of the run, bursts and notes."""
    head = [f"late: the last {percent(100 * result.settings['late'] / 100)} of the rows", "", "low", "high"]
    return [
        heading(result),
        "",
        *columns(head, [[said, *_cells(result, name)] for name, said in _ROWS]),
        "",
        *_tenths(result),
        "?: doubtful. drift² / noise²: above 1 the drift rules a Langevin step, below 1 diffusion does.",
        *footnotes(result),
    ]


def _cells(result: Result, name: str) -> list[str]:
    found = result.estimates[name]
    mark = "?" if found.value is not None and not found.reliable else ""
    digits = 6 if name == "r:settled" else 4
    return [number(found.value, digits) + mark, number(found.low, digits), number(found.high, digits)]


def _tenths(result: Result) -> list[str]:
    table = result.tables.get("tenths")
    if table is None:
        return []
    held = [(name, said) for name, said in _TENTHS if name in table.columns]
    head = ["steps", *(part for _, said in held for part in (said, "±"))]
    rows = []
    for place in range(len(table)):
        first, last = int(table.columns["first_step"][place]), int(table.columns["last_step"][place])
        values = [table.columns[key][place] for name, _ in held for key in (name, f"{name}_error")]
        rows.append([f"{first}–{last}", *(_pair(value, place % 2) for place, value in enumerate(values))])
    return [*columns(head, rows), f"r over the run  {sparkline(result.tables['course'].columns['mean'])}", ""]


def _pair(value: float, is_error: int) -> str:
    return "–" if math.isnan(value) else number(float(value), 2 if is_error else 4)

"""The phases, in words."""

from __future__ import annotations

from ebmdiag.result import Result
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.lags import footnotes, heading, lag_unit, percent

_ROWS = (
    ("phase:count", "phases"),
    ("phase:duration", "mean duration"),
    ("phase:expansion", "of expansion (d < 0)"),
    ("phase:contraction", "of contraction (d > 0)"),
    ("phase:period", "period (two phases)"),
    ("phase:period_spread", "its sd / mean"),
    ("phase:half_period", "corr. half a period later"),
    ("phase:share", "time in expansion"),
    ("phase:negative", "rows with d < 0"),
    ("changes:observed", "sign changes a row"),
)
_BESIDE = {
    "phase:duration": ("independent:duration", "memory:duration"),
    "phase:period_spread": ("independent:period_spread", ""),
    "changes:observed": ("changes:independent", "changes:gaussian"),
}
_EFFECT = (("effect:slope", "d alone"), ("effect:beside_earlier", "beside earlier d and r"))
_REGIMES = 12


def text(result: Result) -> list[str]:
    """Durations against two nulls, regimes, the effect on r, and notes."""
    level, band = percent(result.settings["level"]), result.settings["band"]
    unit = lag_unit(result.settings)
    head = [f"band ±{band:g} errors, in {unit} ({level})", "", "low", "high", "independent", "same memory"]
    return [
        heading(result),
        "",
        *columns(head, [[said, *_cells(result, name), *_nulls(result, name)] for name, said in _ROWS]),
        f"p of independent signs: {_p(result, 'independent:p')}, of periods as even: "
        f"{_p(result, 'independent:rhythm_p')}; of a linear process with the memory of d "
        f"(order {number(result.estimates['memory:order'].value)}): {_p(result, 'memory:p')}",
        "",
        *_regimes(result),
        *columns(
            ["r[t+1] - r[t] on d[t]", "slope", "low", "high", "p (slope < 0)"],
            [[said, *_cells(result, name), _p(result, _p_name(name))] for name, said in _EFFECT],
        ),
        "",
        "?: doubtful.",
        *footnotes(result),
    ]


def _p_name(name: str) -> str:
    return "effect:p" if name == "effect:slope" else f"{name}_p"


def _cells(result: Result, name: str) -> list[str]:
    found = result.estimates[name]
    mark = "?" if found.value is not None and not found.reliable else ""
    return [number(found.value) + mark, number(found.low, 3), number(found.high, 3)]


def _nulls(result: Result, name: str) -> list[str]:
    return [number(result.estimates[key].value, 3) if key else "" for key in _BESIDE.get(name, ("", ""))]


def _p(result: Result, name: str) -> str:
    value = result.estimates[name].value
    return "< 1e-300" if value == 0 else number(value, 2)


def _regimes(result: Result) -> list[str]:
    table = result.tables.get("regimes")
    if table is None or not len(table):
        return []
    names = ("first_step", "last_step", "mean", "error", "spread", "kind")
    rows = list(zip(*(table.columns[name].tolist() for name in names), strict=True))
    shown = [[str(cell) if isinstance(cell, int | str) else number(cell, 3) for cell in row] for row in rows]
    more = [f"and {len(rows) - _REGIMES} earlier ones: see --json"] if len(rows) > _REGIMES else []
    course = sparkline(result.tables["course"].columns["mean"])
    head = ["regime: first step", "last", "mean", "error", "spread", ""]
    return [*columns(head, shown[-_REGIMES:]), *more, f"d over the run  {course}", ""]

"""Many runs side by side: seeds of one recipe pooled, recipes held against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.analysis import Analysis
from ebmdiag.result import Result, Table
from ebmdiag_analyses.compare import tables
from ebmdiag_analyses.compare.comparison import Comparison, compared
from ebmdiag_analyses.compare.judge import judge
from ebmdiag_analyses.compare.notes import notes
from ebmdiag_analyses.compare.options import Options
from ebmdiag_analyses.compare.quantities import chosen
from ebmdiag_analyses.compare.runs import LAGS, Series, needed
from ebmdiag_analyses.compare.view import draw, text

if TYPE_CHECKING:
    from ebmdiag.report.answers import Reader

CURVES = {
    "r_t": "mean of r_t over the rows in each bin of steps",
    "d_s_t": "mean of d_s_t over the rows in each bin of steps",
    "d_s_t_sd": "standard deviation of d_s_t in each bin of steps",
    "acf": "autocorrelation of d_s_t over the settled steps",
}


def analyse(readers: Sequence[Reader], options: Options) -> Result:
    """Compare runs.

    Args:
        readers: of each run, columns → its rows (ebmdiag.report.answers.Reader).

    Estimates: ``QUANTITY of RECIPE`` and ``QUANTITY of RECIPE against BASELINE``. Tables: ``recipes``, ``runs``,
    ``numbers``, ``differences``; and the curves ``r_t``, ``d_s_t``, ``d_s_t_sd`` by step and ``acf`` by lag.

    Raises:
        UsageError: fewer than two runs, one twice, none with a row, no way to group them, no steps that they share, or
            a column that was asked for is in none of them.
        TraceError: a trace cannot be read.
    """
    found = compared(readers, options)
    return Result(
        "compare",
        ", ".join(run.name for run in found.runs),
        sum(run.rows for run in found.runs),
        _settings(found, options),
        tables.estimates(found.seeds, found.differences, found.labels, found.baseline, options.level),
        {
            "recipes": tables.recipes(found),
            "differences": tables.differences(found.differences, found.labels, found.baseline, options.level),
            "numbers": tables.numbers(found.seeds, found.labels),
            "runs": tables.every_run(found),
            **_curves(found, options.level),
        },
        tuple(notes(found, options.by)),
    )


def _settings(found: Comparison, options: Options) -> dict[str, Any]:
    runs, span = found.runs, found.span
    return {
        "by": options.by,
        "recipes": found.labels,
        "baseline": found.labels[found.baseline],
        "runs": [run.name for run in runs],
        "same_run": [f"{runs[one].name} and {runs[two].name}" for two, one in found.again.items()],
        "first_step": min(run.first for run in runs if run.rows),
        "last_step": max(run.last for run in runs if run.rows),
        "settled_from": span.settled if span else None,
        "settled_until": span.last if span else None,
        "iterations_per_row": span.spacing if span else None,
        "level": options.level,
    }


def _curves(found: Comparison, level: float) -> dict[str, Table]:
    """All curves that any run has."""
    steps = (found.edges[:-1] + found.edges[1:] - 1) / 2
    known: dict[str, Table] = {}
    for name, title in CURVES.items():
        by_lag = name == "acf"
        axis = ("lag", np.arange(1.0, LAGS + 1)) if by_lag else ("step", steps)
        of = _acf(found) if by_lag else _course(found, name)
        if any(of(place) is not None for place in range(len(found.runs))):
            known[name] = tables.curves(title, axis, found.groups, of, level)
    return known


def _course(found: Comparison, name: str) -> Callable[[int], Series | None]:
    """Of a run that counts; one that diverged would hide all others."""
    return lambda place: None if place in found.left_out else found.measured[place].courses.get(name)


def _acf(found: Comparison) -> Callable[[int], Series | None]:
    def of(place: int) -> Series | None:
        curve = found.measured[place].acf[1:]
        return curve if np.isfinite(curve).any() else None

    return of


def columns(options: Options) -> list[str]:
    """What ``analyse`` reads of each run."""
    return needed(chosen(options.columns))


ANALYSIS = Analysis(
    name="compare",
    title="Comparison",
    summary="Many runs side by side: seeds of one recipe pooled with bands, recipes against each other.",
    options=Options,
    analyse=analyse,
    judge=judge,
    text=text,
    draw=draw,
    columns=columns,
    subject="runs",
)

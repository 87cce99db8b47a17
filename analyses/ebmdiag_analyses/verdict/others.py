"""What further analyses say of axis 1: evidence beside the deciding one, and where the last regime begins.

They never give a place: the measured error rates are those of the deciding numbers (docs/calibration.md). A warning of
theirs that speaks for another place is told in the judgement's sentence; some take a place back (``doubts``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ebmdiag.result import Estimate, Finding
from ebmdiag.statistics import BY_COLUMN
from ebmdiag.verdict import Evidence
from ebmdiag_analyses.stationarity.judge import last_jump
from ebmdiag_analyses.verdict.reading import Results, column, reliable, table

SPEAKS_FOR: Mapping[tuple[str, str], str] = {
    ("balance", "r-burst"): "undetermined",
    ("balance", "r-growth"): "undetermined",
    ("loop_gain", "loop-ringing"): "strongly oscillating",
    ("loop_gain", "loop-gain"): "strongly oscillating",
    ("pacf", "wave"): "strongly oscillating",
    ("phases", "phases"): "strongly oscillating",
    ("phases", "regimes"): "undetermined",
    ("phases", "sign-changes"): "strongly oscillating",
    ("spectrum", "spectrum-line"): "strongly oscillating",
    ("spectrum", "spectrum-peak"): "strongly oscillating",
    ("stationarity", "balance"): "undetermined",
    ("stationarity", "settled"): "undetermined",
    ("windows", "windows-change"): "undetermined",
}
"""(analysis, code) of a warning → the place that it speaks for: a swing, or a trace that is not of one kind."""


def further_evidence(findings: Mapping[str, tuple[Finding, ...]]) -> tuple[Evidence, ...]:
    """The warnings of other analyses that bear on axis 1."""
    return tuple(
        Evidence(
            f"{name}: {item.code}{_column(item)}",
            Estimate.undefined("the finding holds no number") if item.value is None else Estimate(item.value),
            item.limit,
            SPEAKS_FOR[(name, item.code)],
            item.statement,
            item.source,
        )
        for name, items in findings.items()
        for item in items
        if item.severity != "info" and (name, item.code) in SPEAKS_FOR
    )


def _column(finding: Finding) -> str:
    """Which column a finding is about, where it begins with its name: several may share a code."""
    first = finding.statement.partition(" ")[0]
    return f" ({first})" if first in BY_COLUMN and first != "d_s_t" else ""


def dissent(place: str, evidence: tuple[Evidence, ...]) -> str:
    """Which of them speak for another place, as the end of a sentence; empty where none does."""
    other = [item.name for item in evidence if item.says != place]
    return "" if not other else f" Against it speak: {', '.join(dict.fromkeys(other))}."


def settled_from(results: Results) -> int | None:
    """Where what comes later may be judged by itself: the last regime of d, its last jump, or where r settled."""
    found = last_regime(results)
    if found is None and "stationarity" in results:
        found = last_jump(results["stationarity"], "d_s_t")
    return _where_r_settled(results) if found is None else found


def _where_r_settled(results: Results) -> int | None:
    """As ``balance`` says; None where that is the first row, or is not to be trusted."""
    step = reliable(results, "balance", "r:settled")
    if step is None or step <= results["balance"].settings.get("first_step", step):
        return None
    return int(step)


def last_regime(results: Results) -> int | None:
    """First step of the last of several regimes of d (``phases``), or after the last change (``windows``)."""
    for analysis, name in (("phases", "regimes"), ("windows", "stretches")):
        first = column(table(results, analysis, name), "first_step")
        if first is not None and len(first) > 1 and np.isfinite(first[-1]):
            return int(first[-1])
    return None

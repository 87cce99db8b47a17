"""Many findings, few discoveries: warnings that owe their being to the number of tests are taken back.

Each warning that rests on a p-value is a test; Benjamini and Hochberg 1995 (J. R. Stat. Soc. B 57:289) bound the share
of false ones among those that are kept. All p-values count that the analyses computed for a question, also of findings
that are quiet; a finding without one (an effect held against a limit) is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import NormalDist

from ebmdiag.numerics.discoveries import adjusted
from ebmdiag.result import Finding, Result
from ebmdiag_analyses.verdict.limits import Limits
from ebmdiag_analyses.verdict.reading import Results, value

Findings = Mapping[str, tuple[Finding, ...]]

P_VALUES: Mapping[tuple[str, str], str] = {
    ("acf", "oscillation"): "d_s_t:ljung_box_p",
    ("convergence", "starts-forgotten"): "nested:p",
    ("convergence", "chains-meet"): "meet:p",
    ("phases", "phases"): "independent:p",
    ("phases", "phase-effect"): "effect:p",
}
"""(analysis, code) → the estimate that is its p-value. Others are found by their value, or by mean and error."""

_MEANS: Mapping[str, tuple[str, str, float]] = {
    "mean-difference": ("d_s_t:mean", "d_s_t:error", 0.0),
    "virial": ("virial:mean", "virial:error", 1.0),
    "configurational-temperature": (
        "configurational_temperature:ratio",
        "configurational_temperature:ratio_error",
        1.0,
    ),
}
_WORST_FIRST = ("error", "warning", "info")


def controlled(results: Results, findings: Findings, limits: Limits) -> tuple[Finding, ...]:
    """All findings, worst first; warnings whose adjusted p is above the level have become notes with the reason."""
    told = [(name, item, p_value(results, name, item)) for name, items in findings.items() for item in items]
    corrected = adjusted([math.nan if p is None else p for _, _, p in told]).tolist()
    kept = [
        item if p is None else _judged(item, after, limits) for (_, item, p), after in zip(told, corrected, strict=True)
    ]
    return tuple(sorted(kept, key=lambda item: _WORST_FIRST.index(item.severity)))


def _judged(finding: Finding, after: float, limits: Limits) -> Finding:
    if finding.severity == "info" or after <= limits.discoveries:
        return finding
    said = (
        f"{finding.statement} Taken back to a note: over all tests its adjusted p is {after:.2g}, above "
        f"{limits.discoveries:g}."
    )
    return replace(finding, severity="info", statement=said)


def p_value(results: Results, analysis: str, finding: Finding) -> float | None:
    """The p-value that a finding rests on; None where it rests on none that is known."""
    result = results.get(analysis)
    if result is None:
        return None
    candidates = (
        _named(results, analysis, finding),
        _of_mean(results, analysis, finding),
        _of_column(results, analysis, finding),
        next(_equal(result, finding), None),
    )
    found = next((item for item in candidates if item is not None), None)
    return found if found is not None and 0 <= found <= 1 else None


def _named(results: Results, analysis: str, finding: Finding) -> float | None:
    name = P_VALUES.get((analysis, finding.code))
    return None if name is None else value(results, analysis, name)


def _of_mean(results: Results, analysis: str, finding: Finding) -> float | None:
    """Two-sided, of a mean and its error."""
    if analysis != "summary" or finding.code not in _MEANS:
        return None
    mean, error, target = _MEANS[finding.code]
    size, spread = value(results, analysis, mean), value(results, analysis, error)
    if size is None or not spread:
        return None
    return 2 * NormalDist().cdf(-abs(size - target) / spread)


def _of_column(results: Results, analysis: str, finding: Finding) -> float | None:
    """Of the analysis ``stationarity``: the smallest of a column's tests for movement, times their number."""
    if (analysis, finding.code) != ("stationarity", "settled"):
        return None
    name = finding.statement.partition(" ")[0]
    found = [value(results, analysis, f"{name}:{test}_p") for test in ("change", "difference", "cusum")]
    known = [item for item in found if item is not None]
    return min(1.0, len(known) * min(known)) if known else None


def _equal(result: Result, finding: Finding) -> Iterator[float]:
    """P-values among the estimates (their names end in p) that a finding hands on as its value."""
    for name, item in result.estimates.items():
        known = item.value is not None and item.value == finding.value
        if known and name.replace(":", "_").split("_")[-1] in ("p", "pvalue"):
            yield float(item.value or 0.0)

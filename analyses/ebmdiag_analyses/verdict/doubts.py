"""What other analyses take back: a place that the short lags give and the rest of the trace contradicts.

Four doubts, each of which leaves the run undetermined and says why:

- a fixed period (``spectrum``): let rho be the autocorrelation of d, and p a multiple of the line's period. A part that
  repeats with p gives rho_k and rho_(k+p) the same; what remains of it has (rho_k - rho_(k+p)) / (1 - rho_p). A swing
  that is gone there is a fixed order of data or a schedule, no loop: the wave of a damped loop of modulus m has
  rho_(k+p) = m^p rho_k and is left as it is. Where no whole number of rows fits, the line alone is taken off, with its
  share s of Var d: (rho_k - s cos(2 pi k / p)) / (1 - s). Period 2 is the loop's own, a pole at -1, and stays;
- a late swing (``windows``): weak before, strong in the last stretch;
- a slow wave (``pacf``, ``spectrum``, ``loop_gain``): it rings beyond the short lags; told of a run left open as well;
- growth of r (``balance``): no run is stable whose gradients grow or fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ebmdiag.result import Finding
from ebmdiag.verdict import Judgement
from ebmdiag_analyses.verdict.limits import Limits
from ebmdiag_analyses.verdict.reading import Results, Series, column, table, value

Findings = Mapping[str, tuple[Finding, ...]]
D = "d_s_t"
STRONG, MILD, STABLE = "strongly oscillating", ("stable", "weakly oscillating"), "stable"
_WAVES = (("pacf", "wave"), ("spectrum", "spectrum-peak"), ("spectrum", "spectrum-line"), ("loop_gain", "loop-ringing"))
_SURE = 1e-6  # of Fisher's test; its p may be 20 times too small against a background of high order
_FASTEST, _OFF, _NEARLY = 2.5, 0.1, 0.9


def doubted(judgement: Judgement, results: Results, findings: Findings, limits: Limits) -> Judgement:
    """The judgement, or an undetermined one with the first doubt that holds."""
    if judgement.place == STRONG:
        reasons = [_periodic(results, limits)]
    elif judgement.place in MILD:
        reasons = [_late(results, findings, limits), _rings(results, findings, limits)]
        reasons += [_grows(findings)] if judgement.place == STABLE else []
    else:
        return _left_open(judgement, _rings(results, findings, limits))
    reason, advice = next(((said, what) for said, what in reasons if said), ("", ""))
    if not reason:
        return judgement
    sentence = f"{reason} The short lags alone would say {judgement.place}: {judgement.sentence}"
    return replace(judgement, place="undetermined", sentence=sentence, advice=advice)


def _left_open(judgement: Judgement, wave: tuple[str, str]) -> Judgement:
    reason, advice = wave
    if not reason:
        return judgement
    sentence = f"{judgement.sentence} Besides, {reason}"
    return replace(judgement, sentence=sentence, advice=" ".join(filter(None, (judgement.advice, advice))))


def fixed_period(results: Results, limits: Limits) -> float | None:
    """The period whose repetition explains the swing of d at short lags; None where none does, or it is too long."""
    rho, line = column(table(results, "acf", D), "correlation"), value(results, "spectrum", f"{D}:line_period")
    p_value, lags = value(results, "spectrum", f"{D}:line_p"), int(limits.lags)
    if rho is None or len(rho) <= lags or line is None or line <= 0 or p_value is None or p_value > _SURE:
        return None
    if line < _FASTEST and _rest(rho, 2, lags) > -limits.strong:
        return None
    whole = [period for period in range(2, len(rho) - lags) if _repeats(period, line)]
    if not whole:
        rest = _rest_of_line(rho, line, value(results, "spectrum", f"{D}:line_share") or 0.0, lags)
        return line if line >= _FASTEST and rest > -limits.strong else None
    highest = max(rho[whole])
    period = next(period for period in whole if rho[period] >= _NEARLY * highest)
    return period if period >= _FASTEST and _rest(rho, period, lags) > -limits.strong else None


def _repeats(period: int, line: float) -> bool:
    """Whether whole periods of the line fit, to a tenth of a row."""
    return abs(period - line * max(1, round(period / line))) < _OFF


def _rest(rho: Series, period: int, lags: int) -> float:
    """Lowest autocorrelation of what does not repeat; 0 where all does."""
    share = 1 - rho[period]
    short = np.arange(1, lags + 1)
    return float(((rho[short] - rho[short + period]) / share).min()) if share > 1e-6 else 0.0


def _rest_of_line(rho: Series, line: float, share: float, lags: int) -> float:
    short = np.arange(1, lags + 1)
    rest = rho[short] - share * np.cos(2 * np.pi * short / line)
    return float((rest / (1 - share)).min()) if share < 1 - 1e-6 else 0.0


def _periodic(results: Results, limits: Limits) -> tuple[str, str]:
    period = fixed_period(results, limits)
    if period is None:
        return "", ""
    return (
        f"{D} is periodic with period {period:.3g}: a fixed order of data, or a schedule?",
        "Draw the batches in random order, or look for a schedule of that period in the recipe, then look again: the "
        "swing at that period says nothing of the learning loop.",
    )


def _late(results: Results, findings: Findings, limits: Limits) -> tuple[str, str]:
    stretches = table(results, "windows", "stretches")
    first, lowest = column(stretches, "first_step"), column(stretches, "lowest")
    if first is None or lowest is None or len(first) < 2 or not _warned(findings, "windows", "windows-change"):
        return "", ""
    if not lowest[-1] < -limits.strong:
        return "", ""
    step = int(first[-1])
    return (
        f"{D} swings strongly since step {step}: lowest autocorrelation {lowest[-1]:.3f}, before it {lowest[-2]:.3f}.",
        f"Look at the last stretch alone with --from {step}, and at what the recipe changes there.",
    )


def _rings(results: Results, findings: Findings, limits: Limits) -> tuple[str, str]:
    """The first wave of d; a line is none if its share of Var d is too small to make a weak swing."""
    share = value(results, "spectrum", f"{D}:line_share")
    for analysis, code in _WAVES:
        for item in _warned(findings, analysis, code):
            if code == "spectrum-line" and share is not None and share < limits.weak:
                continue
            if analysis == "loop_gain" or item.statement.startswith(D):
                return f"a wave slower than the short lags is seen ({analysis}: {code}): {item.statement}", item.advice
    return "", ""


def _grows(findings: Findings) -> tuple[str, str]:
    found = _warned(findings, "balance", "r-growth")
    return (found[0].statement, found[0].advice) if found else ("", "")


def _warned(findings: Findings, analysis: str, code: str) -> list[Finding]:
    return [item for item in findings.get(analysis, ()) if item.code == code and item.severity != "info"]

"""What a spectrum says of the run: a wave, a line, and whether d_s_t is free of slow power."""

from __future__ import annotations

from dataclasses import dataclass

from ebmdiag.result import Finding, Result, Severity
from ebmdiag.statistics import PAPER
from ebmdiag_analyses.lags import lag_unit

D = "d_s_t"
LINE_P = 0.001
THEORY = "derived for this project: linear response of the learning loop (docs/loop_gain.md)"
_PROPOSAL = "limit: this project's first proposal"


@dataclass(frozen=True)
class Limits:
    """When a spectrum is remarkable; first proposals of this project."""

    quality: float = 1.0  # a wave that lasts a period; the whole interval of Q must lie above
    line_p: float = LINE_P  # Fisher's test; measured sizes in docs/spectrum.md
    slow: float = 1.0  # the level of white noise


LIMITS = Limits()


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Waves and lines of each column, the slow power of d_s_t, and columns without a spectrum."""
    findings: list[Finding | None] = []
    for name in result.settings["columns"]:
        low = result.estimates[f"{name}:low"]
        if low.value is None:
            findings.append(Finding("spectrum-undefined", "warning", f"{name} has no spectrum: {low.reason}."))
            continue
        line = _line(result, name, limits)
        findings += [line, _wave(result, name, limits, line)]
        findings.append(_slow(result, limits) if name == D else None)
    found = [finding for finding in findings if finding is not None]
    return found or [Finding("spectrum-quiet", "info", "no spectrum has a line or a peak.")]


def _line(result: Result, name: str, limits: Limits) -> Finding | None:
    p_value, period, share = (result.estimates[f"{name}:{key}"] for key in ("line_p", "line_period", "line_share"))
    if p_value.value is None or p_value.value >= limits.line_p or period.value is None or share.value is None:
        return None
    chance = "< 1e-16" if p_value.value < 1e-16 else f"= {p_value.value:.2g}"
    doubt = f"; doubtful: {p_value.reason}" if p_value.reason else ""
    statement = (
        f"{name} holds a pure wave of period {period.value:.7g} {lag_unit(result.settings)} "
        f"({period.low:.7g} to {period.high:.7g}), {share.value:.2%} of its variance (p {chance}){doubt}."
    )
    advice = "Look for something periodic: a schedule, an order of the data, a bank of chains that is walked through."
    severity: Severity = "info" if doubt else "warning"
    source = f"Fisher 1929; {_PROPOSAL}"
    return Finding("spectrum-line", severity, statement, p_value.value, limits.line_p, advice, source)


def _wave(result: Result, name: str, limits: Limits, line: Finding | None) -> Finding | None:
    """A broad peak; one that is the line itself is said once."""
    period, quality, modulus = (result.estimates[f"{name}:peak_{key}"] for key in ("period", "quality", "modulus"))
    if period.value is None or quality.value is None or (quality.low or 0.0) <= limits.quality:
        return None
    at = result.estimates[f"{name}:line_period"].value
    if line is not None and at is not None and abs(period.value / at - 1) < 0.05:
        return None
    doubt = f"; doubtful: {period.reason}" if period.reason else ""
    statement = (
        f"{name} oscillates with period {period.value:.3g} {lag_unit(result.settings)} ({period.low:.3g} to "
        f"{period.high:.3g}); the wave lasts about {quality.value:.2g} periods (poles of modulus {modulus.value:.3f})"
        f"{doubt}."
    )
    advice = "Lower the learning rate or the momentum; loop_gain tells which of them rings."
    source = f"{PAPER}, strong oscillation; {_PROPOSAL}"
    severity: Severity = "warning" if name == D else "info"
    return Finding("spectrum-peak", severity, statement, quality.value, limits.quality, advice, source)


def _slow(result: Result, limits: Limits) -> Finding | None:
    low = result.estimates[f"{D}:low"]
    if low.value is None or low.low is None or low.high is None:
        return None
    said = f"the slow power of {D} is {low.value:.3g} of its mean power ({low.low:.3g} to {low.high:.3g})"
    if low.high < limits.slow:
        meaning = "it is damped, as integral action (which leaves none) predicts"
    elif low.low > limits.slow:
        meaning = "there is more of it than white noise has: drift, or memory that the learning does not answer yet"
    else:
        meaning = "it cannot be told from that of white noise"
    return Finding("spectrum-slow", "info", f"{said}: {meaning}.", low.value, limits.slow, source=THEORY)

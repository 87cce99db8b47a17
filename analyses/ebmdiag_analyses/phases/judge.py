"""What the phases say of the run: independent signs, a rhythm, alternation, a drift, a change of regime."""

from __future__ import annotations

import numpy as np

from ebmdiag.numerics.bands import quantile
from ebmdiag.result import Estimate, Finding, Result
from ebmdiag.statistics import PAPER
from ebmdiag.terminal import number
from ebmdiag_analyses.lags import lag_unit
from ebmdiag_analyses.phases.options import LIMITS, D, Limits, R

PROPOSAL = "limit: this project's first proposal"
LOOP = "linear response of the learning loop, derived for this project (docs/loop_gain.md)"


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Findings on durations, sign changes, share of expansion, regimes and the effect on r."""
    duration = result.estimates["phase:duration"]
    if result.estimates["phase:count"].value is None:
        return [Finding("phases", "info", f"no phases of {D} can be told: {duration.reason}.", source=PAPER)]
    findings = [
        _duration(result, limits),
        _alternation(result, limits),
        _share(result, limits),
        _regimes(result, limits),
        _effect(result, limits),
    ]
    return [finding for finding in findings if finding is not None]


def _value(result: Result, name: str) -> float | None:
    return result.estimates[name].value


def _plus(estimate: Estimate, digits: int = 3) -> str:
    interval = "" if estimate.low is None else f" ({estimate.low:.{digits}g} to {estimate.high:.{digits}g})"
    return f"{estimate.value:.{digits}g}{interval}"


def _duration(result: Result, limits: Limits) -> Finding:
    duration, independent = result.estimates["phase:duration"], _value(result, "independent:duration")
    if duration.value is None or independent is None:
        return Finding("phases", "info", f"{D} stays in one phase: {duration.reason}.", source=PAPER)
    ratio, p_value = duration.value / independent, _value(result, "independent:p")
    seen = (
        f"a phase of {D} lasts {_plus(duration)} {lag_unit(result.settings)} on average, one of independent signs "
        f"{independent:.3g}{_memory(result)}"
    )
    wave = _wave(result, limits)
    if wave is not None:
        return _rhythm(result, seen, wave, limits)
    if p_value is None or p_value >= limits.p_value:
        said = "independent signs are not excluded"
    else:
        said = "signs alternate more than chance" if ratio < 1 else "signs persist more than chance"
    test = "" if p_value is None else f" (p = {number(p_value, 2)})"
    return Finding("phases", "info", f"{said}{test}: {seen}{_doubt(duration)}.", p_value, limits.p_value, source=PAPER)


def _memory(result: Result) -> str:
    expected = _value(result, "memory:duration")
    if expected is None:
        return ""
    return f", one of a linear process with its memory {expected:.3g}"


def _wave(result: Result, limits: Limits) -> float | None:
    """The spread of the period over that of independent signs, if it is small enough for a rhythm."""
    spread, chance = result.estimates["phase:period_spread"], _value(result, "independent:period_spread")
    p_value = _value(result, "independent:rhythm_p")
    if spread.value is None or not spread.reliable or not chance or p_value is None or p_value >= limits.p_value:
        return None
    opposed = (_value(result, "phase:half_period") or 0.0) < limits.half_period
    return spread.value / chance if opposed and spread.value / chance < limits.wave else None


def _rhythm(result: Result, seen: str, wave: float, limits: Limits) -> Finding:
    period = result.estimates["phase:period"]
    return Finding(
        "phases",
        "warning",
        f"expansion and contraction come in a rhythm of {_plus(period)} {lag_unit(result.settings)} ({wave:.2f} times "
        f"the spread of chance): {seen}.",
        wave,
        limits.wave,
        "A wave of d comes from momentum (lower Adam's beta1) or from chains that lag behind (more Langevin steps); "
        "'ebmdiag loop_gain' tells which. A lower learning rate weakens both.",
        f"{PAPER}, strong oscillation; {PROPOSAL}",
    )


def _alternation(result: Result, limits: Limits) -> Finding | None:
    changes = result.estimates["changes:observed"]
    if changes.value is None or changes.low is None or changes.value <= limits.changes:
        return None
    known = changes.reliable and changes.low > limits.changes
    return Finding(
        "sign-changes",
        "warning" if known else "info",
        f"{D} changes sign in {changes.value:.1%} of the iterations, more than a loop of gain 1 does "
        f"({limits.changes:.1%}): updates overshoot{'' if known else ', but chance is not excluded yet'}.",
        changes.value,
        limits.changes,
        "Lower the learning rate: each update carries d beyond 0.",
        f"{PAPER}, strong oscillation; arccos(-g/2)/π at g = 1, {LOOP}",
    )


def _share(result: Result, limits: Limits) -> Finding | None:
    """By the signs themselves, and the mean: time in a phase, and signs alone, depend on how skewed d is."""
    share, mean = result.estimates["phase:negative"], result.estimates["phase:mean"]
    if share.value is None or mean.value is None:
        return None
    distance = share.value - 0.5
    if abs(distance) <= limits.share or distance * mean.value >= 0:
        return None
    if not (_beyond(result, share, distance, limits) and _beyond(result, mean, mean.value, limits)):
        return None
    kind = "expansion" if distance > 0 else "contraction"
    return Finding(
        "phase-share",
        "warning" if share.reliable else "info",
        f"{kind} prevails: {D} is below 0 in {share.value:.0%} of the iterations{_doubt(share)}.",
        abs(distance),
        limits.share,
        "Leave out the beginning with --from; if it stays, the run has not settled: train on.",
        f"{PAPER}; {PROPOSAL}",
    )


def _beyond(result: Result, estimate: Estimate, distance: float, limits: Limits) -> bool:
    """Whether a distance is larger than chance allows for an estimate."""
    if estimate.low is None or estimate.high is None:
        return False
    error = (estimate.high - estimate.low) / 2 / quantile(result.settings["level"])
    return abs(distance) > limits.errors * error


def _doubt(estimate: Estimate) -> str:
    return "" if estimate.reliable else f"; doubtful: {estimate.reason}"


def _regimes(result: Result, limits: Limits) -> Finding | None:
    count = result.estimates["regime:count"]
    if count.value is None:
        return None
    if count.value == 1:
        statement = f"{D} keeps one mean and one spread over these rows{_doubt(count)}."
        return Finding("regimes", "info", statement, 1.0, source="change points (docs/phases.md)")
    table = result.tables["regimes"].columns
    mean, spread, step = float(table["mean"][-1]), float(table["spread"][-1]), int(table["first_step"][-1])
    usual = _usual_spread(table["rows"], table["spread"])
    away, wild = abs(mean) > limits.regime_mean, spread > limits.regime_spread * usual
    said = (
        f"{D} changes its mean or spread {int(count.value) - 1} times, last at step {step}: since then its mean is "
        f"{mean:.3g} and its spread {spread:.3g} sampling errors (over the run: {usual:.3g}){_doubt(count)}"
    )
    return Finding(
        "regimes",
        "warning" if (away or wild) and count.reliable else "info",
        f"{said}.",
        abs(mean) if away or not wild else spread / usual,
        limits.regime_mean if away or not wild else limits.regime_spread,
        "Look at what changed there: learning rate, r_t, the configurational temperature.",
        f"change points (docs/phases.md); {PROPOSAL}",
    )


def _usual_spread(rows: np.ndarray, spread: np.ndarray) -> float:
    """The median over rows of their regime's spread."""
    order = np.argsort(spread)
    half = np.searchsorted(np.cumsum(rows[order]), rows.sum() / 2)
    return float(spread[order][half])


def _effect(result: Result, limits: Limits) -> Finding | None:
    slope, p_value = result.estimates["effect:slope"], _value(result, "effect:p")
    if slope.value is None or p_value is None:
        return None
    share = _value(result, "effect:share") or 0.0
    seen = f"the next increment of {R} per unit of {D} is {_plus(slope)}, {share:.1%} of its variance{_doubt(slope)}"
    if not slope.reliable and slope.low != slope.high:  # equal: the relation is exact
        said = f"whether {R} answers {D} is not certain ({seen})"
    elif p_value < limits.p_value:
        said = f"{R} answers as it should: it grows after expansion ({seen})"
    elif p_value > 1 - limits.p_value:
        said = f"{R} answers the wrong way round, or its own noise hides the answer: it falls after expansion ({seen})"
    else:
        said = f"no answer of {R} to {D} is to be seen ({seen})"
    return Finding("phase-effect", "info", f"{said}.", p_value, limits.p_value, source=f"{PAPER}; {LOOP}")

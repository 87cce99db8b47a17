"""Whether the character of d_s_t changed during the run, and from what to what."""

from __future__ import annotations

from dataclasses import dataclass

from ebmdiag.result import Finding, Result, Severity
from ebmdiag.statistics import PAPER


@dataclass(frozen=True)
class Limits:
    """When an oscillation is called strong, as in the analysis acf, and when a change matters; first proposals."""

    lowest: float = -0.1  # autocorrelation over lags 1 to 10
    difference: float = 0.05  # of the lowest autocorrelation: a smaller change is told as one of its shape


LIMITS = Limits()


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """One finding for each change of the autocorrelation, or that there is none."""
    changes = result.estimates["changes"]
    if changes.value is None:
        severity: Severity = "warning" if not result.tables else "info"
        return [Finding("windows-undefined", severity, f"no change of character can be sought: {changes.reason}.")]
    if not changes.value:
        x = result.settings["x"]
        return [Finding("windows-steady", "info", f"the autocorrelation of {x} does not change during the run.", 0.0)]
    return [_change(result, place, limits) for place in range(1, int(changes.value) + 1)]


def _change(result: Result, place: int, limits: Limits) -> Finding:
    table, step = result.tables["stretches"].columns, result.estimates[f"change:{place}"]
    before, after = float(table["lowest"][place - 1]), float(table["lowest"][place])
    words = [_word(value, limits) for value in (before, after)]
    if words[0] != words[1]:
        turn = f"its oscillation turns from {words[0]} to {words[1]}"
    elif abs(after - before) < limits.difference:
        turn = f"its autocorrelation changes its shape, but it oscillates as before ({words[0]})"
    else:
        turn = f"its oscillation becomes {'stronger' if after < before else 'weaker'} and stays {words[0]}"
    statement = (
        f"{result.settings['x']} changes its character at step {step.value:.0f} ({step.low:.0f} to {step.high:.0f}): "
        f"{turn}; lowest autocorrelation {before:.3f} at lag {table['lag'][place - 1]} before, {after:.3f} at lag "
        f"{table['lag'][place]} after (permutation p = {table['p_value'][place]:.2g})."
    )
    worse = words == ["weak", "strong"]
    advice = (
        "Look at what the recipe does there: a change of optimizer, of learning rate, of the chains." if worse else ""
    )
    severity: Severity = "warning" if worse else "info"
    return Finding(
        "windows-change", severity, statement, after, limits.lowest, advice, f"{PAPER}, weak and strong oscillation"
    )


def _word(lowest: float, limits: Limits) -> str:
    return "strong" if lowest < limits.lowest else "weak"

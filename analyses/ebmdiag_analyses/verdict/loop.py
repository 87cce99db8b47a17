"""What the fitted learning loop says of axis 1: the autocorrelation that its gain and memory predict."""

from __future__ import annotations

import math

from ebmdiag.numerics.loop import Loop, predict
from ebmdiag.result import Estimate
from ebmdiag.verdict import Evidence
from ebmdiag_analyses.verdict.limits import THEORY, Limits
from ebmdiag_analyses.verdict.reading import Results, estimate, value


def loop_evidence(results: Results, limits: Limits) -> tuple[Evidence, ...]:
    """Lowest short-lag autocorrelation of the preferred loop, if it is reliable; for a memoryless one with bounds."""
    gain = estimate(results, "loop_gain", "fit:gain")
    kind = results["loop_gain"].settings.get("preferred") if "loop_gain" in results else None
    if gain is None or gain.value is None or not gain.reliable or kind not in ("first", "persistent", "momentum"):
        return ()
    memory, share, floor = (
        value(results, "loop_gain", f"fit:{name}") or 0.0 for name in ("memory", "chain_share", "floor")
    )
    lowest = _lowest(kind, gain.value, memory, share, floor, limits)
    bounds = [_lowest(kind, end, memory, share, floor, limits) for end in (gain.high, gain.low) if end]
    if math.isnan(lowest):
        return ()
    low, high = (min(bounds), max(bounds)) if len(bounds) == 2 and not math.isnan(sum(bounds)) else (None, None)
    said = f"the fitted loop ({kind}) has gain {gain.value:.3g}"
    said += f" and memory {memory:.2f}" if memory else ""
    return (
        Evidence(
            "loop_gain: lowest autocorrelation that the fitted loop predicts",
            Estimate(lowest, low, high),
            -limits.strong,
            _says(lowest, high, limits),
            f"{said}: lowest autocorrelation {lowest:.3f}.",
            THEORY,
        ),
    )


def _lowest(kind: str, gain: float, memory: float, share: float, floor: float, limits: Limits) -> float:
    """NaN where the loop is unstable or out of range."""
    try:
        loop = Loop(kind, gain, memory, share if kind == "persistent" else 0.0, floor)  # type: ignore[arg-type]
        return float(predict(loop, int(limits.lags)).difference[1:].min())
    except ValueError:
        return math.nan


def _says(lowest: float, high: float | None, limits: Limits) -> str:
    if lowest < -limits.strong and (high is None or high < -limits.weak):
        return "strongly oscillating"
    return "weakly oscillating" if lowest < -limits.weak else "stable"

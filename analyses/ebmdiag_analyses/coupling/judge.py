"""What the coupling means: who drives whom, with which sign, and whether the loop is closed."""

from __future__ import annotations

from dataclasses import dataclass

from ebmdiag.result import Finding, Result
from ebmdiag.statistics import PAPER
from ebmdiag.terminal import number

D, R = "d_s_t", "r_t"


@dataclass(frozen=True)
class Limits:
    """When one column counts as foretelling the other; first proposals of this project."""

    p_value: float = 0.001  # beyond chance
    share: float = 0.01  # of the innovation variance: enough to matter; long traces make any trifle significant


LIMITS = Limits()


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Each direction, and both together."""
    x, y = result.settings["x"], result.settings["y"]
    order = result.estimates["order"]
    if order.value is None:
        return [Finding("coupling-undefined", "info", f"{x} and {y} cannot be compared: {order.reason}.")]
    if not order.reliable:
        said = f"the coupling of {x} and {y} is not judged: {order.reason}."
        return [Finding("coupling", "info", said)]
    ways = (_way(result, "x_to_y", x, y, limits), _way(result, "y_to_x", y, x, limits))
    found = [finding for finding in ways if finding is not None]
    return [*found, _together(result, len(found), limits)]


def _way(result: Result, way: str, source: str, target: str, limits: Limits) -> Finding | None:
    p_value, share = (result.estimates[f"{way}:{key}"].value for key in ("p", "share"))
    if p_value is None or share is None or p_value >= limits.p_value or share <= limits.share:
        return None
    answer, lag = result.estimates[f"{way}:response"], result.estimates[f"{way}:response_lag"]
    statement = (
        f"{source} foretells {_said(result, target)}: its past explains {share:.1%} of the innovation variance (p "
        f"{_p(p_value)}); a {source} one deviation above what was foretold moves it by {number(answer.value, 2)} of "
        f"its deviations {number(lag.value)} rows later{_meaning(source, target, answer.value)}."
    )
    source_text = f"{PAPER}, expansion and contraction; Granger 1969; limit: this project's first proposal"
    return Finding("coupling", "info", statement, share, limits.share, source=source_text)


def _meaning(source: str, target: str, answer: float | None) -> str:
    if (source, target) != (D, R) or answer is None:
        return ""
    return ": contraction lowers r" if answer < 0 else ": against the paper, contraction raises r"


def _said(result: Result, name: str) -> str:
    return f"the increments of {name}" if name in result.settings["differenced"] else name


def _p(value: float) -> str:
    return f"= {number(value, 2)}" if value > 0 else "< 1e-300"


def _together(result: Result, ways: int, limits: Limits) -> Finding:
    x, y = result.settings["x"], result.settings["y"]
    instant = result.estimates["instant"].value
    within = "" if instant is None else f"; within one row their innovations correlate by {instant:+.2f}"
    said = {
        0: f"neither {x} nor {y} foretells the other (share above {limits.share:g} at p < {limits.p_value:g})",
        1: f"{x} and {y} are coupled one way",
        2: f"{x} and {y} drive each other: the loop is closed",
    }[ways]
    return Finding("coupled", "info", f"{said}{within}.", instant, source=PAPER)

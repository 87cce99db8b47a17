"""What the balance says of the run: growth, settling, the ceiling, drift or diffusion, bursts."""

from __future__ import annotations

from ebmdiag.numerics.bands import quantile
from ebmdiag.result import Estimate, Finding, Result
from ebmdiag.statistics import BY_COLUMN, PAPER
from ebmdiag_analyses.balance.options import CEILING, DRIFT, LIMITS, TEMPERATURE, Limits, R

PROPOSAL = "limit: this project's first proposal"


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Findings on growth and settling, the ceiling, drift against diffusion, and bursts of r."""
    late = result.estimates["r:late"]
    if late.value is None:
        return [Finding("balance", "info", f"{R} cannot be judged: {late.reason}.", source=PAPER)]
    findings = [
        _growth(result, limits),
        _ceiling(result, limits),
        _drift(result),
        _burst(result, limits),
    ]
    return [finding for finding in findings if finding is not None]


def _plus(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _doubt(estimate: Estimate) -> str:
    return "" if estimate.reliable else f"; doubtful: {estimate.reason}"


def _error(result: Result, estimate: Estimate) -> float:
    if estimate.low is None or estimate.high is None:
        return float("inf")
    return (estimate.high - estimate.low) / 2 / quantile(result.settings["level"])


def _growth(result: Result, limits: Limits) -> Finding:
    share, growth, late = (result.estimates[f"r:{name}"] for name in ("growth_share", "growth", "late"))
    if share.value is None:
        return Finding(
            "r-growth", "info", f"{R} is {_plus(late)}; its growth is not known: {share.reason}.", late.value
        )
    beyond = abs(share.value) > limits.errors * _error(result, share)
    seen = f"by {_plus(growth)} per 10,000 iterations over the second half, {abs(share.value):.1%} of its late mean"
    if beyond and abs(share.value) > limits.growth:
        way = "grows" if share.value > 0 else "falls"
        return Finding(
            "r-growth",
            "warning" if share.reliable else "info",
            f"{R} still {way}, {seen}{_doubt(share)}: gradient and noise are not in balance yet.",
            abs(share.value),
            limits.growth,
            "Train on; if r does not level off, lower the learning rate.",
            f"{PAPER}; {PROPOSAL}",
        )
    statement = f"{_settled(result)}; its late mean is {_plus(late)}{_doubt(late)}."
    return Finding("r-growth", "info", statement, abs(share.value), limits.growth, source=f"{PAPER}; {PROPOSAL}")


def _settled(result: Result) -> str:
    settled, tolerance = result.estimates["r:settled"], result.settings["tolerance"]
    if settled.value is None:
        return f"{R} has not settled within {tolerance:.0%}: {settled.reason}"
    if settled.value == result.settings["first_step"]:
        return f"{R} is settled from the first row on (within {tolerance:.0%}){_doubt(settled)}"
    return (
        f"{R} settled (within {tolerance:.0%}) at step {settled.value:.0f}, between {settled.low:.0f} and "
        f"{settled.high:.0f}{_doubt(settled)}"
    )


def _ceiling(result: Result, limits: Limits) -> Finding | None:
    ratio = result.estimates[CEILING]
    if ratio.value is None:
        return None
    error = _error(result, ratio)
    if ratio.value - limits.errors * error > 1:
        said, severity = "above its ceiling: the energy is rougher than any that fits data with this noise", "warning"
    elif ratio.value > limits.near_ceiling:
        said, severity = "near its ceiling: the energy is as rough as the data noise allows", "info"
    else:
        said, severity = "below its ceiling", "info"
    return Finding(
        "r-ceiling",
        "warning" if severity == "warning" and ratio.reliable else "info",
        f"late {R} is {_plus(ratio)} of its ceiling (ε²/2) √N / data noise, {said}{_doubt(ratio)}.",
        ratio.value,
        1.0 if severity == "warning" else limits.near_ceiling,
        "More noise on the data (data.noise), or a smaller epsilon; see also the configurational temperature.",
        f"{BY_COLUMN[CEILING].reference}; {PROPOSAL}",
    )


def _drift(result: Result) -> Finding | None:
    ratio, crossover = result.estimates[DRIFT], result.estimates["crossover"]
    if ratio.value is None:
        return None
    rules = "which rules is not certain"
    if ratio.low is not None and ratio.low > 1:
        rules = "the drift rules each step"
    elif ratio.high is not None and ratio.high < 1:
        rules = "diffusion rules each step"
    reach = ""
    if crossover.value is not None and crossover.value > 1:
        steps = result.settings["langevin_steps"]
        beside = f" (a chain takes {steps})" if steps else ""
        reach = f"; a drift that kept its direction would rule from {crossover.value:.3g} steps on{beside}"
    return Finding(
        "drift-diffusion",
        "info",
        f"late in the run {rules}: drift² / noise² is {_plus(ratio)}{reach}{_doubt(ratio)}.",
        ratio.value,
        1.0,
        source=BY_COLUMN[DRIFT].reference,
    )


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.0f} times"


def _burst(result: Result, limits: Limits) -> Finding | None:
    count = result.estimates["burst:count"]
    if not count.value:
        return None
    first, height = (result.estimates[name].value for name in ("burst:first", "burst:height"))
    heat = result.estimates[TEMPERATURE].value if TEMPERATURE in result.estimates else None
    hot = heat is not None and heat > limits.temperature
    advice = (
        "Lower the learning rate, and keep a checkpoint from before; bursts foretold the divergence in docs/rings.md."
    )
    if hot:
        advice = (
            f"The configurational temperature is {heat:.3g} late in the run: the Langevin step is too large for this "
            "energy. Lower langevin.epsilon, and keep a checkpoint from before."
        )
    return Finding(
        "r-burst",
        "warning",
        f"{R} bursts {_times(count.value)}, first at step {first:.0f}; the highest is {height:.3g} times its level "
        "just before: an early sign of divergence.",
        height,
        limits.burst_factor,
        advice,
        f"docs/rings.md; {PROPOSAL}",
    )

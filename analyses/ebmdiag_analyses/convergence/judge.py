"""What the long run says of the training: one sentence for each question, and the overall one first."""

from __future__ import annotations

from collections.abc import Callable

from ebmdiag.result import Estimate, Finding, Result, Severity
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.limits import AXIS, LIMITS, MARGOSSIAN, PROPOSAL, VEHTARI, Limits
from ebmdiag_analyses.convergence.memory import chains_persist, remembered, states_forgotten
from ebmdiag_analyses.convergence.overall import overall
from ebmdiag_analyses.convergence.states import copies, images, over_training, states
from ebmdiag_analyses.convergence.words import mixing_word


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """The overall finding (``short-run-is-model``, ``short-run-is-not-model``, ``short-run-undetermined``), then one of
    each part; parts that were not recorded are silent.
    """
    parts: tuple[Callable[[Result, Limits], Finding | None], ...] = (
        overall,
        _drift,
        _gap,
        _depth,
        _mixing,
        _nested,
        chains_persist,
        states_forgotten,
        _meeting,
        _acceptance,
        _displacement,
        images,
        states,
        copies,
        over_training,
    )
    return [finding for part in parts if (finding := part(result, limits)) is not None]


def _not_judged(code: str, what: str, estimate: Estimate) -> Finding:
    return Finding(code, "info", f"{what} is not judged: {estimate.reason}.")


def _doubt(*estimates: Estimate) -> str:
    reasons = dict.fromkeys(estimate.reason for estimate in estimates if not estimate.reliable and estimate.reason)
    return f"; doubtful: {'; '.join(reasons)}" if reasons else ""


def _drift(result: Result, limits: Limits) -> Finding:
    """Whether the energy still moves, beyond chance and enough to matter."""
    code, total, errors = "energy-drift", result.estimates["drift:total"], result.estimates["drift:errors"]
    deviation = result.estimates["energy:sd"].value
    if total.value is None or errors.value is None:
        return _not_judged(code, "the drift of the long run's energy", total if total.value is None else errors)
    share = abs(total.value) / deviation if deviation else None
    size = "" if share is None else f", {share:.2g} sd of the data's energy"
    seen = (
        f"from its middle to its end the long run's energy changes by {total.value:+.3g} U "
        f"({errors.value:+.1f} errors{size}){_doubt(total)}"
    )
    if abs(errors.value) <= limits.errors or (share is not None and share <= limits.drift):
        return Finding(code, "info", f"{seen}: no drift that matters.", abs(errors.value), limits.errors, source=AXIS)
    way = "falling" if total.value < 0 else "rising"
    advice = "The chains have not settled: run them longer (--steps) before anything else is concluded."
    statement = f"{seen}: it is still {way}."
    return Finding(code, "warning", statement, abs(errors.value), limits.errors, advice, f"{AXIS}; {PROPOSAL}")


def _gap(result: Result, limits: Limits) -> Finding:
    """Energy of the long run beside that of data and of short runs."""
    code, gap = "energy-gap", result.estimates["energy:long-data"]
    deviation = result.estimates["energy:sd"].value
    if gap.value is None or gap.low is None or gap.high is None:
        return _not_judged(code, "the energy of the long run beside the data's", gap)
    said = f"the long run ends {_beside(gap)} beside data"
    short = result.estimates["energy:long-short"]
    if short.value is not None:
        said += f" and {_beside(short)} beside short runs"
    share = abs(gap.value) / deviation if deviation else float("inf")
    said += f"; the data's energy has sd {number(deviation, 3)}{_doubt(gap)}"
    if gap.low <= 0 <= gap.high or share <= limits.margin:
        return Finding(code, "info", f"{said}.", share, limits.margin, source=AXIS)
    way, from_data = "lower" if gap.value < 0 else "higher", result.settings["init"] == "data"
    return Finding(
        code,
        "warning",
        f"{said}: long chains {'leave for' if from_data else 'are at'} {way} energies.",
        share,
        limits.margin,
        _LEFT if from_data else _ELSEWHERE,
        f"{AXIS}; {PROPOSAL}",
    )


_LEFT = "The density does not hold the data where long chains go."
_ELSEWHERE = (
    "If they have mixed, the density does not hold the data, and the depth scan says when they passed them; "
    "if not, they may only not have arrived."
)


def _beside(gap: Estimate) -> str:
    interval = "" if gap.low is None or gap.high is None else f" ({gap.low:+.3g} to {gap.high:+.3g})"
    return f"{gap.value:+.3g} U{interval}"


def _depth(result: Result, limits: Limits) -> Finding | None:
    """Where d crosses 0; near L and then on: the memory of a short run."""
    code, crossing = "depth-scan", result.estimates.get("depth:crossing_per_L")
    if crossing is None:
        return None
    if crossing.value is None:
        return _not_judged(code, "the depth scan", crossing)
    scan = result.tables["depth:long"].columns
    end, error = float(scan["d"][-1]), float(scan["error"][-1])
    deviation = result.estimates["energy:sd"].value or 0.0
    bounds = f"{number(crossing.low, 3)} to {'…' if crossing.high is None else number(crossing.high, 3)}"
    said = (
        f"U(data) - U(chain) crosses 0 after {crossing.value:.3g} L steps ({bounds}) and ends at {end:+.3g} ± "
        f"{error:.2g} U"
    )
    near = 1 / limits.near_depth <= crossing.value <= limits.near_depth
    if abs(end) <= limits.errors * error or abs(end) <= limits.margin * deviation or not near:
        return Finding(code, "info", f"{said}.", crossing.value, limits.near_depth, source=AXIS)
    return Finding(
        code,
        "warning",
        f"{said}: d is 0 only where training looks, after L steps.",
        crossing.value,
        limits.near_depth,
        "The net holds a memory of L steps, not a density: train with longer or persistent chains, or a lower "
        "learning rate.",
        f"{AXIS}; {PROPOSAL}",
    )


def _mixing(result: Result, limits: Limits) -> Finding:
    rhat, bulk, tail = (result.estimates[name] for name in ("rhat", "ess:bulk", "ess:tail"))
    if rhat.value is None:
        return _not_judged("mixing", "mixing of the long run", rhat)
    tau, needed = result.estimates["tau"], result.estimates["steps_needed"]
    said = (
        f"worst R-hat {rhat.value:.3f}, effective draws {number(bulk.value, 3)} (bulk), {number(tail.value, 3)} (tail)"
    )
    if tau.value is not None:
        said += f", autocorrelation time {tau.value:.3g} steps"
    short = needed.value is not None and needed.value > result.settings["steps"]
    more = f"; a trustworthy time needs at least {needed.value:,.0f} steps in all" if short else ""
    word = mixing_word(result, limits)
    statement = f"the long chains have {word}: {said}{more}."
    if word != "not mixed":
        return Finding("mixing", "info", statement, rhat.value, limits.mixed, source=VEHTARI)
    return Finding(
        "mixing",
        "warning",
        statement,
        rhat.value,
        limits.apart,
        "Each chain knows its own region only: run longer, or with a sampler that crosses barriers (temperatures).",
        f"{VEHTARI}; Gelman and Rubin 1992",
    )


def _nested(result: Result, limits: Limits) -> Finding | None:
    if result.estimates["nested"].value is None:
        return None
    found = _excess(result, "nested", "chains of one start", limits)
    return Finding(
        "starts-forgotten",
        *found,
        "Run longer: chains that began together still know it." if found[0] == "warning" else "",
        f"{MARGOSSIAN}; allowance: F distribution (docs/convergence.md)",
    )


def _meeting(result: Result, limits: Limits) -> Finding | None:
    meet = result.estimates.get("meet")
    if meet is None or meet.value is None:
        return None
    found = _excess(result, "meet", "chains from data, noise or bank", limits)
    return Finding(
        "chains-meet",
        *found,
        "Chains of different starts are in different places: run longer." if found[0] == "warning" else "",
        f"{MARGOSSIAN}, with superchain = kind of start",
    )


def _excess(result: Result, name: str, who: str, limits: Limits) -> tuple[Severity, str, float, float]:
    """Severity, statement, value and limit of a nested R-hat held against what is expected of it."""
    value, expected, allowed, p = (
        float(result.estimates[f"{name}{key}"].value or 0.0) for key in ("", ":expected", ":allowed", ":p")
    )
    said = f"nested R-hat over {who} is {value:.3f} where {expected:.3f} (up to {allowed:.3f}) is expected, p = {p:.2g}"
    if remembered(result, name, limits):
        return "warning", f"{said}: they have not forgotten it.", value, limits.excess * expected
    return "info", f"{said}: no trace of the start.", value, limits.excess * expected


def _acceptance(result: Result, limits: Limits) -> Finding | None:
    found = result.estimates.get("acceptance")
    if found is None or found.value is None:
        return None
    exact, name = result.settings["exact"], result.settings["sampler"]
    swaps = result.estimates.get("swaps")
    more = f"; {swaps.value:.1%} of the swaps are accepted" if swaps is not None and swaps.value is not None else ""
    if exact is None:
        said = f"the acceptance of {name} is {found.value:.1%}{more}"
        return Finding("acceptance", "info", f"{said}; not judged: the table does not say whether {name} is exact.")
    if exact is False:
        said = f"Metropolis would accept {found.value:.1%} of the steps of {name}{more}"
        low, limit = found.value < limits.accepted_unadjusted, limits.accepted_unadjusted
        meaning = "; its chains follow the density only up to the bias of the step"
        advice = "Sample with --sampler mala to see how much of what long chains do is the step's bias."
    else:
        said, meaning = f"{name} accepts {found.value:.1%} of its steps{more}", ""
        low, limit = found.value < limits.accepted_low, limits.accepted_low
        advice = "Chains hardly move: lower the step size."
    severity: Severity = "warning" if low else "info"
    return Finding("acceptance", severity, f"{said}{meaning}.", found.value, limit, advice if low else "", PROPOSAL)


def _displacement(result: Result, limits: Limits) -> Finding | None:
    """Whether chains that began at data are still there."""
    code, ratio = "displacement", result.estimates.get("displacement:ratio")
    if ratio is None:
        return None
    if ratio.value is None:
        return _not_judged(code, "the distance of the chains from their starts", ratio)
    growth = result.estimates["displacement:growth"].value
    still = "" if growth is None or growth <= limits.errors else ", and it still grows"
    said = (
        f"the long chains end {ratio.value:.3g} ({number(ratio.low, 3)} to {number(ratio.high, 3)}) times the distance "
        f"of two independent data items away from their starts{still}{_doubt(ratio)}"
    )
    high = ratio.value if ratio.high is None else ratio.high
    if high >= limits.near_start:
        return Finding(code, "info", f"{said}.", ratio.value, limits.near_start, source=PROPOSAL)
    return Finding(
        code,
        "warning",
        f"{said}: they are still near where they began.",
        ratio.value,
        limits.near_start,
        "That they look like data then says nothing about the density: run longer, or from noise.",
        PROPOSAL,
    )

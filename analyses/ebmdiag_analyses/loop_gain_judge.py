"""What the loop means for the run: does it overshoot, does it ring, and do the gains agree?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmdiag.result import Finding, Result
from ebmdiag.statistics import PAPER
from ebmdiag_analyses.loop_gain_view import FLOOR

D = "d_s_t"
SOURCE = "derived for this project: linear response of the learning loop (docs/loop_gain.md)"


@dataclass(frozen=True)
class Limits:
    """When a loop is judged; first proposals of this project."""

    gain: float = 1.0  # a memoryless loop of higher gain overshoots at each update
    modulus: float = 0.8  # complex poles above it: a wave that lasts
    near: float = 0.07  # how near the modulus must come to √beta to blame the optimizer
    agreement_p: float = 0.01  # Bonferroni over the pairs of gains
    lead: float = 6.0  # of BIC: what usually counts as clear


LIMITS = Limits()


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Which loop is preferred, whether it overshoots or rings, and whether the gains agree."""
    if result.settings["preferred"] is None:
        reason = result.estimates["fit:lead"].reason
        return [Finding("loop-model", "info", f"the learning loop cannot be fitted: {reason}.", source=SOURCE)]
    findings = [_model(result, limits), _oscillation(result, limits), _agreeing(result, limits)]
    return [finding for finding in findings if finding is not None]


def _model(result: Result, limits: Limits) -> Finding:
    lead = result.estimates["fit:lead"]
    value = float(lead.value or 0.0)
    (best, _), *others = _family_leads(result).values()
    weak = "" if value >= limits.lead else ", which is weak evidence"
    over = ", ".join(f"by {distance:.1f} over {model}" for model, distance in others)
    statement = f"{D} prefers {best}: {over} (BIC){weak}"
    if result.settings["preferred"] == "white":
        statement = f"no loop is to be seen: {statement}"
    misfit = result.estimates["fit:misfit_p"].value
    if misfit is not None and misfit < limits.agreement_p:
        statement += f"; yet its spectrum does not fit (p = {misfit:.2g}): something is left to explain"
    doubt = f"; doubtful: {lead.reason}" if lead.reason else ""
    return Finding("loop-model", "info", f"{statement}{doubt}.", value, limits.lead, source=SOURCE)


def _family_leads(result: Result) -> dict[str, tuple[str, float]]:
    """The best candidate of each family and how far its BIC lies above the lowest; the preferred one first."""
    models = result.tables["models"].columns
    best: dict[str, tuple[str, float]] = {}
    for name, distance in zip(models["model"].tolist(), models["delta_bic"].tolist(), strict=True):
        best.setdefault(name.removesuffix(FLOOR), (name, distance))
    return best


def _oscillation(result: Result, limits: Limits) -> Finding | None:
    gain, modulus = result.estimates["fit:gain"], result.estimates["fit:modulus"]
    if gain.value is None or modulus.value is None:
        return None
    if not gain.reliable or not modulus.reliable:
        reason = gain.reason or modulus.reason
        return Finding("loop-gain", "info", f"the fitted gain is {gain.value:.3g}, not judged: {reason}.", gain.value)
    if result.settings["complex_poles"] and modulus.value > limits.modulus:
        return _ringing(result, modulus.value, limits)
    if result.settings["preferred"] == "first":
        return _first_order(gain.value, gain.low or 0.0, gain.high or math.inf, limits)
    said = f"the loop has gain {gain.value:.3g} and poles of modulus {modulus.value:.3f}"
    return Finding(
        "loop-gain", "info", f"{said}: fluctuations die out fast.", modulus.value, limits.modulus, source=SOURCE
    )


def _first_order(gain: float, low: float, high: float, limits: Limits) -> Finding:
    said = f"the loop gain is {gain:.3g} ({low:.3g} to {high:.3g})"
    if low > limits.gain:
        return Finding(
            "loop-gain",
            "warning",
            f"{said}, above {limits.gain:g}: each update overshoots, {D} alternates in sign (strong oscillation).",
            gain,
            limits.gain,
            "Lower the learning rate in proportion: the gain is the learning rate times a susceptibility; 2 diverges.",
            f"{PAPER}, strong oscillation; {SOURCE}",
        )
    left = "it may overshoot" if high > limits.gain else "errors die out without overshoot"
    return Finding("loop-gain", "info", f"{said}: {left}.", gain, limits.gain, source=SOURCE)


def _ringing(result: Result, modulus: float, limits: Limits) -> Finding:
    period, beta = result.estimates["fit:period"].value, result.settings["beta"]
    said = f"the loop rings: complex poles of modulus {modulus:.3f}, a wave of about {period:.3g} iterations"
    advice = "Lower the learning rate; then look again."
    if beta and abs(modulus - math.sqrt(beta)) < limits.near:
        said += f", near √beta = {math.sqrt(beta):.3f} of the optimizer ({result.settings['optimizer']}, {beta:g})"
        advice = "The optimizer's momentum resonates: lower it (Adam's beta1), or take SGD without momentum."
    elif result.settings["preferred"] == "persistent":
        advice = "The chains lag behind the parameters: more Langevin steps an iteration, or a lower learning rate."
    elif beta is None:
        advice = f"If the optimizer has momentum near {modulus**2:.2f}, lower it; else lower the learning rate."
    return Finding(
        "loop-ringing",
        "warning",
        f"{said}.",
        modulus,
        limits.modulus,
        advice,
        f"{PAPER}, strong oscillation; {SOURCE}",
    )


def _agreeing(result: Result, limits: Limits) -> Finding | None:
    agreement = result.estimates["agreement_p"]
    if agreement.value is None:
        return None
    gains = [
        f"{estimate.value:.3g} from {name.removeprefix('gain:')}"
        for name, estimate in result.estimates.items()
        if name.startswith("gain:") and estimate.value is not None
    ]
    said = f"gains of one memoryless mode: {', '.join(gains)} (p = {agreement.value:.2g})"
    if agreement.value < limits.agreement_p:
        meaning = "they disagree: more than one mode, memory in chains or optimizer, or noise of r_t itself"
    else:
        meaning = "they cannot be told apart"
    doubt = f"; doubtful: {agreement.reason}" if agreement.reason else ""
    statement = f"{said}; {meaning}{doubt}."
    return Finding("loop-agreement", "info", statement, agreement.value, limits.agreement_p, source=SOURCE)

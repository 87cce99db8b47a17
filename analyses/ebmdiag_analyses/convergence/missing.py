"""What keeps agreement of short and long runs and data from being shown, and what would show it."""

from __future__ import annotations

import math

from ebmdiag.result import Result
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.held import Held
from ebmdiag_analyses.convergence.limits import Limits
from ebmdiag_analyses.convergence.means import ONE_START
from ebmdiag_analyses.convergence.memory import mixed, persistent, remembered, unforgotten
from ebmdiag_analyses.convergence.samples import COMPARISONS
from ebmdiag_analyses.convergence.words import mixing_word


def missing(result: Result, held: list[Held], limits: Limits) -> list[str]:
    """What keeps agreement from being shown; empty where it is shown."""
    phases = result.settings["phases"]
    absent = [kind for kind in ("data", "short", "long") if kind not in phases]
    if absent:
        return [f"there are no chains of the phase {' and '.join(absent)}"]
    if result.settings["temperature"] != 1:
        return [f"the long chains ran at temperature {result.settings['temperature']:g}, not 1"]
    return [
        *_unmixed(result, limits),
        *_apart(result, limits),
        *_biased(result, limits),
        *unforgotten(result, limits),
        *_unshown(held, limits),
        *_unlike(result, limits),
    ]


def _unmixed(result: Result, limits: Limits) -> list[str]:
    if mixed(result, limits):
        return []
    rhat, needed = result.estimates["rhat"], result.estimates["steps_needed"].value
    if rhat.value is None:
        return [f"mixing is unknown ({rhat.reason})"]
    word, steps = mixing_word(result, limits), result.settings["steps"]
    more = f"at least {needed - steps:,.0f} more steps" if needed is not None and needed > steps else "more steps"
    if word == "not mixed":
        return [f"the long chains have {word} (R-hat {rhat.value:.3g}): {more} are needed"]
    if not remembered(result, "nested", limits):
        if persistent(result, limits):
            return [
                f"the long chains have {word} (R-hat {rhat.value:.3g}), but keep places of their own: {more} are needed"
            ]
        return []  # what whole states remember is said by itself
    nested = number(result.estimates["nested"].value, 4)
    return [
        f"the long chains have {word} (R-hat {rhat.value:.3g}), but those of one start still know it (nested R-hat "
        f"{nested}): {more} are needed"
    ]


def _apart(result: Result, limits: Limits) -> list[str]:
    """Whether chains from another kind of start are somewhere else: a mode that these may never have seen."""
    if not remembered(result, "meet", limits):
        return []
    meet = number(result.estimates["meet"].value, 4)
    return [
        f"long chains from other kinds of start are in different places (nested R-hat {meet}): more steps are needed"
    ]


def _biased(result: Result, limits: Limits) -> list[str]:
    """Why long runs of an unadjusted sampler may agree with short ones on a law that is not the model's.

    Of N normals with h²λ/4 = x the energy is x / (1 - x) √(N/2) deviations too high, and a share of about
    0.8 √(N x³ / (1 - x)) of the steps would be refused.
    """
    if result.settings["exact"] is not False:
        return []
    found, name = result.estimates.get("acceptance"), result.settings["sampler"]
    if found is None or found.value is None:
        return [f"{name} is unadjusted, and what Metropolis would accept of its steps was not recorded: --sampler mala"]
    if found.value >= limits.accepted_unbiased:
        return []
    return [
        f"{name} is unadjusted, and Metropolis would accept {found.value:.1%} of its steps, where "
        f"{limits.accepted_unbiased:.0%} is the least: what agrees may be the step's law, not the model's; "
        "--sampler mala would decide"
    ]


def _unshown(held: list[Held], limits: Limits) -> list[str]:
    open_ones = [item for item in held if not item.agrees]
    if not open_ones:
        return []
    unknown = [item for item in open_ones if not item.known]
    if unknown:
        why = ONE_START if unknown[0].starts < 2 else f"the error of {unknown[0].measure} is not known"
        return [f"{len(unknown)} of {len(held)} differences are not judged: {why}"]
    worst = max(open_ones, key=lambda item: math.inf if item.needed is None else item.needed)
    said = f"{len(open_ones)} of {len(held)} differences are not shown to lie within {limits.margin:g} sd: {worst.said}"
    if worst.needed is None:
        return [f"{said}, at the margin or beyond"]
    return [f"{said}; about {worst.needed} independent starts (now {worst.starts}) would decide"]


def shares(result: Result) -> dict[str, float]:
    """Pair of phases → share of the energy distance between whole states, where it is known."""
    table = result.tables.get("two_sample")
    if table is None:
        return {}
    pairs = zip(table.columns["pair"].tolist(), table.columns["share"].tolist(), strict=True)
    return {pair: share for pair, share in pairs if math.isfinite(share)}


def _unlike(result: Result, limits: Limits) -> list[str]:
    """Whole states that are not compared, or further apart than a shift by the margin would take them."""
    known = shares(result)
    for first, second in COMPARISONS:
        pair = f"{first}-{second}"
        if pair not in known:
            reason = result.estimates[f"two_sample:{pair}"].reason or "they have no distance"
            return [f"whole states of {first} and {second} are not compared ({reason})"]
    pair, share = max(known.items(), key=lambda item: item[1])
    if share <= limits.share:
        return []
    between = " and ".join(pair.split("-"))
    return [f"whole states of {between} differ by a share of {share:.2g}, where {limits.share:.2g} is the most"]

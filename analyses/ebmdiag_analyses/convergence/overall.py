"""The overall question: is the law of the short runs the model's, and is that the data's?

The second axis of Nijkamp et al. 2020. Agreement has to be shown and not just not refuted (``agreement``):
``short-run-is-model`` asks for a long run that has mixed, does not drift, agrees with short runs and stays with the
data, in the means and spreads of all measures and in whole states. One difference that is shown is enough for
``short-run-is-not-model``, if it is not just that the long run has not arrived. The rest is undetermined, with what
would decide it.
"""

from __future__ import annotations

import math

from ebmdiag.result import Finding, Result
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.agreement import SPREAD
from ebmdiag_analyses.convergence.held import Held, held_against
from ebmdiag_analyses.convergence.images import IMAGE_MEASURES
from ebmdiag_analyses.convergence.limits import AXIS, PROPOSAL, Limits
from ebmdiag_analyses.convergence.means import ONE_START
from ebmdiag_analyses.convergence.memory import remembered, states_remembered, unforgotten
from ebmdiag_analyses.convergence.samples import COMPARISONS
from ebmdiag_analyses.convergence.words import mixing_word


def overall(result: Result, limits: Limits) -> Finding:
    """The one sentence, and what it would take to know where nothing is shown."""
    held = held_against(result, limits)
    against = [item for item in held if item.differs and _decides(item, result, limits)]
    test = result.estimates["two_sample:short-long"].value
    tested = test is not None and test < limits.p and _decides_short(result, limits)
    largest = max((abs(item.value) for item in held if math.isfinite(item.value)), default=None)
    if result.settings["temperature"] == 1 and (against or tested):
        shown = [item.said for item in sorted(against, key=lambda item: -abs(item.value))[:3]]
        shown += [f"two-sample tests tell short from long runs (p = {test:.2g})"] if tested else []
        return Finding(
            "short-run-is-not-model",
            "warning",
            f"short runs are no samples of a density that holds the data: {'; '.join(shown)}.",
            largest,
            limits.margin,
            "Samples of L steps may still be good; do not read the energy as a density.",
            f"{AXIS}; {PROPOSAL}",
        )
    missing = _missing(result, held, limits)
    if missing:
        statement = f"whether short runs sample the model is undetermined: {'; '.join(missing)}."
        return Finding(
            "short-run-undetermined", "info", statement, largest, limits.margin, source=f"{AXIS}; {PROPOSAL}"
        )
    seen = _SEEN_BY[result.settings["exact"]]
    return Finding(
        "short-run-is-model",
        "info",
        f"short runs sample the model{seen}, as far as energy, projections and end states see: the long run has "
        f"{mixing_word(result, limits)}, does not drift, and agrees with short runs and data "
        f"within {limits.margin:g} sd in {_compared(held)}; whole states differ by a share of "
        f"{max(_shares(result).values()):.2g} at most ({limits.share:.2g} would matter).",
        largest,
        limits.margin,
        source=f"{AXIS}; {PROPOSAL}",
    )


_SEEN_BY = {
    True: "",
    False: " (as the unadjusted sampler sees it)",
    None: " (as its sampler sees it, which may be biased: the table does not say)",
}


def _compared(held: list[Held]) -> str:
    """What the agreement was looked for in."""
    names = {item.measure.removeprefix(SPREAD) for item in held}
    projections = " and projections" if any(name.startswith("projection_") for name in names) else ""
    images = " and in the means of the image measures" if names & set(IMAGE_MEASURES) else ""
    return f"the means and spreads of energy{projections}{images}"


def _decides(item: Held, result: Result, limits: Limits) -> bool:
    """Whether a difference speaks against the model, and not only against the training's balance.

    Chains that began at data and left them show that the data's law is not invariant, and drift wherever they are;
    chains from elsewhere may only not have arrived.
    """
    from_data = result.settings["init"] == "data"
    if item.pair == "long-data":
        return from_data or _mixed(result, limits)
    if item.pair == "drift":
        return from_data or _decides_short(result, limits)
    return item.pair == "long-short" and _decides_short(result, limits)


def _decides_short(result: Result, limits: Limits) -> bool:
    """Whether it matters that long runs differ from short ones.

    Until they have mixed, chains that sit at the data where they began differ from short runs as data do, and chains
    from elsewhere as what has not arrived; but not those that go on where short runs begin.
    """
    return bool(result.settings["begins_like_short"]) or _mixed(result, limits)


def _mixed(result: Result, limits: Limits) -> bool:
    """Enough to be told from what has not arrived: nearly at least, with the starts forgotten."""
    remembers = remembered(result, "nested", limits) or states_remembered(result, limits)
    return mixing_word(result, limits) in ("mixed", "nearly mixed") and not remembers


def _missing(result: Result, held: list[Held], limits: Limits) -> list[str]:
    """What keeps agreement from being shown; empty where it is shown."""
    phases = result.settings["phases"]
    absent = [kind for kind in ("data", "short", "long") if kind not in phases]
    if absent:
        return [f"there are no chains of the phase {' and '.join(absent)}"]
    if result.settings["temperature"] != 1:
        return [f"the long chains ran at temperature {result.settings['temperature']:g}, not 1"]
    return [
        *_unmixed(result, limits),
        *unforgotten(result, limits),
        *_unshown(held, limits),
        *_unlike(result, limits),
    ]


def _unmixed(result: Result, limits: Limits) -> list[str]:
    if _mixed(result, limits):
        return []
    rhat, needed = result.estimates["rhat"], result.estimates["steps_needed"].value
    if rhat.value is None:
        return [f"mixing is unknown ({rhat.reason})"]
    word, steps = mixing_word(result, limits), result.settings["steps"]
    more = f"at least {needed - steps:,.0f} more steps" if needed is not None and needed > steps else "more steps"
    if word == "not mixed":
        return [f"the long chains have {word} (R-hat {rhat.value:.3g}): {more} are needed"]
    if not remembered(result, "nested", limits):
        return []  # what whole states remember is said by itself
    nested = number(result.estimates["nested"].value, 4)
    return [
        f"the long chains have {word} (R-hat {rhat.value:.3g}), but those of one start still know it (nested R-hat "
        f"{nested}): {more} are needed"
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


def _shares(result: Result) -> dict[str, float]:
    """Pair of phases → share of the energy distance between whole states, where it is known."""
    table = result.tables.get("two_sample")
    if table is None:
        return {}
    pairs = zip(table.columns["pair"].tolist(), table.columns["share"].tolist(), strict=True)
    return {pair: share for pair, share in pairs if math.isfinite(share)}


def _unlike(result: Result, limits: Limits) -> list[str]:
    """Whole states that are not compared, or further apart than a shift by the margin would take them."""
    shares = _shares(result)
    for first, second in COMPARISONS:
        pair = f"{first}-{second}"
        if pair not in shares:
            reason = result.estimates[f"two_sample:{pair}"].reason or "they have no distance"
            return [f"whole states of {first} and {second} are not compared ({reason})"]
    pair, share = max(shares.items(), key=lambda item: item[1])
    if share <= limits.share:
        return []
    between = " and ".join(pair.split("-"))
    return [f"whole states of {between} differ by a share of {share:.2g}, where {limits.share:.2g} is the most"]

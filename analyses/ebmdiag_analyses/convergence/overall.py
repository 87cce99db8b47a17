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
from ebmdiag_analyses.convergence.agreement import SPREAD
from ebmdiag_analyses.convergence.held import Held, held_against
from ebmdiag_analyses.convergence.images import IMAGE_MEASURES
from ebmdiag_analyses.convergence.limits import AXIS, PROPOSAL, Limits
from ebmdiag_analyses.convergence.memory import mixed
from ebmdiag_analyses.convergence.missing import missing, shares
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
    open_points = missing(result, held, limits)
    if open_points:
        statement = f"whether short runs sample the model is undetermined: {'; '.join(open_points)}."
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
        f"{max(shares(result).values()):.2g} at most ({limits.share:.2g} would matter).",
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
        return from_data or mixed(result, limits)
    if item.pair == "drift":
        return from_data or _decides_short(result, limits)
    return item.pair == "long-short" and _decides_short(result, limits)


def _decides_short(result: Result, limits: Limits) -> bool:
    """Whether it matters that long runs differ from short ones.

    Until they have mixed, chains that sit at the data where they began differ from short runs as data do, and chains
    from elsewhere as what has not arrived; but not those that go on where short runs begin.
    """
    return bool(result.settings["begins_like_short"]) or mixed(result, limits)

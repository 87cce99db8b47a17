"""The overall question: is the law of the short runs the model's, and is that the data's?

The second axis of Nijkamp et al. 2020. Agreement has to be shown and not just not refuted (``agreement``):
``short-run-is-model`` asks for a long run that has mixed, does not drift, agrees with short runs and stays with the
data, in all measures. One difference that is shown is enough for ``short-run-is-not-model``. The rest is
undetermined, with what would decide it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ebmdiag.result import Finding, Result
from ebmdiag_analyses.convergence.limits import AXIS, PROPOSAL, Limits
from ebmdiag_analyses.convergence.means import student

_SAID = {
    "long-data": "the long run is {size} sd off the data in {measure}",
    "long-short": "the long run is {size} sd off the short runs in {measure}",
    "short-data": "short runs are {size} sd off the data in {measure}",
    "drift": "the long run's energy changes by {size} sd of the data's from its middle to its end",
}


@dataclass(frozen=True)
class Held:
    """One difference held against the margin."""

    pair: str
    measure: str
    value: float
    agrees: bool
    differs: bool
    starts: int
    needed: int | None

    @property
    def said(self) -> str:
        """In words."""
        return _SAID[self.pair].format(size=f"{self.value:+.2g}", measure=self.measure)


def overall(result: Result, limits: Limits) -> Finding:
    """The one sentence, and what it would take to know where nothing is shown."""
    held = held_against(result, limits)
    against = [item for item in held if item.differs and _decides(item, result, limits)]
    test = result.estimates["two_sample:short-long"].value
    tested = test is not None and test < limits.p and _decides_short(result, limits)
    largest = max((abs(item.value) for item in held), default=None)
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
    biased = " (as the unadjusted sampler sees it)" if result.settings["adjusted"] is False else ""
    return Finding(
        "short-run-is-model",
        "info",
        f"short runs sample the model{biased}: the long run has mixed, does not drift, and agrees with short runs and "
        f"data within {limits.margin:g} sd in all measures.",
        largest,
        limits.margin,
        source=f"{AXIS}; {PROPOSAL}",
    )


def held_against(result: Result, limits: Limits) -> list[Held]:
    """Each row of the table ``agreement``: shown to agree, shown to differ, or neither."""
    table = result.tables.get("agreement")
    if table is None:
        return []
    columns = [table.columns[name].tolist() for name in ("pair", "measure", "difference", "error", "freedom", "starts")]
    rows = list(zip(*columns, strict=True))
    return [_held(row, result.settings["level"], len(rows), limits.margin) for row in rows]


def _held(row: tuple[str, str, float, float, float, int], level: float, rows: int, margin: float) -> Held:
    pair, measure, value, error, freedom, starts = row
    if not math.isfinite(value) or not math.isfinite(error):
        return Held(pair, measure, value, agrees=False, differs=False, starts=starts, needed=None)
    narrow = student(max(0.0, 2 * level - 1), freedom) * error
    wide = student(1 - (1 - level) / rows, freedom) * error
    agrees, differs = abs(value) + narrow < margin, abs(value) - wide > margin
    room = margin - abs(value)
    needed = math.ceil(starts * (narrow / room) ** 2) if room > 0 else None
    return Held(pair, measure, value, agrees=agrees, differs=differs, starts=starts, needed=needed)


def _decides(item: Held, result: Result, limits: Limits) -> bool:
    """Whether a difference speaks against the model, and not only against the training's balance.

    Chains that began at data and left them show that the data's law is not invariant; chains from elsewhere may only
    not have arrived.
    """
    if item.pair == "long-data":
        return result.settings["init"] == "data" or _mixed(result, limits)
    return item.pair == "drift" or (item.pair == "long-short" and _decides_short(result, limits))


def _decides_short(result: Result, limits: Limits) -> bool:
    """Chains that sit at the data where they began differ from short runs as data do, whatever the density is."""
    return result.settings["init"] != "data" or _mixed(result, limits)


def _mixed(result: Result, limits: Limits) -> bool:
    rhat = result.estimates["rhat"].value
    nested = result.estimates["nested"].value, result.estimates.get("nested:p")
    remembers = False
    if nested[0] is not None and nested[1] is not None:
        expected, p = float(result.estimates["nested:expected"].value or 1.0), float(nested[1].value or 0.0)
        remembers = p < limits.p and nested[0] > limits.excess * expected
    return rhat is not None and rhat <= limits.apart and not remembers


def _missing(result: Result, held: list[Held], limits: Limits) -> list[str]:
    """What keeps agreement from being shown; empty where it is shown."""
    phases = result.settings["phases"]
    absent = [kind for kind in ("data", "short", "long") if kind not in phases]
    if absent:
        return [f"there are no chains of the phase {' and '.join(absent)}"]
    if result.settings["temperature"] != 1:
        return [f"the long chains ran at temperature {result.settings['temperature']:g}, not 1"]
    return [*_unmixed(result, limits), *_unshown(held, limits)]


def _unmixed(result: Result, limits: Limits) -> list[str]:
    if _mixed(result, limits):
        return []
    rhat, needed = result.estimates["rhat"], result.estimates["steps_needed"].value
    if rhat.value is None:
        return [f"mixing is unknown ({rhat.reason})"]
    steps = result.settings["steps"]
    more = f"at least {needed - steps:,.0f} more steps" if needed is not None and needed > steps else "more steps"
    return [f"the long chains have not mixed (R-hat {rhat.value:.3g}): {more} are needed"]


def _unshown(held: list[Held], limits: Limits) -> list[str]:
    open_ones = [item for item in held if not item.agrees]
    if not open_ones:
        return []
    worst = max(open_ones, key=lambda item: math.inf if item.needed is None else item.needed)
    said = f"{len(open_ones)} of {len(held)} differences are not shown to lie within {limits.margin:g} sd: {worst.said}"
    if worst.needed is None:
        return [f"{said}, at the margin or beyond"]
    return [f"{said}; about {worst.needed} independent starts (now {worst.starts}) would decide"]

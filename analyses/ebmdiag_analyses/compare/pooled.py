"""From the numbers of the runs to those of their recipes, and to what tells the recipes apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ebmdiag.numerics.contrast import Contrast
from ebmdiag.numerics.pooling import (
    Disagreement,
    Pooled,
    difference,
    difference_of_two,
    disagreement,
    pool,
    runs_needed,
    spread,
)
from ebmdiag_analyses.compare.options import Limits
from ebmdiag_analyses.compare.quantities import Number, Quantity

ALONE = "one run of each: this tells these two runs apart, not their recipes"
ONE_LEFT = "a single run on one side, held against the spread of the other's as if its own were the same"


@dataclass(frozen=True)
class Seeds:
    """One quantity of one group: pooled over its runs, whether they disagree, and why to doubt it."""

    quantity: Quantity
    group: int
    pooled: Pooled
    disagreement: Disagreement
    error: float
    doubt: str
    adjusted: float = math.nan


@dataclass(frozen=True)
class Difference:
    """One quantity of a group minus that of the baseline, the first group.

    Attributes:
        outcome: ``differs``, ``alike`` (shown to be within the margin), ``differs within the margin`` or ``open``.
        adjusted, alike: p of being different and of being not alike, after Benjamini and Hochberg over all.
        needed: runs of each recipe that would settle an open one; None where that is not known, or beyond 10,000.
    """

    quantity: Quantity
    group: int
    contrast: Contrast
    doubt: str
    spreads: tuple[float, float]
    adjusted: float = math.nan
    alike: float = math.nan
    outcome: str = "open"
    needed: int | None = None


Numbers = Sequence[Mapping[str, Number]]
"""Of each counted run of a group."""


def pooled(groups: Sequence[Numbers], wanted: Sequence[Quantity], level: float) -> list[Seeds]:
    """Every quantity of every group that has it, quantity by quantity; the p of disagreement adjusted over all."""
    found = [one for quantity in wanted for one in _of_quantity(groups, quantity, level)]
    adjusted = _adjusted([one.disagreement.p_value for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def _of_quantity(groups: Sequence[Numbers], quantity: Quantity, level: float) -> Iterator[Seeds]:
    for group, runs in enumerate(groups):
        own = _finite(runs, quantity)
        if own:
            values, errors = _values(own), [one.error for one in own]
            yield Seeds(
                quantity,
                group,
                pool(values, level),
                disagreement(values, errors),
                errors[0],
                _doubt(runs, own, quantity),
            )


def _finite(runs: Numbers, quantity: Quantity) -> list[Number]:
    return [run[quantity.name] for run in runs if quantity.name in run and math.isfinite(run[quantity.name].value)]


def _doubt(runs: Numbers, own: Sequence[Number], quantity: Quantity) -> str:
    """Why not to trust a pooled number: the first reason that a run's number has, and how many have one."""
    reasons = [one.reason for one in own if one.reason]
    missing = [run[quantity.name].reason for run in runs if quantity.name in run and run[quantity.name] not in own]
    if missing:
        return f"{len(missing)} of {len(runs)} runs have none: {missing[0]}"
    return f"{len(reasons)} of {len(own)} runs: {reasons[0]}" if reasons else ""


def differences(
    groups: Sequence[Numbers], wanted: Sequence[Quantity], level: float, limits: Limits
) -> list[Difference]:
    """Every quantity of every group but the first, against the first; outcomes after correction for their number."""
    found = [one for quantity in wanted for one in _against_first(groups, quantity)]
    unequal = _adjusted([one.contrast.p_value for one in found])
    equal = _adjusted([_equivalence(one) for one in found])
    return [
        _decided(replace(one, adjusted=p, alike=q), level, limits)
        for one, p, q in zip(found, unequal, equal, strict=True)
    ]


def _against_first(groups: Sequence[Numbers], quantity: Quantity) -> Iterator[Difference]:
    first = _finite(groups[0], quantity)
    for group, runs in enumerate(groups[1:], 1):
        own = _finite(runs, quantity)
        if first and own:
            contrast, doubt = _contrast(first, own)
            doubts = [doubt, _doubt(groups[0], first, quantity), _doubt(runs, own, quantity)]
            yield Difference(
                quantity,
                group,
                contrast,
                next((one for one in doubts if one), ""),
                (spread(_values(first)), spread(_values(own))),
            )


def _contrast(first: Sequence[Number], second: Sequence[Number]) -> tuple[Contrast, str]:
    if len(first) == len(second) == 1:
        errors = first[0].error, second[0].error
        return difference_of_two(first[0].value, second[0].value, errors), ALONE
    doubt = ONE_LEFT if min(len(first), len(second)) == 1 else ""
    return difference(_values(first), _values(second)), doubt


def _values(runs: Sequence[Number]) -> list[float]:
    return [one.value for one in runs]


def _equivalence(one: Difference) -> float:
    return math.nan if one.quantity.distance is None else one.contrast.equivalence_p(one.quantity.distance)


def _adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg 1995 over those that are there; NaN stays."""
    from scipy.stats import false_discovery_control

    known = [p for p in p_values if not math.isnan(p)]
    found = iter(false_discovery_control(known).tolist() if known else [])
    return [p if math.isnan(p) else next(found) for p in p_values]


def _decided(one: Difference, level: float, limits: Limits) -> Difference:
    differs, alike = one.adjusted <= limits.discoveries, one.alike <= limits.discoveries
    if not differs and not alike:
        return replace(one, needed=_needed(one, level))
    said = "differs within the margin" if differs and alike else "differs" if differs else "alike"
    return replace(one, outcome=said)


def _needed(one: Difference, level: float) -> int | None:
    """Runs of each recipe that would tell on which side of the margin the difference lies, if it stayed what it is."""
    distance = one.quantity.distance
    spreads = [own for own in one.spreads if not math.isnan(own)]
    if distance is None or not spreads:
        return None
    both = (spreads[0], spreads[-1])
    away = abs(distance - abs(one.contrast.value))
    return runs_needed(both, away, level) if away > 0 else None

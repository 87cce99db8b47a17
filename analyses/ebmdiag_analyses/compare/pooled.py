"""From the numbers of the runs to those of their recipes, and to what tells the recipes apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ebmdiag.numerics.contrast import Contrast
from ebmdiag.numerics.discoveries import adjusted
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
ONE_RUN = "one run: what another seed would do is not known"
NO_SPREAD = "runs with exactly the same number: what varies from seed to seed is not in it"

Numbers = Sequence[Mapping[str, Number]]
"""Of each counted run of a group."""


@dataclass(frozen=True)
class Seeds:
    """One quantity of one group.

    Attributes:
        pooled: over its runs; None where no run has a number.
        disagreement: of its runs, if the errors of all their numbers can be trusted; else NaN.
        own_error: of the number of a single run; NaN of several.
        doubt: why not to trust it; empty if it can be trusted.
        adjusted: the p of disagreement after Benjamini and Hochberg over all groups and quantities.
    """

    quantity: Quantity
    group: int
    pooled: Pooled | None
    disagreement: Disagreement
    own_error: float
    doubt: str
    adjusted: float = math.nan


@dataclass(frozen=True)
class Difference:
    """One quantity of a group minus that of the baseline.

    Attributes:
        alone: whether single runs are held against each other.
        spreads, runs: of the baseline's and of the group's numbers.
        outcome: ``differs``, ``alike`` (shown to be within the margin), ``differs within the margin`` or ``open``.
        adjusted, alike: p of being no different and of being not alike, after Benjamini and Hochberg over all.
        needed: runs of each recipe that would settle an open one; None where that is not known, or beyond 10,000.
    """

    quantity: Quantity
    group: int
    contrast: Contrast
    alone: bool
    doubt: str
    spreads: tuple[float, float]
    runs: tuple[int, int]
    adjusted: float = math.nan
    alike: float = math.nan
    outcome: str = "open"
    needed: int | None = None


def pooled(groups: Sequence[Numbers], wanted: Sequence[Quantity], level: float) -> list[Seeds]:
    """Every quantity of every group whose runs have its columns; quantity by quantity."""
    found = [
        _seeds(quantity, group, [run[quantity.name] for run in runs if quantity.name in run], level)
        for quantity in wanted
        for group, runs in enumerate(groups)
        if any(quantity.name in run for run in runs)
    ]
    corrected = adjusted([one.disagreement.p_value for one in found]).tolist()
    return [replace(one, adjusted=p) for one, p in zip(found, corrected, strict=True)]


def _seeds(quantity: Quantity, group: int, numbers: Sequence[Number], level: float) -> Seeds:
    own, unknown = _finite(numbers), Disagreement(math.nan, math.nan, math.nan)
    doubt = "; ".join(_doubts(numbers, own))
    if not own:
        return Seeds(quantity, group, None, unknown, math.nan, doubt)
    values = _values(own)
    trusted = len(own) > 1 and not any(one.reason for one in own)
    apart = disagreement(values, [one.error for one in own], [one.freedom for one in own]) if trusted else unknown
    error = own[0].error if len(own) == 1 else math.nan
    return Seeds(quantity, group, pool(values, level), apart, error, doubt)


def _finite(numbers: Sequence[Number]) -> list[Number]:
    return [one for one in numbers if math.isfinite(one.value)]


def _values(numbers: Sequence[Number]) -> list[float]:
    return [one.value for one in numbers]


def _doubts(numbers: Sequence[Number], own: Sequence[Number]) -> list[str]:
    """Why not to trust a pooled number; the errors of its runs do not matter where there are several."""
    missing = [one.reason for one in numbers if not math.isfinite(one.value)]
    said = [f"{len(missing)} of {len(numbers)} runs have none: {missing[0]}"] if missing else []
    if len(own) == 1:
        said += [ONE_RUN, *([own[0].reason] if own[0].reason else [])]
    elif own and len(set(_values(own))) == 1:
        said.append(NO_SPREAD)
    return said


def differences(
    groups: Sequence[Numbers], baseline: int, wanted: Sequence[Quantity], limits: Limits
) -> list[Difference]:
    """Every quantity of every other group against the baseline; outcomes after correction for their number."""
    found = [one for quantity in wanted for one in _against(groups, baseline, quantity)]
    unequal = adjusted([one.contrast.p_value for one in found]).tolist()
    equal = adjusted([_equivalence(one) for one in found]).tolist()
    return [
        _decided(replace(one, adjusted=p, alike=q), limits) for one, p, q in zip(found, unequal, equal, strict=True)
    ]


def _against(groups: Sequence[Numbers], baseline: int, quantity: Quantity) -> Iterator[Difference]:
    held = [[run[quantity.name] for run in runs if quantity.name in run] for runs in groups]
    first = _finite(held[baseline])
    for group, numbers in enumerate(held):
        own = _finite(numbers)
        if group != baseline and first and own:
            alone = len(first) == len(own) == 1
            doubt = ALONE if alone else ONE_LEFT if 1 in (len(first), len(own)) else ""
            doubts = [doubt, *_doubts(held[baseline], first), *_doubts(numbers, own)]
            yield Difference(
                quantity,
                group,
                _two_runs(first[0], own[0]) if alone else difference(_values(first), _values(own)),
                alone,
                "; ".join(dict.fromkeys(said for said in doubts if said and said != ONE_RUN)),
                (spread(_values(first)), spread(_values(own))),
                (len(first), len(own)),
            )


def _two_runs(first: Number, second: Number) -> Contrast:
    return difference_of_two((first.value, second.value), (first.error, second.error), (first.freedom, second.freedom))


def _equivalence(one: Difference) -> float:
    """NaN where no margin is known, and for single runs, which show nothing of what is alike in their recipes."""
    distance = one.quantity.distance
    return math.nan if distance is None or one.alone else one.contrast.equivalence_p(distance)


def _decided(one: Difference, limits: Limits) -> Difference:
    differs, alike = one.adjusted <= limits.discoveries, one.alike <= limits.discoveries
    if not differs and not alike:
        return replace(one, needed=_needed(one, limits))
    said = "differs within the margin" if differs and alike else "differs" if differs else "alike"
    return replace(one, outcome=said)


def _needed(one: Difference, limits: Limits) -> int | None:
    known = [own for own in one.spreads if not math.isnan(own)]
    if not known:
        return None
    spreads, distance = (known[0], known[-1]), one.quantity.distance
    return runs_needed(spreads, one.contrast.value, distance, limits.discoveries, more_than=max(one.runs))

"""Pooled numbers and differences as tables and estimates; a quantity that is a ratio is told as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.pooling import Pooled, pool
from ebmdiag.replicates import Group
from ebmdiag.result import Estimate, Table
from ebmdiag_analyses.compare.comparison import Comparison
from ebmdiag_analyses.compare.pooled import Difference, Seeds
from ebmdiag_analyses.compare.quantities import Quantity

Series = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]

PARTS = ("mean", "low", "high")


def recipes(found: Comparison) -> Table:
    """One row a group: its runs, each once, how many count, how many diverged, and in which keys it differs."""
    rows = [
        {
            "recipe": group.label,
            "runs": len(found.distinct(group)),
            "counted": sum(place not in found.left_out for place in group.members),
            "diverged": sum(run.diverged for run in found.distinct(group)),
            "names": ", ".join(run.name for run in found.distinct(group)),
            "differs in": ", ".join(f"{key} = {value}" for key, value in group.differs.items()),
        }
        for group in found.groups
    ]
    return _table("The recipes", rows)


def numbers(found: Sequence[Seeds], labels: Sequence[str]) -> Table:
    """Mean over the runs with its interval, spread, and where a further run lies.

    Of a ratio the mean is geometric; spread, own_error and between are of logarithms, that is, shares of the mean.
    """
    return _table("Pooled over runs", [_number_row(one, one.pooled, labels) for one in found if one.pooled])


def _number_row(one: Seeds, pooled: Pooled, labels: Sequence[str]) -> Mapping[str, Any]:
    shown = one.quantity.shown
    return {
        "quantity": one.quantity.name,
        "recipe": labels[one.group],
        "told_as": _told_as(one.quantity),
        "runs": pooled.runs,
        "mean": shown(pooled.mean),
        "low": shown(pooled.low),
        "high": shown(pooled.high),
        "spread": pooled.spread,
        "new_low": shown(pooled.new_low),
        "new_high": shown(pooled.new_high),
        "own_error": one.own_error,
        "between": one.disagreement.between,
        "disagree_p": one.disagreement.p_value,
        "disagree_adjusted_p": one.adjusted,
        "reliable": not one.doubt,
    }


def _told_as(quantity: Quantity) -> str:
    return "ratio" if quantity.is_ratio else "difference"


def differences(found: Sequence[Difference], labels: Sequence[str], baseline: int, level: float) -> Table:
    """Each other recipe against the baseline."""
    return _table(f"Against {labels[baseline]}", [_difference_row(one, labels, level) for one in found])


def _difference_row(one: Difference, labels: Sequence[str], level: float) -> Mapping[str, Any]:
    shown, (low, high) = one.quantity.shown, one.contrast.bounds(level)
    margin = one.quantity.margin
    return {
        "quantity": one.quantity.name,
        "recipe": labels[one.group],
        "told_as": _told_as(one.quantity),
        "value": shown(one.contrast.value),
        "low": shown(low),
        "high": shown(high),
        "margin": math.nan if margin is None else margin,
        "p": one.contrast.p_value,
        "adjusted_p": one.adjusted,
        "alike_p": one.alike,
        "outcome": one.outcome,
        "runs_needed": math.nan if one.needed is None else one.needed,
        "reliable": not one.doubt,
    }


def every_run(found: Comparison) -> Table:
    """One row a run with its numbers, as they are told."""
    quantities = {one.quantity.name: one.quantity for one in found.seeds}
    label = {place: group.label for group in found.groups for place in group.members}
    rows = []
    for place, (run, own) in enumerate(zip(found.runs, found.measured, strict=True)):
        seed = "–" if run.metadata.seed is None else str(run.metadata.seed)
        row = {
            "run": run.name,
            "recipe": label[place],
            "seed": seed,
            "state": run.metadata.state,
            "last step": run.last,
        }
        for name, quantity in quantities.items():
            row[name] = quantity.shown(own.numbers[name].value) if name in own.numbers else math.nan
        rows.append(row)
    return _table("Every run", rows)


def curves(
    title: str, axis: tuple[str, Series], groups: Sequence[Group], of: Callable[[int], Series | None], level: float
) -> Table:
    """A curve pooled over the runs of each group, point by point.

    Columns: the axis, then of each group ``mean of GROUP``, and ``low of``, ``high of`` the mean's interval (NaN for
    one run).

    Args:
        of: place of a run → its curve, shape (points,), or None where it does not count.
    """
    name, points = axis
    columns: dict[str, NDArray[Any]] = {name: points}
    for group in groups:
        held = [curve for place in group.members if (curve := of(place)) is not None]
        band = _band(np.array(held).reshape(len(held), len(points)), level)
        columns |= {f"{what} of {group.label}": values for what, values in zip(PARTS, band, strict=True)}
    return Table(title, columns)


def _band(held: Series, level: float) -> tuple[Series, Series, Series]:
    """Of curves, shape (runs, points), with gaps: NaN where no run has a value."""
    found = np.full((3, held.shape[1]), np.nan)
    for point in range(held.shape[1]):
        values = held[np.isfinite(held[:, point]), point]
        if len(values):
            one = pool(values, level)
            found[:, point] = one.mean, one.low, one.high
    if not np.nanmin(held, initial=0.0) < 0:
        found[1] = np.where(found[1] < 0, 0.0, found[1])  # what is never negative has no mean below 0
    return found[0], found[1], found[2]


def estimates(
    found: Sequence[Seeds], against: Sequence[Difference], labels: Sequence[str], baseline: int, level: float
) -> dict[str, Estimate]:
    """``QUANTITY of RECIPE`` and ``QUANTITY of RECIPE against BASELINE``, each with its interval."""
    known = {f"{one.quantity.name} of {labels[one.group]}": _estimate(one) for one in found}
    for one in against:
        (low, high), shown = one.contrast.bounds(level), one.quantity.shown
        known[difference_name(one.quantity.name, labels[one.group], labels[baseline])] = Estimate.doubted(
            shown(one.contrast.value), one.doubt, low=shown(low), high=shown(high)
        )
    return known


def difference_name(quantity: str, recipe: str, baseline: str) -> str:
    """Of the estimate of a difference."""
    return f"{quantity} of {recipe} against {baseline}"


def _estimate(one: Seeds) -> Estimate:
    if one.pooled is None:
        return Estimate.undefined(one.doubt)
    shown, pooled = one.quantity.shown, one.pooled
    if pooled.runs == 1:
        return Estimate.doubted(shown(pooled.mean), one.doubt)
    return Estimate.doubted(shown(pooled.mean), one.doubt, low=shown(pooled.low), high=shown(pooled.high))


def _table(title: str, rows: Rows) -> Table:
    names = list(rows[0]) if rows else []
    return Table(title, {name: np.array([row[name] for row in rows]) for name in names})

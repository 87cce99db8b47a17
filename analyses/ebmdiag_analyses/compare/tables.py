"""Pooled numbers and differences as tables and estimates; a quantity that is a ratio is told as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.pooling import pool
from ebmdiag.replicates import Group
from ebmdiag.result import Estimate, Table
from ebmdiag_analyses.compare.comparison import Comparison
from ebmdiag_analyses.compare.pooled import Difference, Seeds
from ebmdiag_analyses.compare.runs import Run

Series = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]

ONE_RUN = "one run: what another seed would do is not known"


def recipes(groups: Sequence[Group], runs: Sequence[Run], left_out: Mapping[int, str]) -> Table:
    """One row a group: which runs, how many count, how many diverged, and in which keys it differs."""
    rows = [
        {
            "recipe": group.label,
            "runs": len(group.members),
            "counted": sum(place not in left_out for place in group.members),
            "diverged": sum(runs[place].diverged for place in group.members),
            "names": ", ".join(runs[place].name for place in group.members),
            "differs in": ", ".join(f"{key} = {value}" for key, value in group.differs.items()),
        }
        for group in groups
    ]
    return _table("The recipes", rows)


def numbers(found: Sequence[Seeds], labels: Sequence[str]) -> Table:
    """Mean over the runs with its interval, spread, and where a further run lies."""
    return _table("Pooled over runs", [_number_row(one, labels) for one in found])


def _number_row(one: Seeds, labels: Sequence[str]) -> Mapping[str, Any]:
    shown, p = one.quantity.shown, one.pooled
    return {
        "quantity": one.quantity.name,
        "recipe": labels[one.group],
        "runs": p.runs,
        "mean": shown(p.mean),
        "low": shown(p.low),
        "high": shown(p.high),
        "spread": p.spread,
        "new_low": shown(p.new_low),
        "new_high": shown(p.new_high),
        "own_error": one.error if p.runs == 1 else math.nan,
        "between": one.disagreement.between,
        "disagree_p": one.disagreement.p_value,
        "disagree_adjusted_p": one.adjusted,
    }


def differences(found: Sequence[Difference], labels: Sequence[str], level: float) -> Table:
    """Each recipe against the first one."""
    return _table(f"Against {labels[0]}", [_difference_row(one, labels, level) for one in found])


def _difference_row(one: Difference, labels: Sequence[str], level: float) -> Mapping[str, Any]:
    shown, (low, high) = one.quantity.shown, one.contrast.bounds(level)
    margin = one.quantity.margin
    return {
        "quantity": one.quantity.name,
        "recipe": labels[one.group],
        "told_as": "ratio" if one.quantity.is_ratio else "difference",
        "value": shown(one.contrast.value),
        "low": shown(low),
        "high": shown(high),
        "margin": math.nan if margin is None else margin,
        "p": one.contrast.p_value,
        "adjusted_p": one.adjusted,
        "alike_p": one.alike,
        "outcome": one.outcome,
        "runs_needed": math.nan if one.needed is None else one.needed,
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

    Columns: the axis, then for each group its mean, and low and high of the mean's interval (NaN for one run).

    Args:
        of: place of a run → its curve, shape (points,), or None where it does not count.
    """
    name, points = axis
    columns: dict[str, NDArray[Any]] = {name: points}
    for group in groups:
        held = [curve for place in group.members if (curve := of(place)) is not None]
        mean, low, high = _band(np.array(held).reshape(len(held), len(points)), level)
        columns |= {group.label: mean, f"{group.label}, low": low, f"{group.label}, high": high}
    return Table(title, columns)


def _band(held: Series, level: float) -> tuple[Series, Series, Series]:
    """Of curves, shape (runs, points), with gaps: NaN where no run has a value."""
    found = np.full((3, held.shape[1]), np.nan)
    for point in range(held.shape[1]):
        values = held[np.isfinite(held[:, point]), point]
        if len(values):
            one = pool(values, level)
            found[:, point] = one.mean, one.low, one.high
    return found[0], found[1], found[2]


def estimates(
    found: Sequence[Seeds], against: Sequence[Difference], labels: Sequence[str], level: float
) -> dict[str, Estimate]:
    """``QUANTITY of RECIPE`` and ``QUANTITY of RECIPE against FIRST``, each with its interval."""
    known = {f"{one.quantity.name} of {labels[one.group]}": _estimate(one) for one in found}
    for one in against:
        low, high = one.contrast.bounds(level)
        shown = one.quantity.shown
        known[f"{one.quantity.name} of {labels[one.group]} against {labels[0]}"] = Estimate.doubted(
            shown(one.contrast.value), one.doubt, low=shown(low), high=shown(high)
        )
    return known


def _estimate(one: Seeds) -> Estimate:
    shown = one.quantity.shown
    if one.pooled.runs == 1:
        return Estimate.doubted(shown(one.pooled.mean), one.doubt or ONE_RUN)
    return Estimate.doubted(shown(one.pooled.mean), one.doubt, low=shown(one.pooled.low), high=shown(one.pooled.high))


def _table(title: str, rows: Rows) -> Table:
    names = list(rows[0]) if rows else []
    return Table(title, {name: np.array([row[name] for row in rows]) for name in names})

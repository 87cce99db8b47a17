"""A verdict as the template prints it: two cards, the map, the evidence, and the methods in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ebmdiag.report.diagnosis import Diagnosis
from ebmdiag.report.tables import Cell, TableView, interval, pairs_view
from ebmdiag.report.wording import number, opening, sentence
from ebmdiag.verdict import Evidence, Judgement

_GOOD = ("stable", "weakly oscillating", "converged")


@dataclass(frozen=True)
class AxisView:
    """One axis: the place, why, what to do, and what it rests on; ``tone`` is a class of the style sheet."""

    title: str
    judgement: Judgement
    tone: str
    need: str
    evidence: TableView | None


@dataclass(frozen=True)
class MethodsView:
    """What the verdict was made with."""

    sentences: Sequence[str]
    tables: Sequence[TableView]


def axes_view(run: Diagnosis) -> list[AxisView]:
    """Both axes; none without a verdict."""
    return [
        AxisView(sentence(name), axis, tone(axis), need(axis), _evidence(f"Evidence: {name}", axis.evidence))
        for name, axis in run.axes.items()
    ]


def tone(judgement: Judgement) -> str:
    """``good`` for the wanted places, else the severity."""
    return "good" if judgement.place in _GOOD else judgement.severity


def need(judgement: Judgement) -> str:
    """What would settle an undetermined judgement, as a sentence; empty where it is no matter of rows."""
    if judgement.more_iterations is None or f"{judgement.more_iterations:,} more rows" in judgement.sentence:
        return ""
    return f"About {number(judgement.more_iterations)} more rows of the trace are needed to settle it."


def _evidence(title: str, found: Sequence[Evidence]) -> TableView | None:
    if not found:
        return None
    header = ["number", "value", "interval", "limit", "speaks for", "what it says", "source of the limit"]
    return TableView(title, header, [_row(one) for one in found], stacked=True)


def _row(one: Evidence) -> list[Cell]:
    doubtful = not one.estimate.reliable
    said = opening(one.statement) + (f" Not reliable: {one.estimate.reason}." if doubtful else "")
    return [
        Cell(one.name, doubtful=doubtful),
        Cell(number(one.estimate.value), numeric=True, doubtful=doubtful),
        Cell(interval(one.estimate), numeric=True, doubtful=doubtful),
        Cell(number(one.limit), numeric=True),
        Cell(one.says),
        Cell(said, doubtful=doubtful),
        Cell(one.source),
    ]


def methods_view(run: Diagnosis) -> MethodsView | None:
    """Limits, measured error rates, and how they were used; None without a verdict."""
    if run.verdict is None:
        return None
    limits = pairs_view("Limits that were used", run.verdict.limits) if run.verdict.limits else None
    rates = _rates(run.verdict.rates)
    return MethodsView(run.verdict.methods, [view for view in (rates, limits) if view is not None])


def _rates(rows: Sequence[Mapping[str, Any]]) -> TableView | None:
    """Measured error rates; a row that lacks what another has gets a dash."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    if not header:
        return None
    cells = [[_rate(row.get(name)) for name in header] for row in rows]
    return TableView("Measured error rates", [name.replace("_", " ") for name in header], cells)


def _rate(value: Any) -> Cell:
    """A number, an interval of two, or words."""
    if isinstance(value, tuple | list) and len(value) == 2:
        return Cell(f"{number(value[0])} to {number(value[1])}", numeric=True)
    return Cell(number(value), numeric=not isinstance(value, str))

"""Tables as text, ready to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ebmdiag.report.wording import number, plain
from ebmdiag.result import Estimate, Table

MOST_TABLE_ROWS = 200
_SHARED = 3  # estimates that are doubted for one reason: it is said once, below the table
_MOST_STACKED = 8  # rows of many numbers; more would make a list without end


@dataclass(frozen=True)
class Cell:
    """One cell: its text, whether it is a number, and whether it may be trusted."""

    text: str
    numeric: bool = False
    doubtful: bool = False


@dataclass(frozen=True)
class TableView:
    """A table as text; ``notes`` say what is left out or not to be trusted.

    A ``stacked`` one, which has long texts in it, becomes a list where the screen is narrow.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    stacked: bool = False


def table_view(table: Table) -> TableView:
    """A table of a result as text, cut after two hundred rows."""
    rows = table.rows()
    notes = [f"The first {MOST_TABLE_ROWS} of {number(len(rows))} rows."] if len(rows) > MOST_TABLE_ROWS else []
    cells = [[_cell(value) for value in row] for row in rows[:MOST_TABLE_ROWS]]
    return TableView(table.title, list(table.columns), cells, notes)


def _cell(value: Any) -> Cell:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return Cell(number(value), numeric=True)
    return Cell(plain(value))


def estimates_view(estimates: Mapping[str, Estimate]) -> TableView | None:
    """Estimates with their intervals; doubtful ones are marked, with the reason.

    Names of the form ``column:quantity`` (the habit of analyses that look at several columns) become one row for
    each column; all other names one row for each estimate.
    """
    if not estimates:
        return None
    names = [tuple(name.partition(":")[::2]) for name in estimates]
    columns, quantities = dict.fromkeys(c for c, _ in names), dict.fromkeys(q for _, q in names)
    if len(columns) > 1 and all(quantity for _, quantity in names):
        return _one_row_each_column(estimates, list(columns), list(quantities))
    return _one_row_each_estimate(estimates)


def _one_row_each_estimate(estimates: Mapping[str, Estimate]) -> TableView:
    doubts = [estimate.reason for estimate in estimates.values() if not estimate.reliable]
    shared = [reason for reason in dict.fromkeys(doubts) if doubts.count(reason) >= _SHARED]
    rows = [_estimate_row(name, estimate, shared) for name, estimate in estimates.items()]
    notes = [f"In grey, not reliable, {doubts.count(reason)} numbers without a remark: {reason}." for reason in shared]
    header = ["quantity", "value", "interval", "remark"]
    return _without_empty_columns(TableView("Estimates", header, rows, notes, stacked=True))


def _estimate_row(name: str, estimate: Estimate, shared: Sequence[str]) -> list[Cell]:
    doubtful = not estimate.reliable
    remark = estimate.reason
    if doubtful:
        remark = "" if estimate.reason in shared else f"Not reliable: {estimate.reason}"
    return [
        Cell(name, doubtful=doubtful),
        Cell(number(estimate.value), numeric=True, doubtful=doubtful),
        Cell(interval(estimate), numeric=True, doubtful=doubtful),
        Cell(remark, doubtful=doubtful),
    ]


def _one_row_each_column(
    estimates: Mapping[str, Estimate], columns: Sequence[str], quantities: Sequence[str]
) -> TableView:
    rows = [[Cell(column), *(_both(estimates.get(f"{column}:{q}")) for q in quantities)] for column in columns]
    reasons: dict[str, dict[str, None]] = {}
    for name, estimate in estimates.items():
        if not estimate.reliable:
            reasons.setdefault(estimate.reason, {})[name.partition(":")[0]] = None
    notes = [f"In grey, not reliable: {', '.join(said)}: {reason}." for reason, said in reasons.items()]
    return TableView("Estimates", ["column", *quantities], rows, notes, stacked=len(rows) <= _MOST_STACKED)


def interval(estimate: Estimate) -> str:
    """From low to high, or the one end that there is; empty where there is no interval."""
    low, high = number(estimate.low, 3), number(estimate.high, 3)
    if estimate.low is None:
        return "" if estimate.high is None else f"up to {high}"
    return f"from {low}" if estimate.high is None else f"{low} to {high}"


def _both(estimate: Estimate | None) -> Cell:
    """Value and interval in one cell; empty where there is no such estimate."""
    if estimate is None:
        return Cell("", numeric=True)
    between = f" ({interval(estimate)})" if interval(estimate) else ""
    return Cell(f"{number(estimate.value)}{between}", numeric=True, doubtful=not estimate.reliable)


def _without_empty_columns(view: TableView) -> TableView:
    kept = [place for place in range(len(view.header)) if any(row[place].text for row in view.rows)]
    rows = [[row[place] for place in kept] for row in view.rows]
    return replace(view, header=[view.header[place] for place in kept], rows=rows)


def nested_views(title: str, values: Mapping[str, Any]) -> list[TableView]:
    """One table for each mapping within ``values``, after one (called ``title``) for what lies outside of any."""
    loose = {name: value for name, value in values.items() if not isinstance(value, dict)}
    inner = [(str(name), value) for name, value in values.items() if isinstance(value, dict)]
    return [pairs_view(name, group) for name, group in [(title, loose), *inner] if group]


def pairs_view(title: str, values: Mapping[str, Any]) -> TableView:
    """Names and values."""
    return TableView(title, ["name", "value"], [[Cell(str(name)), Cell(plain(v))] for name, v in values.items()])

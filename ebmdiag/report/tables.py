"""Tables as text, ready to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ebmdiag.report.wording import number, plain
from ebmdiag.result import Estimate, Table

MOST_TABLE_ROWS = 200


@dataclass(frozen=True)
class Cell:
    """One cell: its text, whether it is a number, and whether it may be trusted."""

    text: str
    numeric: bool = False
    doubtful: bool = False


@dataclass(frozen=True)
class TableView:
    """A table as text; ``notes`` say what is left out or not to be trusted."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


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
    rows = []
    for name, estimate in estimates.items():
        doubtful = not estimate.reliable
        remark = f"Not reliable: {estimate.reason}" if doubtful else estimate.reason
        rows.append(
            [
                Cell(name, doubtful=doubtful),
                Cell(number(estimate.value), numeric=True, doubtful=doubtful),
                Cell(_interval(estimate), numeric=True, doubtful=doubtful),
                Cell(remark, doubtful=doubtful),
            ]
        )
    return _without_empty_columns(TableView("Estimates", ["quantity", "value", "interval", "remark"], rows))


def _one_row_each_column(
    estimates: Mapping[str, Estimate], columns: Sequence[str], quantities: Sequence[str]
) -> TableView:
    rows = [[Cell(column), *(_both(estimates.get(f"{column}:{q}")) for q in quantities)] for column in columns]
    reasons: dict[str, dict[str, None]] = {}
    for name, estimate in estimates.items():
        if not estimate.reliable:
            reasons.setdefault(estimate.reason, {})[name.partition(":")[0]] = None
    notes = [f"In grey, not reliable: {', '.join(said)}: {reason}." for reason, said in reasons.items()]
    return TableView("Estimates", ["column", *quantities], rows, notes)


def _interval(estimate: Estimate) -> str:
    return "" if estimate.low is None else f"{number(estimate.low, 3)} to {number(estimate.high, 3)}"


def _both(estimate: Estimate | None) -> Cell:
    """Value and interval in one cell; empty where there is no such estimate."""
    if estimate is None:
        return Cell("", numeric=True)
    between = f" ({_interval(estimate)})" if estimate.low is not None else ""
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

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
    """A table as text; ``note`` says what is left out."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def table_view(table: Table) -> TableView:
    """A table of a result as text, cut after two hundred rows."""
    rows = table.rows()
    note = "" if len(rows) <= MOST_TABLE_ROWS else f"The first {MOST_TABLE_ROWS} of {number(len(rows))} rows."
    cells = [[_cell(value) for value in row] for row in rows[:MOST_TABLE_ROWS]]
    return TableView(table.title, list(table.columns), cells, note)


def _cell(value: Any) -> Cell:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return Cell(number(value), numeric=True)
    return Cell(plain(value))


def estimates_view(estimates: Mapping[str, Estimate]) -> TableView | None:
    """Estimates with their intervals; doubtful ones are marked, with the reason."""
    if not estimates:
        return None
    rows = []
    for name, estimate in estimates.items():
        doubtful = not estimate.reliable
        between = "" if estimate.low is None else f"{number(estimate.low)} to {number(estimate.high)}"
        remark = f"Not reliable: {estimate.reason}" if doubtful else estimate.reason
        rows.append(
            [
                Cell(name, doubtful=doubtful),
                Cell(number(estimate.value), numeric=True, doubtful=doubtful),
                Cell(between, numeric=True, doubtful=doubtful),
                Cell(remark, doubtful=doubtful),
            ]
        )
    return _without_empty_columns(TableView("Estimates", ["quantity", "value", "interval", "remark"], rows))


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

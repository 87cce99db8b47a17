"""``ebmdiag statistics``: what each column of a trace means."""

from __future__ import annotations

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import click

from ebmdiag.cli.options import json_option, print_json
from ebmdiag.errors import UsageError
from ebmdiag.names import nearest
from ebmdiag.statistics import BY_COLUMN, STATISTICS, Statistic

_HEADER = ("column", "symbol", "unit", "equilibrium")
_GAP = "  "
_NARROWEST = 16  # of the last column of the list, and of the texts of one statistic
_WIDE = 100  # where there is no terminal
_UNKNOWN = "not known"
_EMPTY = "–"


@click.group()
def statistics() -> None:
    """Explain the columns of a trace: symbol, unit, sign, value in equilibrium, meaning, cost and reference.

    The same table is in the metadata of each trace and in the glossary of each report.
    """


@statistics.command("list")
@json_option
def list_statistics(as_json: bool) -> None:
    """List all columns with symbol, unit and value in equilibrium (shortened; 'show' has the whole of it)."""
    if as_json:
        print_json([described(statistic) for statistic in STATISTICS])
        return
    rows = [_HEADER, *(_summary(statistic) for statistic in STATISTICS)]
    _print(_table([[_plain(cell) for cell in row] for row in rows], _width()))


@statistics.command("show")
@click.argument("columns", nargs=-1, required=True, metavar="COLUMN...")
@json_option
def show_statistics(columns: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of one column or several.

    With --json, one column is an object, several are a list of objects.
    """
    found = [described(_named(column)) for column in columns]
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
        return
    for index, fields in enumerate(found):
        _print([*([""] if index else []), *_card(fields, _width())])


def described(statistic: Statistic) -> dict[str, Any]:
    """A row of the table as JSON has it: the metadata of its Parquet field, and column, kind and required."""
    return {
        "column": statistic.column,
        **statistic.metadata(),
        "kind": statistic.kind,
        "required": statistic.required,
    }


def _named(column: str) -> Statistic:
    if column not in BY_COLUMN:
        raise UsageError(f"unknown column '{column}'{nearest(column, BY_COLUMN)} 'ebmdiag statistics list' has all.")
    return BY_COLUMN[column]


def _summary(statistic: Statistic) -> tuple[str, ...]:
    return statistic.column, statistic.symbol, statistic.unit, statistic.equilibrium or _UNKNOWN


def _table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Left-aligned columns; the last one is shortened to what is left of the width."""
    widths = [max(_cells(row[place]) for row in rows) for place in range(len(_HEADER) - 1)]
    left = max(width - sum(widths) - len(_GAP) * len(widths), _NARROWEST)
    for *cells, last in rows:
        shown = textwrap.shorten(last, left, placeholder=_plain(" …"))
        yield _GAP.join([*(_padded(cell, size) for cell, size in zip(cells, widths, strict=True)), shown])


def _card(fields: dict[str, Any], width: int) -> Iterator[str]:
    """A line for each field; a long text goes on below its beginning."""
    indent = max(map(len, fields)) + len(_GAP)
    for name, value in fields.items():
        text = ("yes" if value else "no") if isinstance(value, bool) else value
        text = text or (_UNKNOWN if name == "equilibrium" else _EMPTY)
        lines = textwrap.wrap(
            _plain(text), max(width - indent, _NARROWEST), break_long_words=False, break_on_hyphens=False
        )
        yield name.ljust(indent) + lines[0]
        yield from (" " * indent + line for line in lines[1:])


def _width() -> int:
    return shutil.get_terminal_size((_WIDE, 24)).columns


def _cells(text: str) -> int:
    """Cells of the terminal: an accent that is a character of its own takes none."""
    return sum(not unicodedata.combining(character) for character in text)


def _padded(text: str, size: int) -> str:
    return text + " " * (size - _cells(text))


def _plain(text: str) -> str:
    """In what the terminal can show, before it is measured."""
    from ebmdiag.terminal import printable

    return printable(text, sys.stdout.encoding)


def _print(lines: Iterator[str] | list[str]) -> None:
    for line in lines:
        click.echo(line.rstrip())

"""The columns of a trace, in words and in a picture."""

from __future__ import annotations

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.lags import footnotes, heading, panel_title

_KEYS = ("mean", "error", "sd", "min", "max", "first", "last", "tau")
_LINES = 60
_REASONS = 4


def text(result: Result) -> list[str]:
    """A row of numbers for each column, the course of the first two, and notes."""
    names = result.settings["columns"]
    rows = [[name, *(_cell(result, name, key) for key in _KEYS)] for name in names[:_LINES]]
    more = [f"and {len(names) - _LINES} columns more: see --json"] if len(names) > _LINES else []
    lines = columns(["", *_KEYS], rows)
    width = max((len(name) for name in names), default=0)
    course = [
        f"{key.removeprefix('series:').rjust(width)}  {sparkline(table.columns['mean'])}"
        for key, table in result.tables.items()
    ]
    return [
        heading(result),
        "",
        *lines,
        *more,
        "",
        *course,
        "",
        "tau: rows that are worth one independent row; ?: doubtful.",
        *_footnotes(result),
    ]


def _footnotes(result: Result) -> list[str]:
    """As everywhere; but of many reasons only the columns that they concern, since the marks stand in the table."""
    said = footnotes(result)
    if len(said) - len(result.notes) <= _REASONS:
        return said
    doubted = [name.partition(":")[0] for name, estimate in result.estimates.items() if not estimate.reliable]
    named = ", ".join(dict.fromkeys(doubted))
    return [
        f"? undefined or doubtful, with the reason of each in --json: {named}",
        *(f"- {note}" for note in result.notes),
    ]


def _cell(result: Result, name: str, key: str) -> str:
    estimate = result.estimates[f"{name}:{key}"]
    return number(estimate.value, 2 if key == "error" else 4) + ("" if estimate.reliable else "?")


def draw(result: Result) -> list[Drawing]:
    """One figure: the course of the first two columns, with the mean and its interval."""
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK, SERIES, house_style, panels

    with house_style():
        figure, axes = panels(max(1, len(result.tables)), height=1.9)
        for place, (key, table) in enumerate(result.tables.items()):
            panel, name, colour = axes[place], key.removeprefix("series:"), SERIES[place]
            step, low, high = (table.columns[column] for column in ("step", "low", "high"))
            panel.fill_between(step, low, high, color=BAND, alpha=BAND_ALPHA, linewidth=0)
            panel.plot(step, table.columns["mean"], color=colour, linewidth=1.1)
            mean = result.estimates[f"{name}:mean"].value
            if mean is not None:
                panel.axhline(mean, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
            panel.set_title(panel_title(name))
            panel.margins(x=0)
        axes[-1].set_xlabel("step")
    return [Drawing("summary", figure, _caption(result), _alternative(result))]


def _caption(result: Result) -> str:
    bins = max((len(table) for table in result.tables.values()), default=0)
    each = "each row" if bins == result.rows else f"the mean of each of {bins} stretches"
    return f"Line: {each}; grey: from its lowest to its highest value; dashed: mean over all {result.rows} rows."


def _alternative(result: Result) -> str:
    said = [
        f"{key.removeprefix('series:')} goes from {number(table.columns['mean'][0])} "
        f"to {number(table.columns['mean'][-1])}"
        for key, table in result.tables.items()
        if len(table)
    ]
    return f"Course over the run. {'; '.join(said) or 'There are no rows'}."

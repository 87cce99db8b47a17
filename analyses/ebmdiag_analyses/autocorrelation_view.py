"""The autocorrelation of columns, in words and in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.lag_bands import SAID
from ebmdiag_analyses.lags import (
    footnotes,
    heading,
    lag_lines,
    lag_unit,
    panel_title,
    percent,
    plot_lags,
    say_instead,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def text(result: Result) -> list[str]:
    """Values, bands and bars by lag, then the estimates and notes."""
    defined = {
        name: table for name, table in result.tables.items() if result.estimates[f"{name}:lag1"].value is not None
    }
    level = f"* outside the {_band(result)}"
    return [
        f"{heading(result)}, {result.settings['convention']} convention",
        "",
        *([*lag_lines(defined), "", level, ""] if defined else []),
        *_estimate_lines(result),
        "",
        *footnotes(result),
    ]


def _estimate_lines(result: Result) -> list[str]:
    header = ["", "lag 1", "minimum", "at lag", f"sum to {result.settings['max_lag']}", "Ljung-Box p"]
    keys = ("lag1", "minimum", "minimum_lag", "sum", "ljung_box_p")
    rows = [
        [name, *(_cell(key, result.estimates[f"{name}:{key}"].value) for key in keys)]
        for name in result.settings["columns"]
    ]
    return columns(header, rows)


def _cell(key: str, value: float | None) -> str:
    """A p-value may be smaller than any float64: it is not 0."""
    return "< 1e-300" if key == "ljung_box_p" and value == 0 else number(value, 3)


def draw(result: Result) -> list[Drawing]:
    """One figure with a panel for each column."""
    figure = lag_figure(result, "autocorrelation", {name: f"{name}:lag1" for name in result.tables})
    return [Drawing("acf", figure, _caption(result), _alternative(result))]


def lag_figure(result: Result, label: str, needed: Mapping[str, str]) -> Figure:
    """A panel of stems by lag for each table, in the order of the result.

    Args:
        result: its tables are lag tables, by column.
        label: of the vertical axis.
        needed: for each column the estimate whose absence says why there is nothing to draw.
    """
    from ebmdiag.report.style import SERIES, house_style, panels

    names = list(result.tables)
    with house_style():
        figure, axes = panels(-(-len(names) // 2), min(2, len(names)))
        for panel in axes[len(names) :]:
            panel.set_axis_off()
        for place, (name, table) in enumerate(result.tables.items()):
            panel = axes[place]
            panel.set_title(panel_title(name))
            reason = result.estimates[needed[name]]
            if reason.value is None:
                say_instead(panel, reason.reason)
                continue
            panel.set_xlabel(f"lag ({lag_unit(result.settings)})")
            colour = SERIES[min(place, 1)]
            later = Table(table.title, {key: values[1:] for key, values in table.columns.items()})
            plot_lags(panel, later, [colour] * len(later))
        axes[0].set_ylabel(label)
    return figure


def _caption(result: Result) -> str:
    return (
        f"Autocorrelation over {result.rows} rows ({result.settings['convention']} convention). Grey: "
        f"{_band(result)}; filled points lie outside. Lag 0 is left out."
    )


def _band(result: Result) -> str:
    return f"{percent(result.settings['level'])} band around 0 ({SAID[result.settings['bands']]})"


def _alternative(result: Result) -> str:
    said = []
    for name in result.settings["columns"]:
        low, lag = result.estimates[f"{name}:minimum"], result.estimates[f"{name}:minimum_lag"]
        first = number(result.estimates[f"{name}:lag1"].value, 3)
        if low.value is None:
            said.append(f"{name}: {low.reason}")
        else:
            said.append(f"{name}: {first} at lag 1, lowest {number(low.value, 3)} at lag {number(lag.value)}")
    return f"Stem plot of autocorrelation by lag. {'; '.join(said)}."

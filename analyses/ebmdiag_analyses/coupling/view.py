"""The coupling of two columns, in words and in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.lags import footnotes, heading, lag_lines, lag_unit, percent, plot_lags, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LATER = (1, 2, 3, 5, 8, 15)


def text(result: Result) -> list[str]:
    """The tests, the answers to a shock, the prewhitened cross-correlation and notes."""
    x, y = result.settings["x"], result.settings["y"]
    if result.estimates["order"].value is None:
        return [heading(result), "", *footnotes(result)]
    return [
        f"{heading(result)}, {number(result.estimates['order'].value)} rows of the past",
        "",
        *columns(["foretells", "F", "p", "share", "clearest answer", "low", "high", "after"], _rows(result)),
        "",
        *columns(["answer, rows later", *map(str, _later(result))], _answers(result)),
        "",
        *lag_lines({f"{x} with {y}, prewhitened": result.tables["ccf"]}),
        "",
        f"share: of the innovation variance; negative lags: {x} leads; * outside the "
        f"{percent(result.settings['level'])} band 1/√n; ?: doubtful.",
        _instant(result),
        *footnotes(result),
    ]


def _rows(result: Result) -> list[list[str]]:
    x, y = result.settings["x"], result.settings["y"]
    rows = []
    for way, said in (("x_to_y", f"{x} -> {y}"), ("y_to_x", f"{y} -> {x}")):
        found = {key: result.estimates[f"{way}:{key}"] for key in ("f", "p", "share", "response", "response_lag")}
        mark = "" if found["p"].reliable else "?"
        answer = found["response"]
        rows.append(
            [
                said,
                number(found["f"].value, 3),
                ("< 1e-300" if found["p"].value == 0 else number(found["p"].value, 2)) + mark,
                number(found["share"].value, 3),
                number(answer.value, 3),
                number(answer.low, 3),
                number(answer.high, 3),
                number(found["response_lag"].value),
            ]
        )
    return rows


def _later(result: Result) -> list[int]:
    return [lag for lag in _LATER if lag <= result.settings["horizon"]]


def _answers(result: Result) -> list[list[str]]:
    x, y = result.settings["x"], result.settings["y"]
    table = result.tables["response"].columns
    rows = [(f"of {y} to {x}", table["x_to_y"]), (f"of {x} to {y}", table["y_to_x"])]
    return [[said, *(f"{values[lag]:+.3f}" for lag in _later(result))] for said, values in rows]


def _instant(result: Result) -> str:
    found = result.estimates["instant"]
    between = "" if found.low is None else f" ({number(found.low, 3)} to {number(found.high, 3)})"
    return f"within one row: innovations correlate by {number(found.value, 3)}{between}, which has no direction."


def draw(result: Result) -> list[Drawing]:
    """One figure: prewhitened cross-correlation, and the answers of each column to a shock of the other."""
    from ebmdiag.report.style import SERIES, house_style, panels

    x, y = result.settings["x"], result.settings["y"]
    with house_style():
        figure, (first, *others) = panels(1, 3)
        table = result.tables["ccf"]
        first.set_title(f"{x} with {y}, prewhitened")
        if np.isfinite(table.columns["correlation"]).any():
            plot_lags(first, table, [SERIES[1] if lag < 0 else SERIES[0] for lag in table.columns["lag"]])
            first.set_xlabel(f"lag k ({lag_unit(result.settings)})")
        else:
            say_instead(first, result.estimates["order"].reason)
        titles = (f"answer of {y} to {x}", f"answer of {x} to {y}")
        for panel, way, title, colour in zip(others, ("x_to_y", "y_to_x"), titles, SERIES[1::-1], strict=True):
            panel.set_title(title)
            _answer(panel, result, way, colour)
    return [Drawing("coupling", figure, _caption(result), _alternative(result))]


def _answer(panel: Axes, result: Result, way: str, colour: str) -> None:
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK

    if "response" not in result.tables:
        say_instead(panel, result.estimates["order"].reason)
        return
    table = result.tables["response"].columns
    later = table["rows_later"]
    panel.fill_between(later, table[f"{way}_low"], table[f"{way}_high"], color=BAND, alpha=BAND_ALPHA, linewidth=0)
    panel.axhline(0, color=INK, linewidth=0.6)
    panel.plot(later, table[way], color=colour, linewidth=1.2, marker="o", markersize=2.5)
    panel.set_xlabel(f"{lag_unit(result.settings)} later")
    panel.margins(x=0.02)


def _caption(result: Result) -> str:
    x, level = result.settings["x"], percent(result.settings["level"])
    by_differences = "".join(f" {name} is looked at by its differences." for name in result.settings["differenced"])
    return (
        f"Left: cross-correlation after both columns went through the autoregression of {x}; for negative lags {x} "
        f"leads; grey: {level} band 1/√n. Middle and right: how a column moves, in its standard deviations, after an "
        f"innovation of one deviation in the other; grey: {level} interval.{by_differences}"
    )


def _alternative(result: Result) -> str:
    order = result.estimates["order"]
    if order.value is None:
        return f"Prewhitened cross-correlation and answers to a shock: {order.reason}."
    x, y = result.settings["x"], result.settings["y"]
    shares = [number(result.estimates[f"{way}:share"].value, 2) for way in ("x_to_y", "y_to_x")]
    return (
        "Stem plot of the prewhitened cross-correlation, and two lines of answers to a shock. The past of "
        f"{x} explains {shares[0]} of the innovation variance of {y}, that of {y} {shares[1]} of that of {x}."
    )

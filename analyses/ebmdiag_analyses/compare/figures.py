"""A comparison in pictures: courses over the training, the autocorrelation of d, and the differences in margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import number
from ebmdiag_analyses.compare.judge import Row, rows
from ebmdiag_analyses.compare.tables import PARTS
from ebmdiag_analyses.lags import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", "--", ":")
MOST = 9
_CLIP = 6.0
_LABELS = {"r_t": "r_t", "d_s_t": "d_s_t", "d_s_t_sd": "standard deviation of d_s_t", "acf": "autocorrelation of d_s_t"}


def draw(result: Result) -> list[Drawing]:
    """A figure for each curve that is there, and one of all differences that have a margin."""
    curves = [_curve(result, name, result.tables[name]) for name in _LABELS if name in result.tables]
    told = [row for row in rows(result, "differences") if row["margin"] is not None]
    return [*curves, *([_forest(result, told)] if told else [])]


def _curve(result: Result, name: str, table: Table) -> Drawing:
    from ebmdiag.report.style import INK, house_style, panels

    axis = next(iter(table.columns))
    labels = result.settings["recipes"][:MOST]
    with house_style():
        figure, (panel,) = panels()
        if name in ("d_s_t", "acf"):
            panel.axhline(0, color=INK, linewidth=0.6)
        for place, label in enumerate(labels):
            _line(panel, table, axis, label, place)
        panel.set_xlabel("lag (rows)" if axis == "lag" else "step")
        panel.set_ylabel(_LABELS[name])
        panel.margins(x=0.01)
        if len(labels) > 1:
            panel.legend(ncols=min(3, len(labels)), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3)
    return Drawing(name, figure, _curve_caption(result, table), _curve_words(table, axis, labels, name))


def _line(panel: Axes, table: Table, axis: str, label: str, place: int) -> None:
    from ebmdiag.report.style import BAND_ALPHA, SERIES, literal

    colour, style = SERIES[place % len(SERIES)], _STYLES[place // len(SERIES) % len(_STYLES)]
    x = table.columns[axis]
    mean, low, high = (table.columns[f"{what} of {label}"] for what in PARTS)
    if np.isfinite(low).any():
        panel.fill_between(x, low, high, color=colour, alpha=BAND_ALPHA, linewidth=0)
    panel.plot(x, mean, color=colour, linestyle=style, linewidth=1.3, label=literal(label))


def _curve_caption(result: Result, table: Table) -> str:
    level, more = percent(result.settings["level"]), len(result.settings["recipes"]) - MOST
    rest = f" {more} further recipes stand in the table only." if more > 0 else ""
    return (
        f"{table.title[0].upper()}{table.title[1:]}. Lines: mean over the runs of a recipe; bands: {level} interval of "
        f"that mean, point by point (none for a single run).{rest}"
    )


def _curve_words(table: Table, axis: str, labels: Sequence[str], name: str) -> str:
    said = []
    for label in labels:
        values = table.columns[f"mean of {label}"]
        held = np.flatnonzero(np.isfinite(values))
        if len(held):
            first, last = held[0], held[-1]
            where = f"{axis} {number(float(table.columns[axis][first]))}"
            said.append(
                f"{label}: {number(float(values[first]))} at {where}, {number(float(values[last]))} at "
                f"{number(float(table.columns[axis][last]))}"
            )
    return f"Line plot of {_LABELS[name]}, one line a recipe. {'; '.join(said)}."


def _forest(result: Result, told: Sequence[Row]) -> Drawing:
    """Each difference in units of its margin, with its interval; the grey zone is what does not matter."""
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK, SERIES, house_style, literal, panels

    many = len(result.settings["recipes"]) > 2
    with house_style():
        figure, (panel,) = panels(height=0.9 + 0.24 * len(told))
        panel.axvspan(-1, 1, color=BAND, alpha=BAND_ALPHA, linewidth=0)
        panel.axvline(0, color=INK, linewidth=0.6)
        for place, row in enumerate(told):
            middle, low, high = _in_margins(row)
            colour = SERIES[1] if row["outcome"].startswith("differs") else SERIES[0]
            panel.plot(np.clip([low, high], -_CLIP, _CLIP), [place, place], color=colour, linewidth=1.4)
            panel.plot(np.clip(middle, -_CLIP, _CLIP), place, "o", color=colour, markersize=4)
        panel.set_yticks(range(len(told)), [literal(_row_label(row, many=many)) for row in told])
        panel.set_ylim(len(told) - 0.4, -0.6)
        panel.set_xlim(-_CLIP * 1.02, _CLIP * 1.02)
        panel.set_xlabel(f"difference from {literal(result.settings['baseline'])}, in margins")
        panel.grid(visible=False)
    return Drawing("differences", figure, _forest_caption(result), _forest_words(result, told))


def _in_margins(row: Row) -> tuple[float, float, float]:
    values = [float(row[name]) if row[name] is not None else np.nan for name in ("value", "low", "high")]
    if row["told_as"] == "ratio":
        with np.errstate(divide="ignore"):
            values = list(np.log(values) / np.log(row["margin"]))
        return values[0], values[1], values[2]
    return values[0] / row["margin"], values[1] / row["margin"], values[2] / row["margin"]


def _row_label(row: Row, *, many: bool) -> str:
    return f"{row['quantity']}, {row['recipe']}" if many else row["quantity"]


def _forest_caption(result: Result) -> str:
    level = percent(result.settings["level"])
    return (
        f"Points: difference from {result.settings['baseline']} over what matters (its margin); lines: {level} "
        "interval; grey: within the margin. A ratio is drawn by its logarithm. Orange: differs after correction for "
        f"all comparisons. What lies beyond {_CLIP:g} margins is drawn at the edge."
    )


def _forest_words(result: Result, told: Sequence[Row]) -> str:
    outcomes: dict[str, list[Any]] = {}
    for row in told:
        outcomes.setdefault(row["outcome"], []).append(f"{row['quantity']} of {row['recipe']}")
    said = "; ".join(f"{outcome}: {', '.join(names)}" for outcome, names in outcomes.items())
    return f"Interval plot of differences from {result.settings['baseline']} in margins. {said}."

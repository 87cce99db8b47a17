"""What moves and what does not, in words and in a picture."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Estimate, Result
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.lags import footnotes, heading, panel_title, percent, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADER = ["", "mean", "error", "change", "p", "halves", "p", "jumps", "p", "sd", "memory"]
_KEYS = ("mean", "error", "change", "change_p", "difference", "difference_p", "jumps", "cusum_p", "sd", "time")
_LISTED = 4
_PANELS = 8


def text(result: Result) -> list[str]:
    """A row for each column, its jumps, and notes."""
    rows = [[name, *(_cell(result.estimates[f"{name}:{key}"]) for key in _KEYS)] for name in result.settings["columns"]]
    return [
        heading(result),
        "",
        *columns(_HEADER, rows),
        "",
        *_jump_lines(result),
        "change: of a straight line, first to last row; halves: second less first; p of jumps: of one anywhere;",
        "sd: about the drift; memory: rows worth one; ?: doubtful.",
        *_unit_roots(result),
        *footnotes(result),
    ]


def _cell(found: Estimate) -> str:
    return number(found.value, 3) + ("?" if found.value is not None and not found.reliable else "")


def _jump_lines(result: Result) -> list[str]:
    lines = []
    for name in result.settings["columns"]:
        jumps = result.tables[f"jumps:{name}"].rows()
        if jumps:
            said = [f"step {step} ({shift:+.3g})" for step, shift, _ in jumps[:_LISTED]]
            more = f" and {len(jumps) - _LISTED} more" if len(jumps) > _LISTED else ""
            lines.append(f"the mean of {name} changes at {', '.join(said)}{more}")
    return [*lines, ""] if lines else []


def _unit_roots(result: Result) -> list[str]:
    return [
        f"side numbers of {name}: KPSS p = {number(result.estimates[f'{name}:kpss_p'].value, 2)}, "
        f"ADF p = {number(result.estimates[f'{name}:adf_p'].value, 2)}"
        for name in result.settings["columns"]
        if f"{name}:kpss_p" in result.estimates
    ]


def draw(result: Result) -> list[Drawing]:
    """One figure: the course of each column, the level of each stretch between jumps, and the line through it."""
    from ebmdiag.report.style import SERIES, house_style, panels

    names = result.settings["columns"][:_PANELS]
    with house_style():
        figure, axes = panels(-(-len(names) // 2), min(2, len(names)), height=2.1)
        for panel in axes[len(names) :]:
            panel.set_axis_off()
        for place, name in enumerate(names):
            axes[place].set_title(panel_title(name) if len(names) <= 2 else name)
            table = result.tables[f"series:{name}"]
            if not len(table):
                say_instead(axes[place], result.estimates[f"{name}:mean"].reason)
                continue
            colour = SERIES[min(place, 1)] if len(names) <= 2 else SERIES[0]
            axes[place].plot(table.columns["step"], table.columns["mean"], color=colour, linewidth=0.9)
            _levels(axes[place], result, name)
            axes[place].set_xlabel("step")
            axes[place].margins(x=0)
    return [Drawing("stationarity", figure, _caption(result), _alternative(result))]


def _levels(panel: Axes, result: Result, name: str) -> None:
    """The mean of each stretch between jumps; one mean where there is no jump."""
    from ebmdiag.report.style import INK

    steps, means = (result.tables[f"series:{name}"].columns[key] for key in ("step", "mean"))
    places = result.tables[f"jumps:{name}"].columns["step"]
    edges = [0, *np.searchsorted(steps, places).tolist(), len(steps)]
    for low, high in pairwise(edges):
        if high > low:
            ends = [steps[max(low - 1, 0)], steps[high - 1]]
            panel.plot(ends, [means[low:high].mean()] * 2, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
    for place in places:
        panel.axvline(place, color=INK, linewidth=0.6, linestyle=(0, (1, 2)))


def _caption(result: Result) -> str:
    longest = max((len(result.tables[f"series:{name}"]) for name in result.settings["columns"]), default=0)
    each = "each row" if longest == result.rows else f"the mean of each of {longest} stretches"
    left = len(result.settings["columns"]) - _PANELS
    more = f" {left} further columns are not drawn." if left > 0 else ""
    return (
        f"Line: {each}; dashed: the mean between jumps of the mean (dotted), which are judged with a chance of "
        f"{percent(result.settings['jump_alpha'])} of any false one in a column.{more}"
    )


def _alternative(result: Result) -> str:
    said = []
    for name in result.settings["columns"]:
        mean, change, jumps = (result.estimates[f"{name}:{key}"] for key in ("mean", "change", "jumps"))
        if mean.value is None:
            said.append(f"{name}: {mean.reason}")
        else:
            said.append(
                f"{name}: mean {number(mean.value, 3)}, change {number(change.value, 2)}, jumps {number(jumps.value)}"
            )
    return f"Course of each column over the run. {'; '.join(said)}."

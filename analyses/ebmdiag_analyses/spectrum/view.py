"""The spectrum, in words and in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.lags import footnotes, heading, lag_unit, panel_title, percent, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 60
_COLUMNS = ("low", "peak_period", "peak_quality", "peak_modulus", "line_period", "line_share", "line_p")


def text(result: Result) -> list[str]:
    """The course of each spectrum, then slow power, peak and line."""
    unit = lag_unit(result.settings)
    header = ["", "slow power", "peak", "low", "high", "Q", "low", "high", "|pole|", "line", "of variance", "p"]
    return [
        f"{heading(result)}, {result.settings['method']}",
        "",
        *_courses(result),
        "",
        *columns(header, [_row(result, name) for name in result.settings["columns"]]),
        "",
        f"slow power: at frequency 0, 1 is that of white noise; peak, line: periods in {unit}; Q: periods that the",
        "wave lasts; p: of a pure wave (line), after whitening. ?: doubtful.",
        *footnotes(result),
    ]


def _courses(result: Result) -> list[str]:
    """log S from 0 to 1/2, one character for each share."""
    width = max(len(name) for name in result.settings["columns"])
    lines = [
        f"{name.ljust(width)} {sparkline(np.log(np.maximum(table.columns['power'], 1e-12)), _LINE)}"
        for name, table in result.tables.items()
        if len(table)
    ]
    scale = f"{'f = 0'.ljust(_LINE // 2 - 2)}1/4{'1/2'.rjust(_LINE - _LINE // 2 - 1)}"
    return [*lines, f"{' ' * width} {scale}  log power"] if lines else []


def _row(result: Result, name: str) -> list[str]:
    found = {key: result.estimates[f"{name}:{key}"] for key in _COLUMNS}
    cells = [name]
    for key, estimate in found.items():
        mark = "?" if estimate.value is not None and not estimate.reliable else ""
        cells.append(number(estimate.value, 3) + mark)
        cells += [number(estimate.low, 3), number(estimate.high, 3)] if key in ("peak_period", "peak_quality") else []
    return cells


def draw(result: Result) -> list[Drawing]:
    """One figure with a panel for each column: S over the variance by frequency, both logarithmic."""
    from ebmdiag.report.style import SERIES, house_style, panels

    names = list(result.tables)
    with house_style():
        figure, axes = panels(-(-len(names) // 2), min(2, len(names)))
        for panel in axes[len(names) :]:
            panel.set_axis_off()
        for place, name in enumerate(names):
            panel = axes[place]
            panel.set_title(panel_title(name))
            low = result.estimates[f"{name}:low"]
            if low.value is None:
                say_instead(panel, low.reason)
            else:
                _curve(panel, result, name, SERIES[min(place, 1)])
        axes[0].set_ylabel("power / variance")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles)) if handles else None
    return [Drawing("spectrum", figure, _caption(result), _alternative(result))]


def _curve(panel: Axes, result: Result, name: str, colour: str) -> None:
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK

    shown = _from_first(result.tables[name])
    frequency = shown["frequency"]
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.fill_between(frequency, shown["band_low"], shown["band_high"], color=BAND, alpha=BAND_ALPHA, linewidth=0)
    panel.plot(frequency, shown["power"], color=colour, linewidth=1.2)
    panel.axhline(1, color=INK, linewidth=0.6, linestyle=(0, (2, 3)), label="white noise")
    if "loop" in shown:
        panel.plot(frequency, shown["loop"], color=INK, linewidth=1.0, linestyle=(0, (5, 2)), label="fitted loop")
    for key, style in (("peak_period", (0, (1, 1.5))), ("line_period", "-")):
        period = result.estimates[f"{name}:{key}"]
        if period.value is not None and (period.reliable or key == "peak_period") and _shown(result, name, key):
            panel.axvline(1 / period.value, color=INK, linewidth=0.8, linestyle=style)
    panel.set_xlim(frequency[0], 0.5)
    lowest, highest = float(shown["power"].min()), float(shown["band_high"].max())
    panel.set_ylim(max(lowest / 3, highest * 1e-6), highest * 1.5)
    panel.set_xlabel("cycles per iteration" if lag_unit(result.settings) == "iterations" else "cycles per row")


def _shown(result: Result, name: str, key: str) -> bool:
    """A peak is marked where its wave lasts a period."""
    return key != "peak_period" or (result.estimates[f"{name}:peak_quality"].low or 0.0) > 1


def _from_first(table: Table) -> dict[str, np.ndarray]:
    """Without frequency 0, which has no place on a logarithmic axis."""
    return {key: values[1:] for key, values in table.columns.items()}


def _caption(result: Result) -> str:
    loop = " Dashed: spectrum of the loop that loop_gain fits." if "loop" in _all_columns(result) else ""
    return (
        f"Power spectrum ({result.settings['method']}) over the variance, from {result.rows} rows; grey: "
        f"{percent(result.settings['level'])} band at each frequency. Dotted line at 1: white noise.{loop} Vertical: "
        "a pure wave (solid), a peak whose wave lasts a period or more (dotted)."
    )


def _all_columns(result: Result) -> set[str]:
    return {name for table in result.tables.values() for name in table.columns}


def _alternative(result: Result) -> str:
    said = []
    for name in result.settings["columns"]:
        low, period, p = (result.estimates[f"{name}:{key}"] for key in ("low", "peak_period", "line_p"))
        if low.value is None:
            said.append(f"{name}: {low.reason}")
            continue
        peak = "no peak" if period.value is None else f"peak at period {number(period.value, 3)}"
        said.append(f"{name}: slow power {number(low.value, 3)}, {peak}, p of a pure wave {number(p.value, 2)}")
    return f"Line plots of power by frequency, both axes logarithmic. {'; '.join(said)}."

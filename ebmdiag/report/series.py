"""The traces themselves: d_s_t, v_t and r_t over the steps, with their running means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Drawing
from ebmdiag.report.envelope import Envelope
from ebmdiag.report.style import INK, SERIES, house_style
from ebmdiag.report.ticks import formatter
from ebmdiag.report.wording import number, sentence
from ebmdiag.result import Table
from ebmdiag.statistics import BY_COLUMN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

SHOWN = ("d_s_t", "v_t", "r_t")
_COLOUR = dict(zip(SHOWN, (SERIES[0], SERIES[2], SERIES[1]), strict=True))
_STRETCH = 50.0  # largest value over the 95th percentile of |value| from which on an axis becomes logarithmic
_TABLE_ROWS = 20
_LARGEST = 1e100
_SMALLEST = 1e-100
_MARGINS = {"left": 0.115, "right": 0.96, "top": 0.97}  # alike in all, so that the steps stand below each other


def draw(series: Envelope) -> Drawing:
    """One figure: band from smallest to largest value of each bin, and the running mean."""
    from matplotlib.figure import Figure

    with house_style():
        wide = series.column == "d_s_t"
        figure = Figure(figsize=(7.5, 2.8 if wide else 2.2))
        axes = figure.subplots(gridspec_kw=_MARGINS | {"bottom": 0.16 if wide else 0.2})
        linear = _scale(axes, series)
        _plot(axes, series)
        statistic = BY_COLUMN[series.column]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(formatter())
        axes.set(xlabel="step", ylabel=f"{series.column}  ({statistic.unit})")
        if wide:
            axes.axhline(0, color=INK, linewidth=0.6)
    return Drawing(f"trace-{series.column}", figure, _caption(series, linear), _alternative(series))


def _plot(axes: Axes, series: Envelope) -> None:
    colour = _COLOUR[series.column]
    middle = (series.first + series.last) / 2
    low, high, mean, running = (_drawable(v) for v in (series.low, series.high, series.mean, series.running))
    if series.binned:
        axes.fill_between(middle, low, high, color=colour, alpha=0.35, linewidth=0.5)
    else:
        alone: dict[str, Any] = {"marker": ".", "markersize": 3.0} if len(middle) < 60 else {}
        axes.plot(middle, mean, color=colour, linewidth=0.7, alpha=0.55, **alone)
    axes.plot(middle, running, color=colour, linewidth=1.6)
    if len(middle) > 1:
        axes.set_xlim(float(series.first[0]), float(series.last[-1]))


def _drawable(values: Floats) -> Floats:
    """Where matplotlib's own arithmetic would overflow, the edge of what it can draw; below any ink, 0."""
    clipped = np.clip(values, -_LARGEST, _LARGEST)
    return np.where(np.abs(clipped) < _SMALLEST, 0.0, clipped)


def _scale(axes: Axes, series: Envelope) -> float | None:
    """A symmetric logarithmic axis where a few values would flatten all others; up to where it is linear."""
    sizes = np.abs(_drawable(np.concatenate((series.low, series.high))))
    sizes = sizes[np.isfinite(sizes)]
    if not len(sizes):
        return None
    usual = float(np.percentile(sizes, 95))
    if usual <= 0 or sizes.max() <= _STRETCH * usual:
        return None
    linear = float(10 ** np.ceil(np.log10(usual)))
    axes.set_yscale("symlog", linthresh=linear)
    return linear


def _caption(series: Envelope, linear: float | None) -> str:
    statistic = BY_COLUMN[series.column]
    said = [f"{sentence(statistic.title)}."]
    if series.binned:
        rows = round(series.rows / len(series.low))
        said.append(f"Band: smallest to largest value of about {number(rows)} rows; no spike is left out.")
    if series.window > 1:
        said.append(f"Heavy line: running mean over {number(series.window)} rows.")
    if linear is not None:
        said.append(f"The axis is logarithmic beyond ±{number(linear, 2)}.")
    if np.nanmax(np.abs([series.low, series.high]), initial=0.0) > _LARGEST:
        said.append(f"Values beyond ±{number(_LARGEST)} are drawn there.")
    if series.missing:
        said.append(f"{number(series.missing)} of {number(series.rows)} values are missing.")
    return " ".join(said)


def _alternative(series: Envelope) -> str:
    if not np.isfinite(series.mean).any():
        return f"Empty plot of {series.column}: no finite value."
    low, high = int(np.nanargmin(series.low)), int(np.nanargmax(series.high))
    half = len(series.mean) // 2
    return (
        f"Line plot of {series.column} over steps {number(series.first[0])} to {number(series.last[-1])}: "
        f"lowest {number(series.low[low])} near step {number(series.first[low])}, "
        f"highest {number(series.high[high])} near step {number(series.first[high])}, "
        f"running mean {_at(series.running, 0)} at the start, {_at(series.running, half)} in the middle, "
        f"{_at(series.running, -1)} at the end."
    )


def _at(values: Floats, place: int) -> str:
    return number(float(values[place]))


def table(series: Envelope) -> Table:
    """The same in at most twenty rows of numbers."""
    count = min(_TABLE_ROWS, len(series.low))
    starts = np.linspace(0, len(series.low), count + 1).astype(np.int64)
    ends = starts[1:] - 1
    starts = starts[:-1]
    last_known = np.array([series.running[end] for end in ends])
    return Table(
        f"{series.column} in {count} parts",
        {
            "from step": series.first[starts],
            "to step": series.last[ends],
            "smallest": np.fmin.reduceat(series.low, starts),
            "largest": np.fmax.reduceat(series.high, starts),
            "running mean at the end": last_known,
        },
    )

"""The phases in pictures: d over the run with its regimes, its last rows with shaded phases, durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import number
from ebmdiag_analyses.lags import lag_unit, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: Result) -> list[Drawing]:
    """Two figures: the course of d with its phases, and the durations of phases."""
    return [_course(result), _durations(result)]


def _course(result: Result) -> Drawing:
    from ebmdiag.report.style import house_style, panels

    with house_style():
        figure, axes = panels(2, height=2.1)
        if not result.tables:
            for panel in axes:
                say_instead(panel, result.estimates["phase:count"].reason)
        else:
            _run_panel(axes[0], result)
            _last_panel(axes[1], result)
    return Drawing("phases", figure, _course_caption(result), _course_alternative(result))


def _run_panel(panel: Axes, result: Result) -> None:
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK, SERIES

    course, regimes = result.tables["course"].columns, result.tables["regimes"].columns
    panel.fill_between(course["step"], course["low"], course["high"], color=BAND, alpha=BAND_ALPHA, linewidth=0)
    panel.plot(course["step"], course["mean"], color=SERIES[0], linewidth=0.9)
    panel.axhline(0, color=INK, linewidth=0.6)
    for first, last, mean in zip(regimes["first_step"], regimes["last_step"], regimes["mean"], strict=True):
        panel.plot([first, last], [mean, mean], color=SERIES[1], linewidth=1.8)
    for first in regimes["first_step"][1:]:
        panel.axvline(first, color=SERIES[1], linewidth=0.8, linestyle=(0, (4, 3)))
    panel.set_title(f"{result.settings['series']} in sampling errors, over the run, with its regimes")
    panel.margins(x=0)


def _last_panel(panel: Axes, result: Result) -> None:
    from ebmdiag.report.style import INK, SERIES

    table = result.tables["last"].columns
    step, value, state = table["step"], table["value"], table["state"]
    for low, high, sign in _stretches(step, state):
        if sign:
            panel.axvspan(low, high, color=SERIES[1] if sign < 0 else SERIES[0], alpha=0.2, linewidth=0)
    panel.axhline(0, color=INK, linewidth=0.6)
    band = result.settings["band"]
    if band:
        for edge in (-band, band):
            panel.axhline(edge, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
    panel.plot(step, value, color=INK, linewidth=0.8)
    panel.set_title(f"the last {len(step)} rows: expansion orange, contraction blue")
    panel.set_xlabel("step")
    panel.margins(x=0)


def _stretches(step: NDArray[np.int64], state: NDArray[np.int64]) -> list[tuple[float, float, int]]:
    """Edges, half a row before the first and after the last, and sign of each stretch of one state."""
    edges = np.concatenate(([step[0]], (step[:-1] + step[1:]) / 2, [step[-1]])).astype(np.float64)
    starts = np.flatnonzero(np.diff(state, prepend=state[0] - 1))
    ends = np.append(starts[1:], len(state))
    return [(float(edges[low]), float(edges[high]), int(state[low])) for low, high in zip(starts, ends, strict=True)]


def _durations(result: Result) -> Drawing:
    from ebmdiag.report.style import house_style, panels

    table = result.tables.get("durations")
    with house_style():
        figure, (panel,) = panels(height=2.6)
        if table is None or not _counts(table).sum():
            say_instead(panel, result.estimates["phase:duration"].reason or "no phase is seen as a whole")
        else:
            _duration_panel(panel, table, lag_unit(result.settings))
    return Drawing("durations", figure, _duration_caption(result), _duration_alternative(result))


def _counts(table: Table) -> NDArray[np.int64]:
    total: NDArray[np.int64] = table.columns["expansion"] + table.columns["contraction"]
    return total


def _duration_panel(panel: Axes, table: Table, unit: str) -> None:
    from ebmdiag.report.style import BAND, INK, SERIES

    low, high = table.columns["from_rows"] - 0.5, table.columns["to_rows"] + 0.5
    width, total = high - low, _counts(table).sum()
    edges, centres = np.append(low, high[-1]), np.sqrt(table.columns["from_rows"] * table.columns["to_rows"])
    seen = _counts(table) / width / total
    panel.stairs(seen, edges, fill=True, color=BAND, alpha=0.4, linewidth=0, label="seen")
    for name, colour, said, dash in (
        ("independent", SERIES[0], "independent signs (geometric law)", "-"),
        ("memory", SERIES[1], "linear process with the memory of d", (0, (4, 2))),
    ):
        expected = table.columns[name] / width / total
        kept = expected > 0
        panel.plot(centres[kept], expected[kept], color=colour, linewidth=1.3, linestyle=dash, label=said)
    panel.set_yscale("log")
    panel.set_ylim(max(0.2 / total / width[-1], 1e-7), 1.5 * float(max(seen.max(), 0.1)))
    if high[-1] > 60:
        panel.set_xscale("log")
    panel.set_xlim(edges[0], edges[-1])
    panel.tick_params(which="both", color=INK)
    panel.set_title("share of phases by duration")
    panel.set_xlabel(f"duration ({unit})")
    panel.legend()


def _course_caption(result: Result) -> str:
    return (
        f"Above: {result.settings['series']} in sampling errors over {result.rows} rows (line: means of stretches, "
        "grey: lowest to highest); orange: mean of each regime. Below: its last rows; a phase ends where the series "
        "leaves the dashed band on the other side."
    )


def _course_alternative(result: Result) -> str:
    count, regimes = (result.estimates[name].value for name in ("phase:count", "regime:count"))
    return f"Course of d with its phases: {number(count)} phases, {number(regimes)} regimes."


def _duration_caption(result: Result) -> str:
    return (
        "Grey: share of complete phases of a duration, for each row of it; lines: what independent signs with the same "
        "shares outside the band would show, and what an autoregression fitted to the series shows."
    )


def _duration_alternative(result: Result) -> str:
    names = ("phase:duration", "independent:duration", "memory:duration")
    seen, independent, memory = (number(result.estimates[name].value, 3) for name in names)
    return f"Durations of phases: mean {seen}; independent signs {independent}; linear process {memory}."

"""The balance in pictures: r with its settling, and drift against diffusion over the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result
from ebmdiag.terminal import number
from ebmdiag_analyses.balance.options import CEILING, DRIFT
from ebmdiag_analyses.lags import say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = ((DRIFT, "drift² / noise²"), (CEILING, "r / ceiling"))


def draw(result: Result) -> list[Drawing]:
    """One figure: r over the run with late mean and settling; below, where known, r and drift on their scales."""
    from ebmdiag.report.style import house_style, panels

    tenths = result.tables.get("tenths")
    known = [item for item in _SHOWN if tenths is not None and item[0] in tenths.columns]
    with house_style():
        figure, axes = panels(1 + bool(known), height=2.3)
        if tenths is None:
            say_instead(axes[0], result.estimates["r:late"].reason)
        else:
            _course(axes[0], result)
        if known:
            _scales(axes[1], result, known)
        axes[-1].set_xlabel("step")
    return [Drawing("balance", figure, _caption(result), _alternative(result))]


def _course(panel: Axes, result: Result) -> None:
    from ebmdiag.report.style import BAND, BAND_ALPHA, INK, SERIES

    course, late = result.tables["course"].columns, result.estimates["r:late"].value
    panel.fill_between(course["step"], course["low"], course["high"], color=BAND, alpha=BAND_ALPHA, linewidth=0)
    panel.plot(course["step"], course["mean"], color=SERIES[0], linewidth=1.1)
    tolerance = result.settings["tolerance"]
    if late is not None:
        panel.axhline(late, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        ends = [course["step"][0], course["step"][-1]]
        panel.fill_between(
            ends, late * (1 - tolerance), late * (1 + tolerance), color=SERIES[2], alpha=0.15, linewidth=0
        )
    _settled(panel, result)
    bursts = result.tables["bursts"].columns["step"]
    if len(bursts):
        top = float(course["high"].max())
        panel.plot(bursts, np.full(len(bursts), top), "v", color=SERIES[1], markersize=4, clip_on=False)
    panel.set_title("r_t, the tolerance around its late mean, and where it settled")
    panel.margins(x=0)


def _settled(panel: Axes, result: Result) -> None:
    from ebmdiag.report.style import SERIES

    settled = result.estimates["r:settled"]
    if settled.value is None or settled.low is None or settled.high is None:
        return
    panel.axvline(settled.value, color=SERIES[1], linewidth=1.1)
    panel.axvspan(settled.low, settled.high, color=SERIES[1], alpha=0.15, linewidth=0)


def _scales(panel: Axes, result: Result, known: list[tuple[str, str]]) -> None:
    from ebmdiag.report.style import INK, SERIES

    tenths = result.tables["tenths"].columns
    middle = (tenths["first_step"] + tenths["last_step"]) / 2
    for (name, said), colour in zip(known, SERIES, strict=False):
        panel.errorbar(
            middle, tenths[name], yerr=2 * np.nan_to_num(tenths[f"{name}_error"]), color=colour, label=said,
            marker="o", markersize=3.5, linewidth=1.1,
        )  # fmt: skip
    panel.axhline(1, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    if all((tenths[name][np.isfinite(tenths[name])] > 0).all() for name, _ in known):
        panel.set_yscale("log")
    panel.set_xlim(tenths["first_step"][0], tenths["last_step"][-1])
    panel.set_title("tenths of the run, ± 2 errors: above 1 the drift rules a step, or r exceeds its ceiling")
    panel.legend()


def _caption(result: Result) -> str:
    return (
        f"r_t over {result.rows} rows (line: means of stretches, grey: lowest to highest). Dashed: mean of the last "
        f"{result.settings['late']:.0%}; green: ±{result.settings['tolerance']:.0%} around it; orange line: settled, "
        "with its uncertainty shaded; triangles: bursts."
    )


def _alternative(result: Result) -> str:
    late, settled, count = (result.estimates[name].value for name in ("r:late", "r:settled", "burst:count"))
    when = "not settled" if settled is None else f"settled at step {settled:.0f}"
    return f"Course of r: late mean {number(late)}, {when}, {number(count)} bursts."

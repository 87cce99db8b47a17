"""The long run in three pictures: energies by draw, the depth scan, and how measures are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import number
from ebmdiag_analyses.convergence.marginals import KINDS
from ebmdiag_analyses.lags import percent, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _colours() -> dict[str, str]:
    from ebmdiag.report.style import INK, SERIES

    return {"data": INK, "short": SERIES[1], "long": SERIES[0]}


_ALPHA = 0.15
_FAR = 2.5  # times the settled range: then the beginning lies outside the picture
_DASHES: dict[str, Any] = {"data": (0, (4, 2)), "short": (0, (2, 1.2)), "long": "-"}


def draw(result: Result) -> list[Drawing]:
    """Energies, depth scan, and densities of image measures or projections; each only where it was recorded."""
    drawings = []
    if "energy:long" in result.tables or "energy:short" in result.tables:
        drawings.append(_energies(result))
    if "depth:long" in result.tables or "depth:short" in result.tables:
        drawings.append(_depth(result))
    if any(name.startswith("marginal:") for name in result.tables):
        drawings.append(_marginals(result))
    return drawings


def _by_draw(panel: Axes, result: Result, label: str) -> None:
    """A logarithmic axis of draws that begins at 0, with L marked."""
    from ebmdiag.report.style import INK

    tables = [table for name, table in result.tables.items() if name.startswith(("energy:", "depth:"))]
    draws = np.concatenate([table.columns["draw"] for table in tables])
    first = float(draws[draws > 0].min()) if (draws > 0).any() else 1.0
    panel.set_xscale("symlog", linthresh=first, linscale=0.4)
    panel.set_xlim(0, max(float(draws.max()), first))
    panel.set_xlabel("steps since the start")
    panel.set_title(label)
    if result.settings["short_steps"]:
        panel.axvline(result.settings["short_steps"], color=INK, linewidth=0.7, linestyle=(0, (1, 2)))


def _energies(result: Result) -> Drawing:
    from ebmdiag.report.style import BAND, BAND_ALPHA, house_style, panels

    with house_style():
        figure, (panel,) = panels(height=2.8)
        data, deviation = result.estimates.get("energy:data"), result.estimates["energy:sd"].value
        if data is not None and data.value is not None and deviation is not None:
            panel.axhspan(data.value - deviation, data.value + deviation, color=BAND, alpha=BAND_ALPHA, linewidth=0)
            panel.axhline(data.value, color=_colours()["data"], linestyle=_DASHES["data"], linewidth=1, label="data")
        for kind in ("long", "short"):
            table = result.tables.get(f"energy:{kind}")
            if table is not None:
                _line(panel, table, kind, "mean")
        _by_draw(panel, result, "energy U by step")
        _zoom(panel, result)
        figure.legend(loc="outside lower center", ncols=3)
    return Drawing("energy", figure, _energy_caption(result), _energy_words(result))


def _line(panel: Axes, table: Table, kind: str, column: str) -> None:
    colour, draw_ = _colours()[kind], table.columns["draw"]
    panel.fill_between(draw_, table.columns["low"], table.columns["high"], color=colour, alpha=_ALPHA, linewidth=0)
    style = {"color": colour, "linestyle": _DASHES[kind], "linewidth": 1.3, "label": f"{kind} run"}
    panel.plot(draw_, table.columns[column], **style)


def _zoom(panel: Axes, result: Result) -> None:
    """Noise starts at energies far from everything else: show the range of data and of the runs from L/2 on."""
    bounds = []
    for name, table in result.tables.items():
        if name.startswith("energy:"):
            late = table.columns["draw"] >= min(result.settings["short_steps"], int(table.columns["draw"][-1])) / 2
            bounds += [table.columns["low"][late].min(), table.columns["high"][late].max()]
    data, deviation = result.estimates.get("energy:data"), result.estimates["energy:sd"].value
    if data is not None and data.value is not None and deviation is not None:
        bounds += [data.value - 2 * deviation, data.value + 2 * deviation]
    finite = [float(bound) for bound in bounds if np.isfinite(bound)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    bottom, top = panel.get_ylim()
    if high > low and top - bottom > _FAR * (high - low):
        panel.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _energy_caption(result: Result) -> str:
    level = "5% to 95% of single chains"
    return (
        f"Mean energy by step, with the range of {level}: long run (solid) and short run (dotted). Dashed with grey "
        "band: mean ± sd of the data. The dotted upright is L. The axis of steps is logarithmic beyond the first draw; "
        "starts far off may lie outside the picture."
    )


def _energy_words(result: Result) -> str:
    said = [
        f"{kind} {number(result.estimates[f'energy:{kind}'].value)}"
        for kind in ("data", "short", "long")
        if f"energy:{kind}" in result.estimates
    ]
    total = result.estimates["drift:total"]
    drift = "" if total.value is None else f" From its middle to its end the long run changes by {total.value:.3g}."
    return f"Energy of long and short chains by step. At their ends: {', '.join(said)}.{drift}"


def _depth(result: Result) -> Drawing:
    from ebmdiag.report.style import INK, house_style, panels

    with house_style():
        figure, (panel,) = panels(height=2.4)
        for kind in ("long", "short"):
            table = result.tables.get(f"depth:{kind}")
            if table is not None:
                _line(panel, table, kind, "d")
        panel.axhline(0, color=INK, linewidth=0.8)
        _by_draw(panel, result, "d = U(data) - U(chain) by step")
        panel.set_yscale("symlog", linthresh=_threshold(result), linscale=1)
        figure.legend(loc="outside lower center", ncols=2)
    where = _crossing(result)
    level = percent(result.settings["level"])
    caption = (
        f"Difference of mean energies after so many steps, with its {level} interval; training sees it at L (dotted "
        f"upright) only: {where}. Above 0: chains at lower energies than data. Both axes are logarithmic away from 0."
    )
    ends = [
        f"{kind} run ends at {number(result.tables[f'depth:{kind}'].columns['d'][-1], 3)}"
        for kind in ("long", "short")
        if f"depth:{kind}" in result.tables
    ]
    return Drawing("depth", figure, caption, f"Energy difference d by step: {'; '.join(ends)}; {where}.")


def _crossing(result: Result) -> str:
    crossing = result.estimates.get("depth:crossing_per_L")
    if crossing is None:
        return "the long run begins at data, where d is 0"
    if crossing.value is None:
        return f"no crossing: {crossing.reason}"
    return f"the long run crosses 0 at {crossing.value:.3g} L"


def _threshold(result: Result) -> float:
    """Where the axis of d turns from linear to logarithmic: the power of ten next to four errors at the ends."""
    ends = [table.columns["error"][-1] for name, table in result.tables.items() if name.startswith("depth:")]
    known = [float(error) for error in ends if np.isfinite(error) and error > 0]
    return float(10.0 ** np.round(np.log10(4 * max(known)))) if known else 1.0


def _marginals(result: Result) -> Drawing:
    from ebmdiag.report.style import house_style, panels

    tables = {name: table for name, table in result.tables.items() if name.startswith("marginal:")}
    with house_style():
        figure, axes = panels((len(tables) + 1) // 2, 2, height=2.0)
        for panel, (name, table) in zip(axes, tables.items(), strict=False):
            panel.set_title(name.removeprefix("marginal:"))
            panel.set_yticks([])
            panel.grid(visible=False)
            for kind in KINDS:
                _stairs(panel, table, kind)
        for panel in axes[len(tables) :]:
            say_instead(panel, "")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    names = ", ".join(name.removeprefix("marginal:") for name in tables)
    caption = (
        "Densities over chains: data (dashed), ends of short runs (dotted), second half of the long run (solid). "
        "Values beyond the outermost bins are counted in them."
    )
    return Drawing("marginals", figure, caption, f"Histograms of {names} for data, short and long runs.")


def _stairs(panel: Axes, table: Table, kind: str) -> None:
    density = table.columns[kind][:-1]
    if np.isfinite(density).all():
        style = {"color": _colours()[kind], "linestyle": _DASHES[kind], "linewidth": 1.3}
        panel.stairs(density, table.columns["edge"], label=kind if kind == "data" else f"{kind} run", **style)

"""Correlations over time, in words and in pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.lags import footnotes, heading, lag_unit, percent, say_instead

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_LINES = 12
_COLOURS = "RdBu_r"
_FADED = 0.3  # opacity of what does not stand out


def text(result: Result) -> list[str]:
    """Gains in some windows, stretches between the changes, and how much of each map stands out."""
    if not result.tables:
        return [heading(result), "", *footnotes(result)]
    settings = result.settings
    return [
        f"{heading(result)}, {settings['windows']} windows of {settings['width']} rows, {settings['stride']} apart",
        "",
        *_gain_lines(result),
        "",
        *_stretch_lines(result),
        "",
        _share_line(result),
        *footnotes(result),
    ]


def _gain_lines(result: Result) -> list[str]:
    table = result.tables["gains"]
    kinds = [kind for kind in ("difference", "state") if kind in table.columns]
    header = {"difference": f"-2 rho_1({result.settings['x']})", "state": f"1 - rho_1({result.settings['y']})"}
    places = np.unique(np.linspace(0, len(table) - 1, _LINES).astype(int))
    rows = [[str(table.columns["last_step"][place]), *_cells(table, kinds, int(place))] for place in places]
    shown = [f"{header[kind]}: {sparkline(_finite(table.columns[kind]), 40)}" for kind in kinds]
    titles = [cell for kind in kinds for cell in (header[kind], "low", "high")]
    return [*columns(["up to step", *titles], rows), *shown]


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _cells(table: Table, kinds: list[str], place: int) -> list[str]:
    names = [name for kind in kinds for name in (kind, f"{kind}_low", f"{kind}_high")]
    return [number(float(table.columns[name][place]), 3) for name in names]


def _stretch_lines(result: Result) -> list[str]:
    table = result.tables["stretches"].columns
    header = ["from step", "to step", f"lowest autocorrelation of {result.settings['x']}", "at lag", "p of the change"]
    rows = [
        [str(first), str(last), number(float(lowest), 3), str(lag), number(float(p), 2)]
        for first, last, lowest, lag, p in zip(*(table[name] for name in table), strict=True)
    ]
    return columns(header, rows)


def _share_line(result: Result) -> str:
    shares = [
        f"{name.removeprefix('share:')} {number(found.value, 2)}"
        for name, found in result.estimates.items()
        if name.startswith("share:")
    ]
    rate = f"{result.settings['false_rate']:g}"
    return f"share of the values that stand out (false discovery rate {rate}): {', '.join(shares)}"


def draw(result: Result) -> list[Drawing]:
    """Heat maps lag by time, then the gains over time."""
    return [_draw_maps(result), *([_draw_gains(result)] if result.tables else [])]


def _draw_maps(result: Result) -> Drawing:
    from ebmdiag.report.style import house_style, panels

    names = [name for name in ("acf_x", "acf_y", "ccf") if name in result.tables]
    with house_style():
        figure, axes = panels(max(1, len(names)), 1, height=2.1)
        if not names:
            say_instead(axes[0], result.estimates["changes"].reason)
        for panel, name in zip(axes, names, strict=False):
            image = _heat(panel, result.tables[name], _largest(result.tables[name]))
            panel.set_title(result.tables[name].title.removesuffix(" by window"))
            panel.set_ylabel(f"lag ({lag_unit(result.settings)})")
            _mark_changes(panel, result)
            _bar(figure, image, panel)
        axes[-1].set_xlabel("iteration (end of the window)")
    return Drawing("windows-maps", figure, _maps_caption(result), _maps_in_words(result))


def _largest(table: Table) -> float:
    shown = np.abs(table.columns["correlation"][table.columns["lag"] != 0])
    return max(0.05, float(np.nanmax(shown, initial=0.0)))


def _heat(panel: Axes, table: Table, largest: float) -> AxesImage:
    ends, lags = np.unique(table.columns["last_step"]), np.unique(table.columns["lag"])
    values = table.columns["correlation"].reshape(len(ends), len(lags)).T
    kept = table.columns["significant"].reshape(len(ends), len(lags)).T
    if lags[0] == 0:
        values, kept, lags = values[1:], kept[1:], lags[1:]
    half = (ends[-1] - ends[0]) / max(len(ends) - 1, 1) / 2 or 0.5
    extent = (float(ends[0] - half), float(ends[-1] + half), float(lags[0] - 0.5), float(lags[-1] + 0.5))
    panel.grid(visible=False)
    return panel.imshow(
        values,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=_COLOURS,
        vmin=-largest,
        vmax=largest,
        alpha=np.where(kept, 1.0, _FADED),
        interpolation="nearest",
    )


def _bar(figure: Figure, image: AxesImage, panel: Axes) -> None:
    bar = figure.colorbar(image, ax=panel, pad=0.01, aspect=12)
    limit = float(image.get_clim()[1])
    bar.set_ticks([-limit, 0, limit], labels=[f"{-limit:.2f}", "0", f"{limit:.2f}"])


def _mark_changes(panel: Axes, result: Result) -> None:
    from ebmdiag.report.style import INK

    for name, found in result.estimates.items():
        if name.startswith("change:") and found.value is not None:
            panel.axvline(found.value, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))


def _draw_gains(result: Result) -> Drawing:
    from ebmdiag.report.style import BAND_ALPHA, INK, SERIES, house_style, panels

    table = result.tables["gains"].columns
    labels = {"difference": f"−2 rho_1({result.settings['x']})", "state": f"1 − rho_1({result.settings['y']})"}
    with house_style():
        figure, (panel,) = panels(height=2.6)
        for kind, colour in zip(labels, SERIES, strict=False):
            if kind in table:
                style: dict[str, Any] = {"color": colour, "label": labels[kind], "linewidth": 1.3}
                panel.plot(table["last_step"], table[kind], **style)
                low, high = table[f"{kind}_low"], table[f"{kind}_high"]
                panel.fill_between(table["last_step"], low, high, color=colour, alpha=BAND_ALPHA, linewidth=0)
        panel.axhline(0, color=INK, linewidth=0.6)
        _mark_changes(panel, result)
        panel.set_title("gain of a memoryless loop, by either autocorrelation")
        panel.set_xlabel("iteration (end of the window)")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    caption = (
        f"One value a window of {result.settings['width']} rows, with its {percent(result.settings['level'])} interval "
        "(Bartlett's formula in full). They agree where one memoryless mode explains the run. Dashed: changes."
    )
    return Drawing("windows-gains", figure, caption, _gains_in_words(result))


def _maps_caption(result: Result) -> str:
    if not result.tables:
        return "No windows."
    settings = result.settings
    return (
        f"Correlations in {settings['windows']} windows of {settings['width']} rows. Full colour: stands out at a "
        f"false discovery rate of {settings['false_rate']:g}, the memory of the series allowed for; pale: may be "
        "chance. Dashed: changes of the autocorrelation. Each map has its own scale; lag 0 is left out."
    )


def _maps_in_words(result: Result) -> str:
    if not result.tables:
        return result.estimates["changes"].reason
    changes = [number(each.value) for name, each in result.estimates.items() if name.startswith("change:")]
    said = f"changes at steps {', '.join(changes)}" if changes else "no change"
    return f"Heat maps of correlation by lag and time. {_share_line(result)}; {said}."


def _gains_in_words(result: Result) -> str:
    table = result.tables["gains"].columns
    said = [
        f"{kind}: from {number(float(table[kind][0]), 3)} to {number(float(table[kind][-1]), 3)}"
        for kind in ("difference", "state")
        if kind in table
    ]
    return f"Line plot of the gain by window. {'; '.join(said)}."

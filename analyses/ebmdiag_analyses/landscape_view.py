"""Distances from the truth and weights of modes, in words and in pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.lags import footnotes, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = 16
_NAMES = {
    "kl_learned": "KL exp(-U)",
    "tv_learned": "TV",
    "kl_short": "KL short",
    "tv_short": "TV",
    "kl_floor": "KL floor",
    "tv_floor": "TV",
    "mode_error_learned": "mode exp(-U)",
    "mode_error_short": "mode short",
    "outside": "outside",
}
_DRAWN_FROM = 1e-3  # nats; KL is drawn on a logarithmic scale


def text(result: Result) -> list[str]:
    """Some landscapes, the course of KL, the weights of the modes and notes."""
    distances = result.tables["distances"]
    left_out = len(distances) - _LINES
    more = [f"and {left_out} rows more: see --json"] if left_out > 0 else []
    return [
        _heading(result),
        "",
        *columns(["step", *_NAMES.values()], _rows(distances)),
        *more,
        "",
        *(
            f"{_NAMES[name].rjust(10)}  {sparkline(np.log(np.maximum(distances.columns[name], _DRAWN_FROM)))}"
            for name in ("kl_learned", "kl_short")
        ),
        *_mode_lines(result),
        "",
        "KL(truth || ·) in nats; TV: total variation; floor: what as many exact samples score by the same kernel;",
        "mode: largest error of a mode's weight; outside: samples outside of the square; sparklines: log KL.",
        *footnotes(result),
    ]


def _heading(result: Result) -> str:
    settings = result.settings
    said = f"{result.rows} of {settings['landscapes']} landscapes"
    return f"landscape of {result.trace}: {said}, steps {settings['first_step']} to {settings['last_step']}"


def _rows(table: Table) -> list[list[str]]:
    places = sorted({round(place) for place in np.linspace(0, len(table) - 1, min(_LINES, len(table)))})
    return [[str(table.columns["step"][place]), *(_cell(table, name, place) for name in _NAMES)] for place in places]


def _cell(table: Table, name: str, place: int) -> str:
    doubtful = name in ("kl_learned", "tv_learned", "mode_error_learned") and not table.columns["resolved"][place]
    value = table.columns[name][place]
    return number(float(value), 3) + ("?" if doubtful and np.isfinite(value) else "")


def _mode_lines(result: Result) -> list[str]:
    table = result.tables.get("modes")
    if table is None:
        return []
    names = ("true", "learned", "short", "short_error")
    rows = [
        [str(mode), *(number(float(table.columns[name][place]), 3) for name in names)]
        for place, mode in enumerate(table.columns["mode"])
    ]
    return ["", *columns([f"weight at step {result.settings['last_step']}", "true", "exp(-U)", "short", "±"], rows)]


def draw(result: Result) -> list[Drawing]:
    """Distances over the iterations; weights of the modes, where they are known."""
    known = result.tables.get("modes")
    return [_draw_distances(result), *([] if known is None else [_draw_modes(result, known)])]


def _draw_distances(result: Result) -> Drawing:
    from ebmdiag.report.style import house_style, panels

    table = result.tables["distances"]
    with house_style():
        figure, axes = panels(1, 2, height=2.6)
        _course(axes[0], table, "kl", "KL(truth, ·), nats")
        if _is_wide(table):
            axes[0].set_yscale("log")
        else:
            axes[0].set_ylim(bottom=0)
        _course(axes[1], table, "tv", "total variation")
        axes[1].set_ylim(0, 1)
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    caption = (
        f"exp(−U): normalized by quadrature on {result.settings['grid']} × {result.settings['grid']} points. Short "
        f"runs: Gaussian kernel density of up to {result.settings['kernel_samples']} samples. Dashed: what as many "
        f"exact samples of the truth score by the same kernel, mean of {result.settings['floor_draws']} sets. "
        f"{f'KL on a logarithmic scale from {_DRAWN_FROM:g} up. ' if _is_wide(table) else ''}Circled: the grid does "
        "not resolve exp(−U)."
    )
    return Drawing("distances", figure, caption, _distances_in_words(result))


def _is_wide(table: Table) -> bool:
    """Whether KL needs a logarithmic scale."""
    drawn = np.concatenate([_finite(table, f"kl_{name}", _DRAWN_FROM) for name in ("learned", "short", "floor")])
    drawn = drawn[np.isfinite(drawn)]
    return len(drawn) > 0 and bool(drawn.max() > 10 * drawn.min())


def _course(axes: Axes, table: Table, kind: str, title: str) -> None:
    from ebmdiag.report.style import INK, SERIES

    steps, least = table.columns["step"], _DRAWN_FROM if kind == "kl" else 0.0
    marker: dict[str, Any] = {"marker": "o", "markersize": 3.0} if len(table) <= 30 else {}
    for name, label, colour in (("learned", "exp(−U)", SERIES[0]), ("short", "short runs", SERIES[1])):
        values = _finite(table, f"{kind}_{name}", least)
        axes.plot(steps, values, color=colour, label=label, linewidth=1.2, **marker)
    floor = _finite(table, f"{kind}_floor", least)
    axes.plot(steps, floor, color=INK, label="floor: exact samples", linewidth=0.9, linestyle=(0, (4, 3)))
    blurred = ~table.columns["resolved"].astype(bool)
    learned = _finite(table, f"{kind}_learned", least)
    axes.plot(steps[blurred], learned[blurred], "o", markersize=6, markerfacecolor="none", color=SERIES[0])
    axes.set_title(title)
    axes.set_xlabel("iteration")


def _finite(table: Table, name: str, least: float) -> np.ndarray:
    values = np.maximum(table.columns[name].astype(np.float64), least)
    return np.where(np.isfinite(values), np.minimum(values, 1e12), np.nan)


def _distances_in_words(result: Result) -> str:
    table = result.tables["distances"].columns
    said = [
        f"{word} goes from {number(float(table[name][0]))} to {number(float(table[name][-1]))}"
        for name, word in (
            ("kl_learned", "KL of the learned density"),
            ("tv_learned", "its total variation"),
            ("kl_short", "KL of the short runs"),
            ("tv_short", "their total variation"),
        )
    ]
    floors = f"{number(float(table['kl_floor'][-1]))} and {number(float(table['tv_floor'][-1]))}"
    return (
        f"Two line plots over steps {table['step'][0]} to {table['step'][-1]}: {'; '.join(said)}; the last floors are "
        f"{floors}."
    )


def _draw_modes(result: Result, table: Table) -> Drawing:
    from ebmdiag.report.style import BAND, INK, SERIES, house_style, panels

    values, level = table.columns, percent(result.settings["level"])
    places = np.arange(len(table))
    with house_style():
        figure, (axes,) = panels(height=2.4)
        laws = (("true", "truth", BAND), ("learned", "exp(−U)", SERIES[0]), ("short", "short runs", SERIES[1]))
        for offset, (name, label, colour) in zip((-0.27, 0.0, 0.27), laws, strict=True):
            axes.bar(places + offset, np.nan_to_num(values[name]), width=0.25, color=colour, label=label)
        ends = np.nan_to_num(np.stack([values["short"] - values["short_low"], values["short_high"] - values["short"]]))
        centre = np.nan_to_num(values["short"])
        axes.errorbar(places + 0.27, centre, np.maximum(ends, 0.0), fmt="none", ecolor=INK, elinewidth=0.9)
        axes.set_xticks(places, values["mode"].tolist())
        axes.set_title(f"weights of the modes at step {result.settings['last_step']}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    caption = (
        f"Mass nearest to each mode. Lines: {level} interval of a share of {result.settings['samples']} short-run "
        "samples that count as independent."
    )
    said = "; ".join(
        f"{mode}: {number(float(values['true'][i]), 3)}, {number(float(values['learned'][i]), 3)}, "
        f"{number(float(values['short'][i]), 3)}"
        for i, mode in enumerate(values["mode"])
    )
    return Drawing("modes", figure, caption, f"Bars of the weight of each mode, truth, exp(−U), short runs. {said}.")

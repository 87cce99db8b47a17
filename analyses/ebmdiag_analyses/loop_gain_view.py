"""The learning loop, in words and in a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result, Table
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.lags import footnotes, heading, lag_unit, percent, plot_lags

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAMILY = {"white": "white noise", "first": "memoryless", "persistent": "persistent", "momentum": "momentum"}
"""How each family of candidates is called."""
FLOOR = " + floor"

_STATISTIC = {
    "difference": "-2 rho_1(d)",
    "state": "1 - rho_1(r)",
    "meeting": "2 c_0²",
    "lead": "2 c_-1²",
    "variance": "2 (1 - 1 / Var z)",
}
_RELATION = {
    "relation": ("rho_1(d) + c_0²", "0"),
    "sum": ("sum of rho_k(d)", "-1/2"),
    "increment": ("corr(d, Δr)", "< 0"),
}
_LOOPS = ("first", "persistent", "momentum")
_STYLES: dict[str, Any] = {"first": "-", "persistent": (0, (5, 2)), "momentum": (0, (2, 1.5))}


def text(result: Result) -> list[str]:
    """Gains, relations, candidates and notes."""
    level = percent(result.settings["level"])
    return [
        heading(result),
        "",
        *columns([f"gain of one memoryless mode ({level})", "", "low", "high"], _gain_rows(result)),
        "",
        *columns(["without a parameter", "", "low", "high", "predicted"], _relation_rows(result)),
        "",
        *columns(
            [
                "fitted to the spectrum of d",
                "gain",
                "memory",
                "chains",
                "floor",
                "|pole|",
                "period",
                "ΔAIC",
                "ΔBIC",
                "p",
            ],
            [[_cell(value) for value in row] for row in result.tables["models"].rows()],
        ),
        "",
        _cross_line(result),
        "",
        "memory: of chains or momentum; chains: their share of the noise; floor: share of Var d that no loop",
        "answers; p: of what the fit leaves. c_k = corr(d_s_t[t+k], r_t[t]). ?: doubtful.",
        *footnotes(result),
    ]


def _gain_rows(result: Result) -> list[list[str]]:
    return [[said, *_estimate(result, f"gain:{name}")] for name, said in _STATISTIC.items()]


def _relation_rows(result: Result) -> list[list[str]]:
    return [[said, *_estimate(result, name), predicted] for name, (said, predicted) in _RELATION.items()]


def _estimate(result: Result, name: str) -> list[str]:
    found = result.estimates[name]
    mark = "?" if found.value is not None and not found.reliable else ""
    return [number(found.value, 3) + mark, number(found.low, 3), number(found.high, 3)]


def _cross_line(result: Result) -> str:
    found = {name: result.estimates[f"cross:{name}"] for name in _LOOPS}
    said = [f"{FAMILY[name]} {number(item.value, 3)}{'' if item.reliable else '?'}" for name, item in found.items()]
    return f"corr(d, r) at lags -10 … 10 lies from the prediction of these fits by (rms): {', '.join(said)}"


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else number(value, 3)


def draw(result: Result) -> list[Drawing]:
    """One figure: autocorrelations of d and r and their cross-correlation, with the fitted loops' predictions."""
    from ebmdiag.report.style import INK, SERIES, house_style, panels

    titles = {"acf_d": "autocorrelation of d_s_t", "acf_r": "autocorrelation of r_t", "ccf": "corr(d[t+k], r[t])"}
    colours = dict(zip(_LOOPS, SERIES, strict=True))
    with house_style():
        figure, axes = panels(1, 3)
        for panel, (name, title) in zip(axes, titles.items(), strict=True):
            panel.set_title(title)
            panel.set_xlabel(f"lag ({lag_unit(result.settings)})")
            table = _shown(result.tables.get(name))
            if table is None:
                panel.text(0.5, 0.5, "undefined", ha="center", transform=panel.transAxes)
                continue
            plot_lags(panel, table, [INK] * len(table))
            _predictions(panel, table, colours)
        handles, labels = axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return [Drawing("loop_gain", figure, _caption(result), _alternative(result))]


def _shown(table: Table | None) -> Table | None:
    """Without lag 0 of an autocorrelation; None where nothing is measured."""
    if table is None or not np.isfinite(table.columns["correlation"]).any():
        return None
    lags = table.columns["lag"]
    kept = lags > 0 if lags.min() == 0 else np.ones(len(lags), dtype=bool)
    return Table(table.title, {name: values[kept] for name, values in table.columns.items()})


def _predictions(panel: Axes, table: Table, colours: dict[str, str]) -> None:
    for loop in _LOOPS:
        if loop in table.columns:
            style = {"color": colours[loop], "linestyle": _STYLES[loop], "label": FAMILY[loop]}
            panel.plot(table.columns["lag"], table.columns[loop], linewidth=1.2, **style)


def _caption(result: Result) -> str:
    family = result.settings["preferred"]
    preferred = "Nothing was fitted." if family is None else f"Preferred: {FAMILY[family]}."
    return (
        f"Measured correlations over {result.rows} rows (stems; grey: {percent(result.settings['level'])} band) and "
        f"what the loops fitted to the spectrum of d_s_t alone predict (lines). {preferred} r_t has sampling noise of "
        "its own, which no loop predicts. Lag 0 of the autocorrelations is left out."
    )


def _alternative(result: Result) -> str:
    gain, modulus = (result.estimates[f"fit:{name}"].value for name in ("gain", "modulus"))
    family = result.settings["preferred"]
    said = "nothing was fitted" if family is None else f"preferred loop: {FAMILY[family]}"
    numbers = (
        "" if gain is None or modulus is None or math.isnan(gain) else f", gain {gain:.3g}, largest pole {modulus:.3g}"
    )
    return f"Three stem plots of correlation by lag with lines of the fitted loops; {said}{numbers}."

"""The partial autocorrelation of columns, in words and in a picture."""

from __future__ import annotations

from ebmdiag.analysis import Drawing
from ebmdiag.result import Result
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.autocorrelation_view import lag_figure
from ebmdiag_analyses.lags import footnotes, heading, lag_lines, percent

_KEYS = ("order", "left", "period", "modulus", "height")


def text(result: Result) -> list[str]:
    """Values and bars by lag, then the autoregression and notes."""
    defined = {name: table for name, table in result.tables.items() if _defined(result, name)}
    level = f"* outside the {percent(result.settings['level'])} band 1/√n, which holds beyond the order"
    return [
        f"{heading(result)}, {result.settings['convention']} convention",
        "",
        *([*lag_lines(defined), "", level, ""] if defined else []),
        *columns(["autoregression", *_KEYS], [_row(result, name) for name in result.settings["columns"]]),
        "",
        "left: share of the variance that the past does not foretell; period, modulus: of the wave that",
        "stands out most; height: of its peak in the spectrum, white noise is 1; ?: doubtful.",
        *footnotes(result),
    ]


def _defined(result: Result, name: str) -> bool:
    return result.estimates[f"{name}:order"].value is not None


def _row(result: Result, name: str) -> list[str]:
    found = [result.estimates[f"{name}:{key}"] for key in _KEYS]
    marks = ["?" if item.value is not None and not item.reliable else "" for item in found]
    return [name, *(number(item.value, 3) + mark for item, mark in zip(found, marks, strict=True))]


def draw(result: Result) -> list[Drawing]:
    """One figure with a panel for each column."""
    figure = lag_figure(result, "partial autocorrelation", {name: f"{name}:order" for name in result.tables})
    return [Drawing("pacf", figure, _caption(result), _alternative(result))]


def _caption(result: Result) -> str:
    return (
        f"Partial autocorrelation over {result.rows} rows ({result.settings['convention']} convention). Grey: "
        f"{percent(result.settings['level'])} band 1/√n around 0, which holds beyond the order of the autoregression; "
        "filled points lie outside. Lag 0 is left out."
    )


def _alternative(result: Result) -> str:
    said = []
    for name in result.settings["columns"]:
        order, period, modulus = (result.estimates[f"{name}:{key}"] for key in ("order", "period", "modulus"))
        if order.value is None:
            said.append(f"{name}: {order.reason}")
            continue
        wave = f"a wave of period {number(period.value, 3)}, modulus {number(modulus.value, 3)}"
        said.append(f"{name}: order {order.value:.0f}, {modulus.reason if modulus.value is None else wave}")
    return f"Stem plot of partial autocorrelation by lag. {'; '.join(said)}."

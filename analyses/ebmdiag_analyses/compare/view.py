"""A comparison in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ebmdiag.result import Result
from ebmdiag.terminal import columns, number
from ebmdiag_analyses.compare.figures import draw
from ebmdiag_analyses.compare.judge import Row, rows
from ebmdiag_analyses.lags import footnotes, percent

__all__ = ["draw", "text"]

_NAMES = 60


def text(result: Result) -> list[str]:
    """Recipes with their runs, pooled numbers, differences, legend and notes."""
    told = rows(result, "numbers")
    return [
        _heading(result),
        "",
        *columns(["recipe", "runs", "counted", "diverged", "names"], _recipes(result)),
        "",
        *(_numbers(told) if told else []),
        *_differences(result),
        *_legend(result),
        *footnotes(result),
    ]


def _heading(result: Result) -> str:
    settings = result.settings
    runs, recipes = len(settings["runs"]), len(settings["recipes"])
    steps = f"; numbers of steps {settings['settled_from']} to {settings['settled_until']}"
    kinds = "one recipe" if recipes == 1 else f"{recipes} recipes"
    return f"compare: {runs} runs, {kinds}{steps if settings['settled_from'] is not None else ''}"


def _recipes(result: Result) -> list[list[str]]:
    return [
        [row["recipe"], str(row["runs"]), str(row["counted"]), str(row["diverged"]), _short(row["names"])]
        for row in rows(result, "recipes")
    ]


def _short(names: str) -> str:
    return names if len(names) <= _NAMES else names[: _NAMES - 1] + "…"


def _numbers(told: Sequence[Row]) -> list[str]:
    header = ["quantity", "recipe", "runs", "mean", "low", "high", "a new run", "", "seeds disagree"]
    before = [None, *(row["quantity"] for row in told)]
    lines = [
        [
            "" if row["quantity"] == last else row["quantity"],
            row["recipe"],
            str(row["runs"]),
            number(row["mean"]) + _mark(row),
            *_cells(row, "low", "high", "new_low", "new_high"),
            "–" if _missing(row["disagree_adjusted_p"]) else f"p = {number(row['disagree_adjusted_p'], 2)}",
        ]
        for row, last in zip(told, before, strict=False)
    ]
    return [*columns(header, lines), ""]


def _differences(result: Result) -> list[str]:
    told = rows(result, "differences")
    if not told:
        return []
    header = [f"against {result.settings['baseline']}", "recipe", "", "low", "high", "margin", "p", "outcome"]
    lines = [
        [
            row["quantity"],
            row["recipe"],
            ("×" if row["told_as"] == "ratio" else "") + number(row["value"]) + _mark(row),
            *_cells(row, "low", "high", "margin"),
            number(row["adjusted_p"], 2),
            row["outcome"] + _needs(row),
        ]
        for row in told
    ]
    return [*columns(header, lines), ""]


def _needs(row: Row) -> str:
    return "" if _missing(row["runs_needed"]) else f" ({row['runs_needed']:.0f} runs each)"


def _mark(row: Row) -> str:
    return "" if row["reliable"] else "?"


def _cells(row: Row, *names: str) -> list[str]:
    return [number(row[name]) for name in names]


def _missing(value: Any) -> bool:
    return value is None or math.isnan(value)


def _legend(result: Result) -> list[str]:
    level = percent(result.settings["level"])
    lines = [
        f"low, high: {level} interval of the mean over runs; a new run: where {level} of further seeds lie;",
        "seeds disagree: p that runs of one recipe differ by their own noise alone.",
    ]
    if len(result.settings["recipes"]) > 1:
        lines += [
            "×: a ratio; p: after correction for all comparisons; alike: shown to be within the margin; open: neither",
            "shown, with the runs of each recipe that would tell.",
        ]
    return [*lines, ""]

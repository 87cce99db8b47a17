"""The long run in words, for a terminal."""

from __future__ import annotations

import math
from typing import Any

from ebmdiag.result import Result
from ebmdiag.terminal import columns, number, sparkline
from ebmdiag_analyses.convergence.legend import legend
from ebmdiag_analyses.lags import footnotes, percent

_PAIRS = (("long-data", "long - data"), ("long-short", "long - short"), ("short-data", "short - data"))
_LINES = 24
_REASONS = 8


def text(result: Result) -> list[str]:
    """Heading, energies, mixing, samples, the table over training, and notes."""
    blocks = [_energies(result), _mixing(result), _moves(result), _images(result), _states(result), _training(result)]
    return [
        *_heading(result),
        *(line for block in blocks if block for line in ("", *block)),
        "",
        *legend(result),
        *_notes(result),
    ]


def _heading(result: Result) -> list[str]:
    facts = result.settings
    if not facts["steps"]:
        return [f"convergence of {result.trace}: iteration {facts['step']}, no long run"]
    kind = {True: "", False: ", unadjusted", None: ""}[facts["exact"]]
    starts = f" ({facts['starts']} starts)" if facts["starts"] != facts["chains"] else ""
    return [
        f"convergence of {result.trace}: iteration {facts['step']}",
        f"{facts['chains']} chains{starts} of {facts['steps']:,} steps of {facts['sampler']}{kind} from "
        f"{facts['init']}; short runs: L = {facts['short_steps']} from {facts['short_start'] or 'unknown starts'}",
    ]


def _estimate(result: Result, name: str) -> list[str]:
    found = result.estimates.get(name)
    if found is None:
        return ["–", "", ""]
    mark = "?" if found.value is not None and not found.reliable else ""
    return [number(found.value, 4) + mark, number(found.low, 4), number(found.high, 4)]


def _energies(result: Result) -> list[str]:
    rows = [[name, *_estimate(result, f"energy:{name}")] for name in ("data", "short", "long")]
    rows += [[said, *_estimate(result, f"energy:{pair}")] for pair, said in _PAIRS]
    rows += [
        ["drift per 1,000 steps", *_estimate(result, "drift")],
        ["drift, middle to end", *_estimate(result, "drift:total")],
    ]
    if "depth:crossing_per_L" in result.estimates:
        rows.append(["d crosses 0 after (in L)", *_estimate(result, "depth:crossing_per_L")])
    lines = columns([f"energy U ({percent(result.settings['level'])})", "", "low", "high"], rows)
    course = result.tables.get("energy:long")
    return [*lines, *([f"long, log-spaced draws: {sparkline(course.columns['mean'])}"] if course else [])]


def _mixing(result: Result) -> list[str]:
    table = result.tables.get("mixing")
    if table is None:
        return []
    names = ("rhat", "ess_bulk", "ess_tail", "tau", "length_in_tau", "nested", "nested_expected", "nested_p")
    heads = ["second half", "R-hat", "bulk", "tail", "tau", "length/tau", "nested", "expected", "p"]
    cells = zip(*(table.columns[name].tolist() for name in names), strict=True)
    named = zip(table.columns["measure"].tolist(), cells, strict=True)
    return columns(heads, [[name, *_mixing_cells(row)] for name, row in named])


def _mixing_cells(row: tuple[float, ...]) -> list[str]:
    """R-hats to three decimals: all that matters of them is beyond the point."""
    rounded = [f"{value:.3f}" if place in (0, 5, 6) and 0 < value < 10 else None for place, value in enumerate(row)]
    return [_cell(value) if short is None else short for value, short in zip(row, rounded, strict=True)]


def _moves(result: Result) -> list[str]:
    words = {
        "acceptance": "acceptance",
        "swaps": "swaps",
        "displacement": "distance from start",
        "displacement:ratio": "of independent items'",
        "states:forgotten": "of one start, over others",
        "states:forgotten_axis": "squared, on the worst axis",
        "states:forgotten_p": "p of both",
        "persistence": "kept by single chains",
        "persistence:p": "p of that",
    }
    rows = [[said, *_estimate(result, name)] for name, said in words.items() if name in result.estimates]
    return columns(["moves", "", "low", "high"], rows) if rows else []


def _images(result: Result) -> list[str]:
    table = result.tables.get("images")
    if table is None:
        return []
    names = ("data", "short", "long", "short-data", "long-data")
    heads = ["images", "data", "short", "long", "short-data (errors)", "long-data (errors)"]
    cells = zip(*(table.columns[name].tolist() for name in names), strict=True)
    named = zip(table.columns["measure"].tolist(), cells, strict=True)
    return columns(heads, [[name, *(_cell(value) for value in row)] for name, row in named])


def _states(result: Result) -> list[str]:
    table = result.tables.get("two_sample")
    if table is None:
        return []
    names = ("pair", "test", "statistic", "expected", "share", "p", "adjusted_p")
    heads = ["samples", "test", "statistic", "if equal", "share", "p", "adjusted"]
    rows = zip(*(table.columns[name].tolist() for name in names), strict=True)
    return columns(heads, [[_cell(value) for value in row] for row in rows])


def _training(result: Result) -> list[str]:
    table = result.tables.get("training")
    if table is None or len(table) < 2:
        return []
    names = ("step", "init", "sampler", "steps", "drift_errors", "gap", "gap_errors", "rhat", "p")
    heads = ["iteration", "from", "sampler", "steps", "drift (errors)", "long-data", "(errors)", "R-hat", "p"]
    rows = list(zip(*(table.columns[name].tolist() for name in names), strict=True))
    more = [f"and {len(rows) - _LINES} earlier tables: see --json"] if len(rows) > _LINES else []
    return [*columns(heads, [[_cell(value) for value in row] for row in rows[-_LINES:]]), *more]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return ("∞" if value > 0 else "-∞") if math.isinf(value) else number(value, 3)
    return str(value)


def _notes(result: Result) -> list[str]:
    said = footnotes(result)
    reasons = len(said) - len(result.notes)
    if reasons <= _REASONS:
        return said
    return [*said[:_REASONS], f"? and {reasons - _REASONS} reasons more: see --json", *said[reasons:]]

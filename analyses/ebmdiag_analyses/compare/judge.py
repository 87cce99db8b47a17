"""What a comparison says: differences, likeness, seeds that disagree, runs that diverged, runs that are one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ebmdiag.result import Finding, Result
from ebmdiag.terminal import number
from ebmdiag_analyses.compare.options import LIMITS, Limits
from ebmdiag_analyses.compare.quantities import chosen
from ebmdiag_analyses.compare.tables import difference_name

_SOURCE = "Welch 1947; Benjamini and Hochberg 1995; margins: this project's first proposals, docs/compare.md"

Row = Mapping[str, Any]


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Worst first: what casts doubt on the runs, then what was found."""
    return [
        *_same_seed(result),
        *_diverged(result, limits),
        *_disagreeing(result, limits),
        *_differing(result, limits),
        *_alike(result),
        *_open(result),
    ]


def rows(result: Result, table: str) -> list[Row]:
    """Rows of a table by column name."""
    found = result.tables[table]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows()]


def said(quantity: str) -> str:
    """A quantity in words."""
    words = {one.name: one.said for one in chosen(())}
    return words.get(quantity, quantity.replace("mean ", "mean of ", 1))


def _same_seed(result: Result) -> Iterator[Finding]:
    for pair in result.settings["same_run"]:
        yield Finding(
            "same-seed",
            "warning",
            f"{pair} are one run twice (the same recipe and seed, or the very same numbers), and count once.",
            advice="Give each run a seed of its own: --set training.seed=1, 2, 3 …",
        )


def _diverged(result: Result, limits: Limits) -> Iterator[Finding]:
    """How many runs of each recipe diverged, and whether chance explains it."""
    counts = [(row["recipe"], row["diverged"], row["runs"]) for row in rows(result, "recipes")]
    if not any(diverged for _, diverged, _ in counts):
        return
    told = ", ".join(f"{diverged} of {runs} of {recipe}" for recipe, diverged, runs in counts)
    p = _fisher([(diverged, runs - diverged) for _, diverged, runs in counts]) if len(counts) > 1 else None
    told_p = "" if p is None else f"; p = {number(p, 2)} that all do so alike"
    less = "" if p is None or p <= limits.outcome else ": not shown to be more than chance"
    yield Finding(
        "runs-diverged",
        "warning",
        f"runs diverged: {told}{told_p}{less}. Their numbers are left out of what follows.",
        p,
        None if p is None else limits.outcome,
        "'ebmdiag diagnose' of such a run says which knob to turn.",
        "Fisher's exact test; of more than two recipes each against all others, times their number",
    )


def _fisher(counts: list[tuple[int, int]]) -> float:
    """The smallest p of each recipe against all others, times their number: at most the chance of that by luck."""
    from scipy.stats import fisher_exact

    whole = [sum(column) for column in zip(*counts, strict=True)]
    tests = [
        float(fisher_exact(np.array([[one, other], [whole[0] - one, whole[1] - other]])).pvalue)
        for one, other in counts
    ]
    return tests[0] if len(counts) == 2 else min(1.0, len(tests) * min(tests))


def _disagreeing(result: Result, limits: Limits) -> Iterator[Finding]:
    """One finding for each recipe whose seeds differ beyond their own noise."""
    found: dict[str, list[Row]] = {}
    for row in rows(result, "numbers"):
        p = row["disagree_adjusted_p"]
        if p is not None and p <= limits.disagreement:
            found.setdefault(row["recipe"], []).append(row)
    for recipe, items in found.items():
        told = "; ".join(f"{said(row['quantity'])} (p = {number(row['disagree_adjusted_p'], 2)})" for row in items)
        yield Finding(
            "seeds-disagree",
            "info",
            f"the {items[0]['runs']} runs of {recipe} differ by more than their own noise in {told}: one run does not "
            "speak for its recipe, and errors from within a run are too small for it.",
            min(row["disagree_adjusted_p"] for row in items),
            limits.disagreement,
            source="Welch 1951, Biometrika 38:330; adjusted over all recipes and quantities",
        )


def _differing(result: Result, limits: Limits) -> Iterator[Finding]:
    """For each recipe one finding of what differs and matters, and one of what differs within the margin."""
    tests = sum(row["adjusted_p"] is not None for row in rows(result, "differences"))
    first, level = result.settings["baseline"], f"{100 * result.settings['level']:g}%"
    for outcome, within in (("differs", ""), ("differs within the margin", ", by less than what matters")):
        for recipe, items in _by_recipe(result, outcome).items():
            told = "; ".join(_told(row) for row in items)
            yield Finding(
                "recipes-differ",
                "info",
                f"{recipe} differs from {first}{within}, in {told}. Intervals at {level}; p after correction for "
                f"{tests} comparisons.{_doubts(result, items)}",
                min(row["adjusted_p"] for row in items),
                limits.discoveries,
                source=_SOURCE,
            )


def _told(row: Row) -> str:
    size = f"{number(row['value'])} times" if row["told_as"] == "ratio" else f"by {row['value']:+.4g}"
    between = f"{number(row['low'])} to {number(row['high'])}, p = {number(row['adjusted_p'], 2)}"
    return f"{said(row['quantity'])} {size} ({between})"


def _doubts(result: Result, items: list[Row]) -> str:
    """Why a difference is not to be trusted, each reason once."""
    first = result.settings["baseline"]
    names = [difference_name(row["quantity"], row["recipe"], first) for row in items]
    reasons = [result.estimates[name].reason for name in names]
    parts = [part for reason in reasons for part in reason.split("; ") if part]
    told = "; ".join(dict.fromkeys(parts))
    return f" Doubtful: {told}." if told else ""


def _alike(result: Result) -> Iterator[Finding]:
    """One finding for each recipe: in what it was shown to be as the first."""
    first = result.settings["baseline"]
    for recipe, items in _by_recipe(result, "alike").items():
        told = "; ".join(f"{said(row['quantity'])} (within {_margin(row)})" for row in items)
        yield Finding(
            "recipes-alike",
            "info",
            f"{recipe} is shown to be as {first} in {told}.{_doubts(result, items)}",
            max(row["alike_p"] for row in items),
            source="Schuirmann 1987, two one-sided tests; " + _SOURCE,
        )


def _margin(row: Row) -> str:
    return f"a factor of {row['margin']:g}" if row["told_as"] == "ratio" else f"{row['margin']:g}"


def _open(result: Result) -> Iterator[Finding]:
    """One finding for each recipe: what is neither shown to differ nor to be alike, and how many runs would tell."""
    first = result.settings["baseline"]
    for recipe, items in _by_recipe(result, "open").items():
        told = "; ".join(f"{said(row['quantity'])}{_needs(row)}" for row in items)
        yield Finding(
            "recipes-open",
            "info",
            f"whether {recipe} differs from {first} is open in {told}.{_doubts(result, items)}",
            advice="Train more seeds of each recipe; rows of the same runs do not tell what another seed does.",
        )


def _needs(row: Row) -> str:
    needed = row["runs_needed"]
    return "" if needed is None or math.isnan(needed) else f" (about {needed:.0f} runs of each would tell)"


def _by_recipe(result: Result, outcome: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows(result, "differences"):
        if row["outcome"] == outcome:
            found.setdefault(row["recipe"], []).append(row)
    return found

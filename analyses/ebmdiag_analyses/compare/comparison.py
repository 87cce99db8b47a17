"""The data's way through a comparison.

    runs → groups of one recipe → numbers of each run over the settled steps that all share
         → per group: mean, interval, spread, where a further run lies, do the seeds disagree?
         → against the first group: difference, interval, equivalence, after correction for the number of tests

The run is the unit (ebmdiag.numerics.pooling): a long run says much of itself and nothing of another seed. A run that
diverged is counted as that and left out of the numbers; so is one whose recipe and seed another run has already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest
from ebmdiag.replicates import Fact, Group, groups, same_run
from ebmdiag_analyses.compare.options import LIMITS, Options
from ebmdiag_analyses.compare.pooled import Difference, Seeds, differences, pooled
from ebmdiag_analyses.compare.quantities import chosen
from ebmdiag_analyses.compare.runs import Measured, Reader, Run, Span, described, edges_of, measured, span_of


@dataclass(frozen=True)
class Comparison:
    """All that was computed.

    Attributes:
        left_out: place of a run → why its numbers are not pooled.
        edges: bounds of the courses' bins, shape (bins + 1,).
        measured: of each run, in the order in which they were given.
        again: pairs (kept, left out) of runs with one recipe and seed.
    """

    runs: Sequence[Run]
    groups: Sequence[Group]
    left_out: Mapping[int, str]
    again: Sequence[tuple[int, int]]
    span: Span | None
    edges: NDArray[np.int64]
    measured: Sequence[Measured]
    seeds: Sequence[Seeds]
    differences: Sequence[Difference]

    @property
    def labels(self) -> list[str]:
        """Of the groups."""
        return [group.label for group in self.groups]


def compared(readers: Sequence[Reader], options: Options) -> Comparison:
    """Group, reduce, pool and hold against each other.

    Raises:
        UsageError: fewer than two runs, one twice, none with a row, no way to group them, no steps that they share, or
            a column that was asked for is in none of them.
        TraceError: a trace cannot be read.
    """
    runs = described(readers)
    facts: list[Fact] = [(run.name, run.metadata, run.path) for run in runs]
    found = groups(facts, options.by)
    again = [pair for group in found for pair in same_run(facts, group.members)]
    left_out = _left_out(runs, again)
    counted = [run for place, run in enumerate(runs) if place not in left_out]
    span, edges, wanted = span_of(counted, options.settled_from), edges_of(runs), chosen(options.columns)
    every = [measured(read, None if place in left_out else span, edges, wanted) for place, read in enumerate(readers)]
    _refuse_unknown(readers[0], options.columns, every)
    numbers = [[every[place].numbers for place in group.members if place not in left_out] for group in found]
    return Comparison(
        runs,
        found,
        left_out,
        again,
        span,
        edges,
        every,
        pooled(numbers, wanted, options.level),
        differences(numbers, wanted, options.level, LIMITS),
    )


def _left_out(runs: Sequence[Run], again: Sequence[tuple[int, int]]) -> dict[int, str]:
    found = {two: f"{runs[two].name} has the recipe and the seed of {runs[one].name}" for one, two in again}
    for place, run in enumerate(runs):
        if run.diverged:
            found[place] = f"{run.name} diverged at step {run.last}"
        elif not run.rows:
            found[place] = f"{run.name} has no row yet"
    return found


def _refuse_unknown(read: Reader, columns: Sequence[str], every: Sequence[Measured]) -> None:
    """Stop at a column that no counted run holds.

    Raises:
        UsageError: there is one.
    """
    for column in columns:
        if not any(f"mean {column}" in one.numbers for one in every):
            held = read(None).columns
            raise UsageError(f"no run that counts has a column '{column}'{nearest(column, held)}")

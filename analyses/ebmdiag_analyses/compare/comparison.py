"""The data's way through a comparison.

    runs → groups of one recipe → numbers of each run over the settled steps that all share
         → per group: mean, interval, spread, where a further run lies, do the seeds disagree?
         → against the first group: difference, interval, equivalence, after correction for the number of tests

The run is the unit (ebmdiag.numerics.pooling): a long run says much of itself and nothing of another seed. A run that
diverged is counted as that and left out of the numbers; one that repeats another counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest
from ebmdiag.replicates import Fact, Group, groups, repeated
from ebmdiag_analyses.compare.options import LIMITS, Options
from ebmdiag_analyses.compare.pooled import Difference, Seeds, differences, pooled
from ebmdiag_analyses.compare.quantities import chosen
from ebmdiag_analyses.compare.runs import Measured, Run, Span, described, edges_of, measured, span_of

if TYPE_CHECKING:
    from ebmdiag.report.answers import Reader

_FEWEST_ROWS = 16
_SHARE = 20


@dataclass(frozen=True)
class Comparison:
    """All that was computed.

    Attributes:
        again: place of a run → that of the run which it is once more; it counts nowhere.
        left_out: place of a run → why its numbers are not pooled; those of ``again`` are among them.
        edges: bounds of the courses' bins, shape (bins + 1,).
        measured: of each run, in the order in which they were given.
        baseline: the group that all others are held against: the first with a run that counts.
    """

    runs: Sequence[Run]
    groups: Sequence[Group]
    again: Mapping[int, int]
    left_out: Mapping[int, str]
    span: Span | None
    edges: NDArray[np.int64]
    measured: Sequence[Measured]
    baseline: int
    seeds: Sequence[Seeds]
    differences: Sequence[Difference]

    @property
    def labels(self) -> list[str]:
        """Of the groups."""
        return [group.label for group in self.groups]

    def distinct(self, group: Group) -> list[Run]:
        """The runs of a group, each once."""
        return [self.runs[place] for place in group.members if place not in self.again]


def compared(readers: Sequence[Reader], options: Options) -> Comparison:
    """Group, reduce, pool and hold against each other.

    Raises:
        UsageError: fewer than two runs, one twice, none with a row, no way to group them, no steps that they share, or
            a column that was asked for is in none of them.
        TraceError: a trace cannot be read.
    """
    runs = described(readers)
    facts: list[Fact] = [(run.name, run.metadata, run.path) for run in runs]
    found, wanted, edges = groups(facts, options.by), chosen(options.columns), edges_of(runs)
    again = _again(facts, runs)
    left_out = _left_out(runs, again)
    span = span_of([run for place, run in enumerate(runs) if place not in left_out], options.settled_from)
    every = [measured(read, None if place in left_out else span, edges, wanted) for place, read in enumerate(readers)]
    if span is not None:
        _refuse_unknown(readers, options.columns, every)
    copies = _copies(every)
    again |= copies
    left_out |= {two: f"{runs[two].name} has the very numbers of {runs[one].name}" for two, one in copies.items()}
    counted = [[every[place].numbers for place in group.members if place not in left_out] for group in found]
    baseline = next((place for place, numbers in enumerate(counted) if numbers), 0)
    seeds = pooled(counted, wanted, options.level)
    against = differences(counted, baseline, wanted, LIMITS)
    return Comparison(runs, found, again, left_out, span, edges, every, baseline, seeds, against)


def _again(facts: Sequence[Fact], runs: Sequence[Run]) -> dict[int, int]:
    """Of runs that are one, the longest that did not diverge is kept."""
    found: dict[int, int] = {}
    for places in repeated(facts):
        kept = max(places, key=lambda place: (not runs[place].diverged, runs[place].rows))
        found |= {place: kept for place in places if place != kept}
    return found


def _copies(every: Sequence[Measured]) -> dict[int, int]:
    """Runs all of whose numbers are those of an earlier one: a copy, though no seed tells."""
    first: dict[tuple[tuple[str, float], ...], int] = {}
    found = {}
    for place, one in enumerate(every):
        numbers = tuple((name, own.value) for name, own in one.numbers.items() if own.error > 0)
        if numbers and numbers in first:
            found[place] = first[numbers]
        first.setdefault(numbers, place)
    return found


def _left_out(runs: Sequence[Run], again: Mapping[int, int]) -> dict[int, str]:
    """Runs that repeat another, diverged, or have next to no rows beside the others."""
    usual = float(np.median([run.rows for run in runs]))
    found = {}
    for place, run in enumerate(runs):
        if place in again:
            found[place] = f"{run.name} has the recipe and the seed of {runs[again[place]].name}"
        elif run.diverged:
            found[place] = f"{run.name} diverged at step {run.last}" if run.rows else f"{run.name} diverged"
        elif not run.rows:
            found[place] = f"{run.name} has no row in these steps"
        elif run.rows < min(_FEWEST_ROWS, usual) or run.rows * _SHARE < usual:
            found[place] = f"{run.name} has {run.rows} rows only"
    return found


def _refuse_unknown(readers: Sequence[Reader], columns: Sequence[str], every: Sequence[Measured]) -> None:
    """Stop at a column that no counted run holds.

    Raises:
        UsageError: there is one.
    """
    for column in columns:
        if not any(f"mean {column}" in one.numbers for one in every):
            known = sorted({name for read in readers for name in read(None).columns})
            if column in known:
                raise UsageError(f"column '{column}' has a value in none of the runs whose numbers count.")
            raise UsageError(f"no run has a column '{column}'{nearest(column, known)}")

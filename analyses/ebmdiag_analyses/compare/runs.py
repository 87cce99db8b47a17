"""The runs: what each says of itself, which steps count, and one run at a time its numbers and its courses.

    readers → facts, groups → shared steps → per run: numbers (settled rows), courses (all rows), autocorrelation

A run is read, reduced and let go before the next one, so that memory does not grow with the number of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError, UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.names import distinct
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag_analyses.compare.quantities import Number, Quantity, numbers

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]
Reader = Callable[[list[str] | None], "Trace"]

COURSES = ("r_t", "d_s_t")
BINS = 60
LAGS = 40


@dataclass(frozen=True)
class Run:
    """What a run says of itself; steps are 0 where it has no row."""

    name: str
    path: Path
    metadata: TraceMetadata
    first: int
    last: int
    rows: int

    @property
    def diverged(self) -> bool:
        """Whether it came to no end; its numbers are of a run that was on the way out."""
        return self.metadata.state == "diverged"


@dataclass(frozen=True)
class Span:
    """The steps that all counted runs share, from where their numbers are taken, and which run ends first."""

    first: int
    last: int
    settled: int
    shortest: str


@dataclass(frozen=True)
class Measured:
    """One run reduced.

    Attributes:
        numbers: by quantity, of the settled rows; a quantity whose columns are absent is absent.
        courses: name → mean, or for ``d_s_t_sd`` standard deviation, of the rows in each bin, shape (bins,), NaN where
            there are none.
        acf: of d_s_t at lags 0 … 40, of the settled rows, NaN where undefined.
    """

    numbers: Mapping[str, Number]
    courses: Mapping[str, Series]
    acf: Series


def described(readers: Sequence[Reader]) -> list[Run]:
    """What each run says of itself.

    Raises:
        UsageError: fewer than two runs, or one of them twice.
    """
    if len(readers) < 2:
        raise UsageError("compare needs at least two traces; 'ebmdiag diagnose' looks at a single one.")
    traces = [read([]) for read in readers]
    paths = [trace.path for trace in traces]
    for place, path in enumerate(paths):
        if path.resolve() in {other.resolve() for other in paths[:place]}:
            raise UsageError(f"{path} is given twice; a run repeats nothing by being named again.")
    return [_run(name, trace) for name, trace in zip(distinct(paths), traces, strict=True)]


def _run(name: str, trace: Trace) -> Run:
    steps = trace.steps
    first, last = (int(steps[0]), int(steps[-1])) if len(steps) else (0, 0)
    return Run(name, trace.path, trace.metadata, first, last, len(steps))


def span_of(runs: Sequence[Run], settled_from: int | None) -> Span | None:
    """The shared steps of the runs that count; None where none does.

    Raises:
        UsageError: they share no step, or none from ``settled_from`` on.
    """
    if not runs:
        return None
    start, end = max(runs, key=lambda run: run.first), min(runs, key=lambda run: run.last)
    if start.first > end.last:
        raise UsageError(
            f"{start.name} begins at step {start.first}, after {end.name} has ended at step {end.last}: there is no "
            "step that all runs share; leave one of them out."
        )
    settled = (start.first + end.last + 1) // 2 if settled_from is None else settled_from
    if settled > end.last:
        raise UsageError(f"no step that all runs share is left from {settled} on: {end.name} ends at {end.last}.")
    return Span(start.first, end.last, settled, end.name)


def edges_of(runs: Sequence[Run]) -> NDArray[np.int64]:
    """Bounds of at most 60 bins over all steps of all runs, shape (bins + 1,); the last one lies behind them.

    Raises:
        UsageError: no run has a row.
    """
    held = [run for run in runs if run.rows]
    if not held:
        raise UsageError("none of these runs has a row yet, so there is nothing to compare.")
    first, last = min(run.first for run in held), max(run.last for run in held)
    count = min(BINS, last - first + 1)
    return np.linspace(first, last + 1, count + 1).round().astype(np.int64)


def measured(read: Reader, span: Span | None, edges: NDArray[np.int64], wanted: Sequence[Quantity]) -> Measured:
    """One run reduced; without a span, to its courses alone."""
    needed = dict.fromkeys([*COURSES, *(column for one in wanted for column in one.columns)])
    trace = read(list(needed))
    courses = {
        name: course for column in COURSES if column in trace.columns for name, course in _courses(trace, column, edges)
    }
    if span is None:
        return Measured({}, courses, np.full(LAGS + 1, np.nan))
    settled = trace.between(span.settled, span.last)
    return Measured(numbers(settled, tuple(wanted)), courses, _acf(settled))


def _courses(trace: Trace, column: str, edges: NDArray[np.int64]) -> list[tuple[str, Series]]:
    """Mean of each bin; of d_s_t the standard deviation, too."""
    try:
        steps, values = trace.measured(column)
    except TraceError:  # a value that is not finite: the numbers say so, and there is no course to draw
        return []
    bounds = np.searchsorted(steps, edges)
    counts = np.diff(bounds)
    means = _bin_means(values, bounds, counts)
    found = [(column, means)]
    if column == "d_s_t":
        rest = values - np.repeat(np.nan_to_num(means), counts)
        with np.errstate(over="ignore"):  # of a run on its way out; an infinite spread is not drawn
            spread = np.sqrt(_bin_means(rest * rest, bounds, counts))
        found.append((f"{column}_sd", np.where(np.isfinite(spread), spread, np.nan)))
    return found


def _bin_means(values: Series, bounds: NDArray[np.int64], counts: NDArray[np.int64]) -> Series:
    means = np.full(len(counts), np.nan)
    filled = counts > 0
    means[filled] = np.add.reduceat(values, bounds[:-1][filled]) / counts[filled]
    return means


def _acf(trace: Trace) -> Series:
    empty = np.full(LAGS + 1, np.nan)
    try:
        values = trace.series("d_s_t")
    except TraceError:  # as above
        return empty
    lags = min(LAGS, len(values) // 4)
    return np.concatenate((autocorrelation(values, lags), empty[lags + 1 :])) if lags else empty

"""The runs: what each says of itself, which steps count, and one run at a time its numbers and its courses.

    readers → facts, groups → shared steps → per run: numbers (settled rows), courses (all rows), autocorrelation

A run is read, reduced and let go before the next one, so that memory does not grow with the number of runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ebmdiag_analyses.selection import span

if TYPE_CHECKING:
    from ebmdiag.report.answers import Reader
    from ebmdiag.trace import Trace

Series = NDArray[np.float64]

COURSES = ("r_t", "d_s_t")
BINS = 60
LAGS = 40
_UNLIKE = "rows are not equally many iterations apart in all runs, so lags mean different things"


@dataclass(frozen=True)
class Run:
    """What a run says of itself; steps are 0 where it has no row, ``spacing`` None where rows are irregular."""

    name: str
    path: Path
    metadata: TraceMetadata
    first: int
    last: int
    rows: int
    spacing: int | None

    @property
    def diverged(self) -> bool:
        """Whether it came to no end; its numbers are of a run that was on the way out."""
        return self.metadata.state == "diverged"


@dataclass(frozen=True)
class Span:
    """The steps that all counted runs share, from where on their numbers are taken, and which run ends first.

    ``spacing``: iterations from row to row, if it is the same in all of them; else None.
    """

    first: int
    last: int
    settled: int
    shortest: str
    spacing: int | None


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
    names = distinct([path.with_suffix("") for path in paths])
    return [_run(name, trace) for name, trace in zip(names, traces, strict=True)]


def _run(name: str, trace: Trace) -> Run:
    steps = span(trace)
    first, last = steps["first_step"] or 0, steps["last_step"] or 0
    return Run(name, trace.path, trace.metadata, first, last, len(trace), steps["iterations_per_row"])


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
    settled = (start.first + end.last + 1) // 2 if settled_from is None else max(settled_from, start.first)
    if settled > end.last:
        raise UsageError(f"no step that all runs share is left from {settled} on: {end.name} ends at {end.last}.")
    spacings = {run.spacing for run in runs}
    return Span(start.first, end.last, settled, end.name, spacings.pop() if len(spacings) == 1 else None)


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


def needed(wanted: Sequence[Quantity]) -> list[str]:
    """The columns that are read of each run."""
    return list(dict.fromkeys([*COURSES, *(column for one in wanted for column in one.columns)]))


def measured(read: Reader, shared: Span | None, edges: NDArray[np.int64], wanted: Sequence[Quantity]) -> Measured:
    """One run reduced; without steps that are shared, to its courses alone."""
    trace = read(needed(wanted))
    held = set(trace.columns)
    courses = {name: course for column in COURSES if column in held for name, course in _courses(trace, column, edges)}
    if shared is None:
        return Measured({}, courses, _no_lags())
    own = [one for one in wanted if held.issuperset(one.columns)]
    settled = trace.within(shared.settled, shared.last)
    if not len(settled):
        reason = f"it has no row from step {shared.settled} to {shared.last}"
        return Measured({one.name: Number.absent(reason) for one in own}, courses, _no_lags())
    lags = "" if shared.spacing else _UNLIKE
    return Measured(numbers(settled, own, lags), courses, _no_lags() if lags else _acf(settled))


def _no_lags() -> Series:
    return np.full(LAGS + 1, np.nan)


def _courses(trace: Trace, column: str, edges: NDArray[np.int64]) -> list[tuple[str, Series]]:
    """Mean of each bin; of d_s_t the standard deviation, too."""
    try:
        steps, values = trace.measured(column)
    except TraceError:  # a value that is not finite: the numbers say so, and there is no course to draw
        return []
    bounds = np.searchsorted(steps, edges)
    means = _bin_means(values, bounds)
    if column != "d_s_t":
        return [(column, means)]
    rest = values - np.repeat(np.where(np.isfinite(means), means, 0.0), np.diff(bounds))
    with np.errstate(over="ignore"):  # of a run on its way out; an infinite spread is not drawn
        return [(column, means), (f"{column}_sd", np.sqrt(_bin_means(rest * rest, bounds)))]


def _bin_means(values: Series, bounds: NDArray[np.int64]) -> Series:
    """Mean of each bin, shape (bins,); NaN where it is empty, or too large for a float."""
    counts, means = np.diff(bounds), np.full(len(bounds) - 1, np.nan)
    filled = counts > 0
    with np.errstate(over="ignore", invalid="ignore"):
        means[filled] = np.add.reduceat(values, bounds[:-1][filled]) / counts[filled]
    return np.where(np.isfinite(means), means, np.nan)


def _acf(trace: Trace) -> Series:
    try:
        values = trace.series("d_s_t")
    except TraceError:  # as above
        return _no_lags()
    lags = min(LAGS, len(values) // 4)
    return np.concatenate((autocorrelation(values, lags), _no_lags()[lags + 1 :])) if lags else _no_lags()

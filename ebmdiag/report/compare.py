"""Several runs side by side: facts and findings first, then every estimate that more than one run has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ebmdiag.names import distinct
from ebmdiag.replicates import groups
from ebmdiag.report.answers import Answer, answers_of_several
from ebmdiag.report.diagnosis import reader
from ebmdiag.report.gather import Run
from ebmdiag.report.tables import Cell, TableView
from ebmdiag.report.views import last_elapsed
from ebmdiag.report.wording import duration, number
from ebmdiag.result import Estimate

_PLACES = ("stability", "convergence")
_HEADER = ("rows", "last step", "ε", "elapsed", "errors", "warnings", "median d_s_t", "median r_t")


def run_names(runs: Sequence[Run]) -> list[str]:
    """The names of the runs; where two are alike, with their folders."""
    return distinct([run.path.with_suffix("") for run in runs])


def comparisons(runs: Sequence[Run]) -> tuple[Answer, ...]:
    """What the analyses of several runs say; nothing of a single one."""
    if len(runs) < 2:
        return ()
    found = answers_of_several([reader(run.trace) for run in runs])
    return tuple(answer for answer in found if answer.analysis)  # one that cannot be loaded, each run's part names


def by_recipe(runs: Sequence[Run]) -> TableView | None:
    """How many runs of each recipe ended where on the two axes; None where no recipe has two runs."""
    found = groups([(name, run.metadata, run.path) for name, run in zip(run_names(runs), runs, strict=True)])
    if len(found) == len(runs):
        return None
    places = _PLACES if any(run.verdict for run in runs) else ()
    rows = [
        [
            Cell(group.label),
            Cell(number(len(members)), numeric=True),
            Cell(_counted(run.metadata.state for run in members)),
            *(Cell(_counted(run.axes[axis].place if axis in run.axes else "–" for run in members)) for axis in places),
        ]
        for group in found
        for members in [[runs[place] for place in group.members]]
    ]
    return TableView("Recipes: where their runs stand", ["recipe", "runs", "state", *places], rows, stacked=True)


def _counted(places: Iterable[str]) -> str:
    """``4 stable, 1 undetermined``."""
    return ", ".join(f"{count} {place}" for place, count in Counter(places).most_common())


def overview(runs: Sequence[Run]) -> TableView:
    """One row a run, with its number on the map of verdicts; medians are of the later half of its rows."""
    places = _PLACES if any(run.verdict for run in runs) else ()
    names = [f"{place}.\N{NO-BREAK SPACE}{name}" if places else name for place, name in enumerate(run_names(runs), 1)]
    rows = [_row(name, run, places) for name, run in zip(names, runs, strict=True)]
    notes = ["Medians are taken over the later half of the rows."]
    return TableView("The runs", ["run", "state", *places, *_HEADER], rows, notes, stacked=True)


def _row(name: str, run: Run, places: Sequence[str]) -> list[Cell]:
    severities = [finding.severity for _, finding in run.findings]
    numbers = [
        number(len(run.trace)),
        number(int(run.trace.steps[-1])),
        number(run.trace.metadata.epsilon),
        duration(last_elapsed(run)),
        number(severities.count("error")),
        number(severities.count("warning")),
        number(later_median(run, "d_s_t")),
        number(later_median(run, "r_t")),
    ]
    judged = [Cell(run.axes[axis].place if axis in run.axes else "–") for axis in places]
    return [Cell(name), Cell(run.trace.metadata.state), *judged, *(Cell(text, numeric=True) for text in numbers)]


def later_median(run: Run, column: str) -> float | None:
    """Median of the finite values in the later half of the rows; None if there are none."""
    if column not in run.trace.columns:
        return None
    values = run.trace.values(column)[len(run.trace) // 2 :]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def estimates_side_by_side(runs: Sequence[Run]) -> TableView | None:
    """A row for each estimate of an analysis that at least two runs have; None if there is no such."""
    found = [_estimates(run) for run in runs]
    keys = dict.fromkeys(key for estimates in found for key in estimates)
    shared = [key for key in keys if sum(key in estimates for estimates in found) > 1]
    if not shared:
        return None
    rows = [
        [Cell(analysis), Cell(name), *(_cell(estimates.get((analysis, name))) for estimates in found)]
        for analysis, name in shared
    ]
    notes = ["Numbers in grey are not reliable; the reason stands in the run's own part."]
    return TableView("Estimates side by side", ["analysis", "quantity", *run_names(runs)], rows, notes)


def _estimates(run: Run) -> dict[tuple[str, str], Estimate]:
    return {
        (answer.name, name): estimate
        for answer in run.answers
        if answer.result is not None
        for name, estimate in answer.result.estimates.items()
    }


def _cell(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell("–", numeric=True)
    return Cell(number(estimate.value), numeric=True, doubtful=not estimate.reliable)

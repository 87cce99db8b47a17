"""Everything a report shows, read and computed into plain records; nothing is drawn here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.analysis import Analysis
from ebmdiag.arrow import floats
from ebmdiag.errors import EbmdiagError, NothingToAnalyse, TraceError
from ebmdiag.registry import ANALYSES, load, registered
from ebmdiag.report.envelope import Envelope, envelope
from ebmdiag.report.pictures import Folder, read_landscapes, read_pictures
from ebmdiag.report.series import SHOWN
from ebmdiag.result import Finding, Result, Table
from ebmdiag.runfolder import RunFolder
from ebmdiag.trace import Trace, read_trace

FIRST_SECTIONS = ("summary", "convergence", "landscape", "phases", "acf", "ccf")
SEVERITIES = ("error", "warning", "info")
_LARGEST_ENVIRONMENT = 1024**2


@dataclass(frozen=True)
class Answer:
    """What one analysis made of the trace: a result with findings, or the reason why there is none."""

    name: str
    title: str
    summary: str
    analysis: Analysis | None = None
    result: Result | None = None
    findings: tuple[Finding, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Run:
    """One run, as the report tells of it."""

    name: str
    trace: Trace
    series: tuple[Envelope, ...]
    columns: Table | None
    answers: tuple[Answer, ...]
    images: Folder = field(default_factory=Folder)
    landscapes: Folder = field(default_factory=Folder)
    environment: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> list[tuple[Answer, Finding]]:
        """All findings, worst first; equals in the order of the sections."""
        found = [(answer, finding) for answer in self.answers for finding in answer.findings]
        return sorted(found, key=lambda pair: SEVERITIES.index(pair[1].severity))


def gather(path: Path, first: int | None = None, last: int | None = None) -> Run:
    """Read one run and put every registered analysis to it.

    Raises:
        TraceError: the trace cannot be read, or holds no rows.
        UsageError: no row lies between ``first`` and ``last``.
    """
    whole = read_trace(path)
    if not len(whole):
        raise TraceError(f"{whole.path}: the trace holds no row yet, so there is nothing to report.")
    trace = whole.between(first, last)
    place = RunFolder.of(path)
    environment, notes = _environment(place.environment)
    if len(trace) < len(whole):
        steps = trace.steps
        notes = (*notes, f"Only steps {steps[0]} to {steps[-1]}: {len(trace)} of {len(whole)} rows are used.")
    return Run(
        name=trace.name,
        trace=trace,
        series=tuple(_series(trace)),
        columns=_other_columns(trace),
        answers=tuple(_answers(trace, place)),
        images=read_pictures(place.samples),
        landscapes=read_landscapes(place.landscape),
        environment=environment,
        notes=notes,
    )


def section_order(names: Iterable[str]) -> list[str]:
    """The overview first, then what the paper looks at, then all others by name."""
    return sorted(names, key=lambda name: (_place(name), name))


def _place(name: str) -> int:
    return FIRST_SECTIONS.index(name) if name in FIRST_SECTIONS else len(FIRST_SECTIONS)


def _answers(trace: Trace, place: RunFolder) -> Iterable[Answer]:
    for name in section_order(registered(ANALYSES)):
        found = answer(name, trace, place)
        if found is not None:
            yield found


def answer(name: str, trace: Trace, place: RunFolder) -> Answer | None:
    """One analysis with its default options; a fault that it knows becomes a note in its section.

    None where the run has none of what the analysis looks at.
    """
    try:
        analysis: Analysis = load(ANALYSES, name)
    except EbmdiagError as error:
        return Answer(name, name, "", failure=str(error))
    try:
        result = analysis.analyse(trace if analysis.subject == "trace" else place, analysis.options())
        findings = tuple(analysis.judge(result))
    except NothingToAnalyse:
        return None
    except EbmdiagError as error:
        return Answer(name, analysis.title, analysis.summary, analysis, failure=str(error))
    except Exception as error:  # noqa: BLE001 - one analysis, perhaps a third party's, must not cost the whole report
        return Answer(name, analysis.title, analysis.summary, analysis, failure=f"it failed: {error!r}")
    return Answer(name, analysis.title, analysis.summary, analysis, result, findings)


def _series(trace: Trace) -> Iterable[Envelope]:
    for column in SHOWN:
        if column in trace.columns:
            yield envelope(column, trace.steps, floats(trace.table.column(column)))


def _other_columns(trace: Trace) -> Table | None:
    """Extremes, quartiles and last value of each column that has no figure of its own."""
    names = [name for name in trace.columns if name not in ("step", *SHOWN)]
    rows = [(name, _spread(floats(trace.table.column(name)))) for name in names]
    rows = [(name, spread) for name, spread in rows if spread is not None]
    if not rows:
        return None
    header = ("values", "smallest", "lower quartile", "median", "upper quartile", "largest", "last")
    columns: dict[str, NDArray[Any]] = {"column": np.array([name for name, _ in rows])}
    for place, title in enumerate(header):
        columns[title] = np.array([spread[place] for _, spread in rows if spread is not None])
    return Table("All other columns of the trace", columns)


def _spread(values: NDArray[np.float64]) -> tuple[float, ...] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    return (len(known), *np.percentile(known, [0, 25, 50, 75, 100]).tolist(), float(known[-1]))


def _environment(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The run's environment, or a note why it is not shown; no file is no fault."""
    if not path.is_file():
        return {}, ()
    try:
        if path.stat().st_size > _LARGEST_ENVIRONMENT:
            return {}, (f"{path.name} is larger than 1 MB and is not shown.",)
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return {}, (f"{path.name} cannot be read and is not shown ({type(error).__name__}).",)
    if not isinstance(facts, dict):
        return {}, (f"{path.name} is not a JSON object and is not shown.",)
    return facts, ()

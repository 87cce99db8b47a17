"""What all analyses say of one run, and the verdict on it: everything but pictures.

``ebmdiag diagnose`` prints a :class:`Diagnosis`; the report shows one with the series and pictures beside it. Each
analysis that says which columns it needs is given those only, and a column is read from the file when it is asked for,
so that a long trace never lies in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ebmdiag.errors import EbmdiagError, TraceError, UsageError
from ebmdiag.metadata import TraceMetadata
from ebmdiag.registry import VERDICTS, load, registered
from ebmdiag.report.answers import SEVERITIES, Answer, Reader, answers, origin
from ebmdiag.result import Finding, Severity
from ebmdiag.runfolder import RunFolder
from ebmdiag.stored import TraceChanged
from ebmdiag.trace import Trace, open_trace
from ebmdiag.verdict import Judgement, Rules, Verdict

USUAL_RULES = "two_axes"
NO_RULES = "no rules for a verdict are installed"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One run as the analyses and the rules see it.

    Attributes:
        name: of the trace, without its ending.
        path: of the trace.
        rows, first_step, last_step: the rows that were used.
        answers: of the analyses, in the order of the report's sections.
        verdict: None where no rules are registered, or where they failed.
        undecided: why they failed.
        notes: on the rows that were used.
    """

    name: str
    path: Path
    metadata: TraceMetadata
    rows: int
    first_step: int
    last_step: int
    answers: tuple[Answer, ...]
    verdict: Verdict | None = None
    undecided: str = ""
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> list[tuple[Answer | None, Finding]]:
        """Of the verdict, or of all analyses where there is none; worst first, equals in the order of the sections."""
        found: list[tuple[Answer | None, Finding]] = (
            [(origin(finding, self.answers), finding) for finding in self.verdict.findings]
            if self.verdict
            else [(answer, finding) for answer in self.answers for finding in answer.findings]
        )
        return sorted(found, key=lambda pair: SEVERITIES.index(pair[1].severity))

    @property
    def axes(self) -> dict[str, Judgement]:
        """The judgements by axis; none without a verdict."""
        return {"stability": self.verdict.stability, "convergence": self.verdict.convergence} if self.verdict else {}

    @property
    def is_determined(self) -> bool:
        """Whether there is a verdict with a place on both axes."""
        return self.verdict is not None and self.verdict.is_determined

    def is_at_least(self, severity: Severity) -> bool:
        """Whether an axis, or any finding, is as grave as this."""
        found = [*(axis.severity for axis in self.axes.values()), *(finding.severity for _, finding in self.findings)]
        return any(SEVERITIES.index(one) <= SEVERITIES.index(severity) for one in found)


def diagnose(
    path: Path, first: int | None = None, last: int | None = None, limits: Mapping[str, float] | None = None
) -> Diagnosis:
    """Put every analysis to a run, each with the columns that it needs, and judge.

    Args:
        path: of the trace.
        first, last: the steps to use; analyses of what lies beside the trace do not look at them.
        limits: replace named limits of the rules.

    Raises:
        TraceError: the trace cannot be read, holds no rows, or was replaced twice while it was read.
        UsageError: no row lies between ``first`` and ``last``, or a limit has no known name.
    """

    def once() -> Diagnosis:
        whole = with_rows(open_trace(path))
        used = whole.between(first, last)
        return judged(used, len(whole), reader(used), limits)

    return begun_anew(once)


def begun_anew(once: Callable[[], T]) -> T:
    """What is read of a run; from the beginning, if its rows were replaced meanwhile.

    Raises:
        TraceChanged: they were replaced again.
    """
    try:
        return once()
    except TraceChanged:
        return once()


def reader(trace: Trace) -> Reader:
    """Hands out a trace's columns, each time anew: what one analysis has read is let go with it.

    A trace that lacks a column is handed out with all of its own, so that a complaint can name those.
    """

    def read(columns: list[str] | None) -> Trace:
        lacks = columns is not None and not set(columns) <= set(trace.names)
        return trace.only(trace.names if columns is None or lacks else columns)

    return read


def with_rows(trace: Trace) -> Trace:
    """The same trace.

    Raises:
        TraceError: it holds no rows.
    """
    if not len(trace):
        raise TraceError(f"{trace.path}: the trace holds no row yet, so there is nothing to report.")
    return trace


def judged(used: Trace, rows: int, read: Reader, limits: Mapping[str, float] | None = None) -> Diagnosis:
    """The answers of all analyses and the verdict on them.

    Args:
        used: the rows that are used, of any columns.
        rows: how many the trace holds.
        read: gives an analysis its columns of these rows.
        limits: replace named limits of the rules.

    Raises:
        UsageError: a limit has no known name.
    """
    found = tuple(answers(read, RunFolder.of(used.path)))
    verdict, undecided = _verdict(found, used.metadata, limits)
    steps = used.steps
    part = f"Only steps {steps[0]} to {steps[-1]}: {len(used)} of {rows} rows are used."
    return Diagnosis(
        name=used.name,
        path=used.path,
        metadata=used.metadata,
        rows=len(used),
        first_step=int(steps[0]),
        last_step=int(steps[-1]),
        answers=found,
        verdict=verdict,
        undecided=undecided,
        notes=(part,) if len(used) < rows else (),
    )


def _verdict(
    found: Sequence[Answer], metadata: TraceMetadata, limits: Mapping[str, float] | None
) -> tuple[Verdict | None, str]:
    """The verdict, or why the rules gave none."""
    name = rules_name()
    if name is None:
        if limits:
            raise UsageError(f"{NO_RULES}, so there is no limit '{next(iter(limits))}'.")
        return None, ""
    results = {answer.name: answer.result for answer in found if answer.result is not None}
    findings = {answer.name: answer.findings for answer in found if answer.result is not None}
    try:
        rules: Rules = load(VERDICTS, name)
        return rules(results, findings, metadata, limits), ""
    except UsageError:
        raise
    except EbmdiagError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - rules may be a third party's, and their numbers stand without them
        return None, f"the rules '{name}' failed: {error!r}"


def rules_name() -> str | None:
    """The rules that judge: ``two_axes``, else the first by name; None where none are registered."""
    names = registered(VERDICTS)
    return USUAL_RULES if USUAL_RULES in names else next(iter(names), None)

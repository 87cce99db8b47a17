"""A diagnosis as lines for a terminal: one run in full, or several as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ebmdiag.report.diagnosis import NO_RULES, Diagnosis
from ebmdiag.report.tables import interval
from ebmdiag.report.verdict_view import need
from ebmdiag.report.wording import number
from ebmdiag.result import Finding
from ebmdiag.verdict import Evidence, Judgement

MARKS = {"info": "=", "warning": "!", "error": "!!"}
_GAP = "  "
_INDENT = " " * 4
_NARROWEST = 40
_MOST_NOTES = 6


def one(run: Diagnosis, width: int = 100, *, verbose: bool = False) -> Iterator[str]:
    """Verdict with reason and advice, the evidence, and the findings, worst first; at most ``width`` wide.

    Of many notes only the number is told, unless ``verbose``. The table of the evidence is as wide as its longest
    names.
    """
    steps = f"steps {number(run.first_step)} to {number(run.last_step)}"
    yield f"{run.path}: {number(run.rows)} rows, {steps}, {run.metadata.state}"
    yield from (f"- {note}" for note in run.notes)
    for name, axis in run.axes.items():
        yield from ("", f"{name}: {axis.place}", *_wrapped(axis, width))
    if run.verdict is None:
        yield from ("", f"no verdict: {run.undecided or NO_RULES}")
    yield from _undone(run)
    yield from _evidence(run.axes)
    yield from ("", "findings" if run.findings else "findings: none")
    notes = sum(finding.severity == "info" for _, finding in run.findings)
    folded = not verbose and notes > _MOST_NOTES
    for answer, finding in run.findings:
        if not (folded and finding.severity == "info"):
            yield from _finding(answer.name if answer else "", finding, width)
    if folded:
        yield f"=  {notes} notes, of what is as it should be or not to be judged: add -v to read them"


def failures(run: Diagnosis) -> list[str]:
    """One line for each analysis that could not be done, and for what others left out of the files beside the trace."""
    failed = [f"{answer.name} could not be done: {answer.failure}" for answer in run.answers if answer.failure]
    return [*failed, *_left_out(run)]


def _left_out(run: Diagnosis) -> Iterator[str]:
    """Notes of analyses of the run's folder: damaged tables, chains that were broken off."""
    for answer in run.answers:
        if answer.result is not None and answer.analysis is not None and answer.analysis.subject == "run":
            yield from (f"{answer.name}: {note}" for note in answer.result.notes)


def _undone(run: Diagnosis) -> Iterator[str]:
    """The verdict was reached without these, so they stand beside it."""
    said = failures(run)
    if said:
        yield ""
        yield from (f"{MARKS['warning'].ljust(2)} {line}" for line in said)


def _wrapped(axis: Judgement, width: int) -> Iterator[str]:
    for text in (axis.sentence, axis.advice, need(axis)):
        yield from textwrap.wrap(text, max(width, _NARROWEST), initial_indent=_INDENT, subsequent_indent=_INDENT)


def _finding(analysis: str, finding: Finding, width: int) -> Iterator[str]:
    mark = MARKS[finding.severity].ljust(2)
    said = f"{finding.statement} [{analysis}]" if analysis else finding.statement
    space, room = " " * 3, max(width, _NARROWEST)
    yield from textwrap.wrap(said, room, initial_indent=f"{mark} ", subsequent_indent=space)
    if finding.severity != "info" and finding.advice:
        yield from textwrap.wrap(finding.advice, room, initial_indent=space, subsequent_indent=space)


def _evidence(axes: Mapping[str, Judgement]) -> Iterator[str]:
    found = [(name, item) for name, axis in axes.items() for item in axis.evidence]
    if not found:
        return
    yield ""
    header = ("evidence on", "number", "value", "interval", "limit", "speaks for")
    yield from table([header, *(_row(name, item) for name, item in found)], numeric={2, 4})
    reasons = dict.fromkeys(item.estimate.reason for _, item in found if not item.estimate.reliable)
    yield from (f"? not reliable: {reason}" for reason in reasons)


def _row(axis: str, item: Evidence) -> tuple[str, ...]:
    value = number(item.estimate.value) + ("" if item.estimate.reliable else "?")
    return axis, item.name, value, interval(item.estimate), number(item.limit), item.says


def table(rows: Sequence[Sequence[str]], numeric: set[int]) -> list[str]:
    """Rows of text, the first of them a header, in columns; those that are ``numeric`` end on the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        _GAP.join(
            cell.rjust(size) if place in numeric else cell.ljust(size)
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def several(runs: Sequence[tuple[str, Diagnosis | None]]) -> list[str]:
    """One row for each trace: where it stands, and how many findings of each kind; below, what could not be done.

    Args:
        runs: the trace as it was given, and its diagnosis; None where it could not be read.
    """
    header = ("trace", "state", "rows", "stability", "convergence", "errors", "warnings")
    rows = table([header, *(_line(name, run) for name, run in runs)], numeric={2, 5, 6})
    faults = [f"! {name}: {said}" for name, run in runs if run is not None for said in failures(run)]
    return [*rows, *faults]


def _line(name: str, run: Diagnosis | None) -> tuple[str, ...]:
    if run is None:
        return (name, "unreadable", "–", "–", "–", "–", "–")
    places = [axis.place for axis in run.axes.values()] or ["–", "–"]
    severities = [finding.severity for _, finding in run.findings]
    counts = [number(severities.count(severity)) for severity in ("error", "warning")]
    return (name, run.metadata.state, number(run.rows), *places, *counts)

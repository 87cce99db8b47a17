"""A diagnosis as JUnit XML, which every system for continuous integration can read.

One suite for each trace, a case for each axis of the verdict and for each finding. The elements, their order and
their attributes are those of the Ant schema (github.com/windyroad/JUnit-Schema), which the others take too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from ebmdiag._version import VERSION
from ebmdiag.report.answers import SEVERITIES
from ebmdiag.report.diagnosis import NO_RULES, Diagnosis
from ebmdiag.result import Severity
from ebmdiag.terminal import printable

Element = ElementTree.Element


@dataclass(frozen=True)
class Suite:
    """What became of one trace.

    Attributes:
        trace: its path, as it was given.
        diagnosis: None where it could not be read.
        error: why it could not.
        seconds: that it took.
    """

    trace: str
    diagnosis: Diagnosis | None
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class _Case:
    group: str
    name: str
    message: str
    outcome: str = ""  # the element inside: failure, error, skipped; empty: passed
    kind: str = ""
    detail: str = ""


def junit(suites: Sequence[Suite], now: datetime, fail_on: Severity | None, *, strict: bool = False) -> bytes:
    """The document.

    Args:
        suites: one for each trace.
        now: when it was done, in UTC.
        fail_on: from which severity on a place or a finding is a failure; None: nothing is.
        strict: whether an undetermined axis is a failure; otherwise it counts as skipped.
    """
    root = Element("testsuites")
    for place, suite in enumerate(suites):
        root.append(_suite(place, suite, list(_cases(suite, fail_on, strict)), now))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(place: int, suite: Suite, cases: Sequence[_Case], now: datetime) -> Element:
    facts = {
        "id": str(place),
        "name": _clean(suite.trace),
        "package": "ebmdiag",
        "hostname": "localhost",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%S}",
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome == "failure" for case in cases)),
        "errors": str(sum(case.outcome == "error" for case in cases)),
        "skipped": str(sum(case.outcome == "skipped" for case in cases)),
        "time": f"{suite.seconds:.3f}",
    }
    element = Element("testsuite", facts)
    properties = ElementTree.SubElement(element, "properties")
    ElementTree.SubElement(properties, "property", name="ebmdiag", value=VERSION)
    seen: dict[tuple[str, str], int] = {}
    for case in cases:
        key = case.group, case.name
        seen[key] = seen.get(key, 0) + 1
        element.append(_testcase(case, f" ({seen[key]})" if seen[key] > 1 else ""))
    said = "\n".join(f"{case.group} {case.name}: {_clean(case.message)}" for case in cases)
    ElementTree.SubElement(element, "system-out").text = said
    ElementTree.SubElement(element, "system-err").text = ""
    return element


def _testcase(case: _Case, count: str) -> Element:
    element = Element("testcase", classname=_clean(case.group), name=_clean(case.name) + count, time="0")
    if case.outcome == "skipped":
        ElementTree.SubElement(element, "skipped", message=_clean(case.message))
    elif case.outcome:
        inner = ElementTree.SubElement(element, case.outcome, type=case.kind, message=_clean(case.message))
        inner.text = _clean(case.detail)
    return element


def _cases(suite: Suite, fail_on: Severity | None, strict: bool) -> Iterator[_Case]:
    if suite.diagnosis is None:
        yield _Case("trace", "readable", suite.error, "error", "unreadable")
        return
    yield from _axes(suite.diagnosis, fail_on, strict)
    for answer, finding in suite.diagnosis.findings:
        outcome = "failure" if _fails(finding.severity, fail_on) else ""
        group = answer.name if answer else "verdict"
        yield _Case(group, finding.code, finding.statement, outcome, finding.severity, finding.advice)
    for answer in suite.diagnosis.answers:
        if answer.failure:
            yield _Case(answer.name, "can be done", answer.failure, "skipped")


def _axes(diagnosis: Diagnosis, fail_on: Severity | None, strict: bool) -> Iterator[_Case]:
    if diagnosis.undecided:
        yield _Case("verdict", "rules", diagnosis.undecided, "error", "rules")
    elif diagnosis.verdict is None:
        yield _Case("verdict", "rules", NO_RULES, "failure" if strict else "skipped", "undetermined")
    for name, axis in diagnosis.axes.items():
        unknown = axis.place == "undetermined"
        outcome = "failure" if _fails(axis.severity, fail_on) or (unknown and strict) else "skipped" if unknown else ""
        yield _Case("verdict", name, f"{axis.place}: {axis.sentence}", outcome, axis.place, axis.advice)


def _fails(severity: Severity, fail_on: Severity | None) -> bool:
    return fail_on is not None and SEVERITIES.index(severity) <= SEVERITIES.index(fail_on)


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold; names and messages come from strangers."""
    return printable(text, "utf-8")

"""Every registered analysis put to one run: computing and judging only, no picture, no page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ebmdiag.analysis import Analysis
from ebmdiag.errors import EbmdiagError, NothingToAnalyse
from ebmdiag.registry import ANALYSES, load, registered
from ebmdiag.result import Finding, Result
from ebmdiag.runfolder import RunFolder
from ebmdiag.stored import TraceChanged
from ebmdiag.trace import Trace

FIRST_SECTIONS = ("summary", "convergence", "landscape", "phases", "acf", "ccf")
SEVERITIES = ("error", "warning", "info")

Reader = Callable[[list[str] | None], Trace]
"""Columns → a trace that has them and ``step``; None: all columns."""


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


def answers(read: Reader, place: RunFolder) -> Iterator[Answer]:
    """One answer of each registered analysis that has something to look at, in the order of the report's sections."""

    def put(analysis: Analysis) -> Result:
        options = analysis.options()
        if analysis.subject == "runs":
            raise NothingToAnalyse("a single run has nothing to be compared with.")
        return analysis.analyse(place if analysis.subject == "run" else read(analysis.columns(options)), options)

    return _answered(put)


def answers_of_several(readers: Sequence[Reader]) -> Iterator[Answer]:
    """One answer of each registered analysis that looks at several runs at once."""

    def put(analysis: Analysis) -> Result:
        if analysis.subject != "runs":
            raise NothingToAnalyse("it looks at one run at a time.")
        return analysis.analyse(readers, analysis.options())

    return _answered(put)


def _answered(put: Callable[[Analysis], Result]) -> Iterator[Answer]:
    for name in section_order(registered(ANALYSES)):
        found = _answer(name, put)
        if found is not None:
            yield found


def section_order(names: Iterable[str]) -> list[str]:
    """The overview first, then what the paper looks at, then all others by name."""
    return sorted(names, key=lambda name: (_place(name), name))


def _place(name: str) -> int:
    return FIRST_SECTIONS.index(name) if name in FIRST_SECTIONS else len(FIRST_SECTIONS)


def _answer(name: str, put: Callable[[Analysis], Result]) -> Answer | None:
    """One analysis with its default options; a fault that it knows becomes the answer's ``failure``.

    None where there is nothing that it looks at.

    Raises:
        TraceChanged: the rows were replaced while they were read.
    """
    try:
        analysis: Analysis = load(ANALYSES, name)
    except EbmdiagError as error:
        return Answer(name, name, "", failure=str(error))
    try:
        result = put(analysis)
        findings = tuple(analysis.judge(result))
    except NothingToAnalyse:
        return None
    except TraceChanged:  # no answer of the others goes with it either
        raise
    except EbmdiagError as error:
        return Answer(name, analysis.title, analysis.summary, analysis, failure=str(error))
    except Exception as error:  # noqa: BLE001 - one analysis, perhaps a third party's, must not cost all others
        return Answer(name, analysis.title, analysis.summary, analysis, failure=f"it failed: {error!r}")
    return Answer(name, analysis.title, analysis.summary, analysis, result, findings)


def origin(finding: Finding, given: Iterable[Answer]) -> Answer | None:
    """Whose finding it is, also after a verdict has changed its severity or its words; None: nobody's."""
    pairs = [(answer, own) for answer in given for own in answer.findings]
    for answer, own in pairs:
        if own == finding:
            return answer
    for answer, own in pairs:
        if (own.code, own.statement) == (finding.code, finding.statement):
            return answer
    alike = {answer.name: answer for answer, own in pairs if own.code == finding.code}
    return next(iter(alike.values())) if len(alike) == 1 else None

"""What a question asked of a trace must provide to become a command, a report section and a function.

A module of analyses ends with one :class:`Analysis`, registered under the entry point group
``ebmdiag.analyses``; the built-in ones are registered exactly like a third party's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ebmdiag.result import Finding, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A picture of a result, and the words for those who cannot see it."""

    name: str
    figure: Figure
    caption: str
    alt: str


@dataclass(frozen=True)
class Analysis:
    """One question: how to compute, judge, say and draw its answer.

    Attributes:
        name: the command (``ebmdiag NAME TRACE``) and the report's anchor.
        title: the heading in the report.
        summary: one line of help, ending with a full stop.
        options: a frozen dataclass with a default for each field; its fields become the command's options.
            A field's ``metadata`` may hold ``help`` (needed for the command), ``choices`` and ``name``.
        analyse: trace and options → numbers. Pure; never draws, never judges.
        judge: result → findings, by named limits.
        text: result → lines for a terminal.
        draw: result → pictures; the only function that may import matplotlib.
        columns: options → the trace columns that ``analyse`` needs (None: all).
        subject: what ``analyse`` is given: the ``trace``; the ``run`` (its :class:`~ebmdiag.runfolder.RunFolder`)
            for what lies beside the trace, and then it raises :class:`~ebmdiag.errors.NothingToAnalyse` where the run
            has none of it; or several ``runs``: a sequence of functions, columns → trace, one for each run, so that
            they need not lie in memory together. Such an analysis is a section of a report of several runs.
    """

    name: str
    title: str
    summary: str
    options: type[Any]
    analyse: Callable[[Any, Any], Result]
    judge: Callable[[Result], list[Finding]]
    text: Callable[[Result], Iterable[str]]
    draw: Callable[[Result], list[Drawing]]
    columns: Callable[[Any], list[str] | None] = field(default=lambda options: None)
    subject: Literal["trace", "run", "runs"] = "trace"

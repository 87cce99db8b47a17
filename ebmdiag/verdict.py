"""Where a run stands on the two axes of Nijkamp et al. 2020 (arXiv:1903.12370): frozen records, plain JSON.

Axis 1, stability: does learning balance, or does d swing, run away or collapse? Axis 2, convergence: is the law of the
short runs that of the model? The rules that place a run are a plugin, registered under ``ebmdiag.verdicts``: a function
:class:`Rules` of the results of all analyses; computing is the analyses' job, drawing the report's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ebmdiag.metadata import TraceMetadata
from ebmdiag.result import Estimate, Finding, Result, Severity

Stability = Literal["stable", "weakly oscillating", "strongly oscillating", "collapsing", "diverging", "undetermined"]
Convergence = Literal["converged", "short-run only", "undetermined"]

STABILITIES: tuple[Stability, ...] = (
    "stable",
    "weakly oscillating",
    "strongly oscillating",
    "collapsing",
    "diverging",
    "undetermined",
)
CONVERGENCES: tuple[Convergence, ...] = ("converged", "short-run only", "undetermined")

SEVERITY: Mapping[str, Severity] = {
    "stable": "info",
    "weakly oscillating": "info",
    "strongly oscillating": "warning",
    "collapsing": "error",
    "diverging": "error",
    "converged": "info",
    "short-run only": "warning",
    "undetermined": "info",
}
"""How grave each place is, for ``--fail-on``."""


@dataclass(frozen=True)
class Evidence:
    """One number that a judgement rests on.

    Attributes:
        name: the analysis and its number, such as ``acf: lowest rho_k of d_s_t``.
        estimate: the number.
        limit: what it was held against; None where it was compared with no single number.
        says: the place on the axis that it speaks for.
        statement: one sentence.
        source: of the limit.
    """

    name: str
    estimate: Estimate
    limit: float | None
    says: str
    statement: str
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "name": self.name,
            "estimate": self.estimate.to_json(),
            "limit": self.limit,
            "says": self.says,
            "statement": self.statement,
            "source": self.source,
        }


@dataclass(frozen=True)
class Judgement:
    """A place on one axis, why, and what would settle it where it is undetermined.

    Attributes:
        place: one of :data:`STABILITIES` or :data:`CONVERGENCES`.
        sentence: the reason in one sentence.
        advice: what to do: which knob, which way; empty where nothing is to be done.
        evidence: the numbers, decisive ones first.
        more_iterations: how many more rows of the trace an undetermined judgement needs; None where that is not what
            is missing.
    """

    place: str
    sentence: str
    advice: str = ""
    evidence: tuple[Evidence, ...] = ()
    more_iterations: int | None = None

    @property
    def severity(self) -> Severity:
        """How grave the place is."""
        return SEVERITY[self.place]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "place": self.place,
            "severity": self.severity,
            "sentence": self.sentence,
            "advice": self.advice,
            "evidence": [one.to_json() for one in self.evidence],
            "more_iterations": self.more_iterations,
        }


@dataclass(frozen=True)
class Verdict:
    """One run on both axes.

    Attributes:
        stability, convergence: the judgements.
        findings: of all analyses, after false discoveries were controlled; worst first.
        limits: every named limit that was used, for the methods section.
        rates: measured error rates of the places (from the calibration), for the methods section: rows of plain values.
        methods: sentences for the methods section: how p-values were corrected for their number, and the like.
    """

    stability: Judgement
    convergence: Judgement
    findings: tuple[Finding, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[Mapping[str, Any], ...] = ()
    methods: tuple[str, ...] = ()

    @property
    def is_determined(self) -> bool:
        """Whether both axes have a place."""
        return "undetermined" not in (self.stability.place, self.convergence.place)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "stability": self.stability.to_json(),
            "convergence": self.convergence.to_json(),
            "findings": [finding.to_json() for finding in self.findings],
            "limits": dict(self.limits),
            "rates": [dict(row) for row in self.rates],
            "methods": list(self.methods),
        }


class Rules(Protocol):
    """What is registered under ``ebmdiag.verdicts``."""

    def __call__(
        self,
        results: Mapping[str, Result],
        findings: Mapping[str, tuple[Finding, ...]],
        metadata: TraceMetadata,
        limits: Mapping[str, float] | None = None,
    ) -> Verdict:
        """Place a run.

        Args:
            results: analysis → what it computed; one that could not be done is absent.
            findings: analysis → what it judged.
            metadata: of the trace.
            limits: replace named limits.

        Raises:
            UsageError: a limit of no known name.
        """
        ...

"""The verdict: both axes, the findings with false discoveries controlled, the limits and the measured error rates."""

from __future__ import annotations

from collections.abc import Mapping

from ebmdiag.metadata import TraceMetadata
from ebmdiag.result import Finding, Result
from ebmdiag.verdict import Rules, Verdict
from ebmdiag_analyses.verdict.convergence import convergence
from ebmdiag_analyses.verdict.discoveries import controlled
from ebmdiag_analyses.verdict.limits import LIMITS, chosen
from ebmdiag_analyses.verdict.rates import RATES
from ebmdiag_analyses.verdict.stability import stability

METHODS = (
    "Stability rests on the autocorrelation and the summary of d_s_t, convergence on long chains where there are any, "
    "else on the columns of the trace; other analyses are named where they disagree, and a wave, a late change, growth "
    "of r or a fixed period that they find makes a place undetermined.",
    "Stable, weakly oscillating and converged must be shown, by two one-sided tests within the margin: that no "
    "difference is found is not enough.",
    "Warnings that rest on a p-value are kept only if it is small after Benjamini and Hochberg's correction over all "
    "p-values of all analyses (1995, J. R. Stat. Soc. B 57:289); the others become notes that say so.",
    "Error rates were measured on runs of known character that had no part in choosing the limits; they hold for the "
    "limits as they are, and none are given for others.",
)


def rules(
    results: Mapping[str, Result],
    findings: Mapping[str, tuple[Finding, ...]],
    metadata: TraceMetadata,
    limits: Mapping[str, float] | None = None,
) -> Verdict:
    """Place a run on both axes.

    Args:
        results: analysis → what it computed; a missing one lowers what can be determined. Axis 1 rests on ``acf`` and
            ``summary``, axis 2 on ``convergence`` and ``summary``.
        findings: analysis → what it judged.
        metadata: of the trace.
        limits: replace limits of :class:`~ebmdiag_analyses.verdict.limits.Limits` by name. The measured rates hold
            for the limits as they are, so with others none are handed over.

    Raises:
        UsageError: a limit of no known name, or out of range.
    """
    used = chosen(limits)
    return Verdict(
        stability(results, findings, metadata, used),
        convergence(results, findings, metadata, used),
        controlled(results, findings, used),
        used.to_json(),
        RATES if used == LIMITS else (),
        METHODS,
    )


RULES: Rules = rules

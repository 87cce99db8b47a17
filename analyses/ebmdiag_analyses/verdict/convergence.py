"""Axis 2 of Nijkamp et al. 2020: is the law of the short runs that of the model?

Long chains decide where the run has some (the overall finding of the analysis ``convergence``); else, or where they
leave it open, the trace's columns (``columns``), which can show that it is not, and that it is only with probes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ebmdiag.metadata import TraceMetadata
from ebmdiag.result import Estimate, Finding
from ebmdiag.verdict import Evidence, Judgement
from ebmdiag_analyses.verdict.advice import against_short_runs, for_evidence, for_step_size
from ebmdiag_analyses.verdict.columns import CONVERGED, SHORT, Held, against, biased, held
from ebmdiag_analyses.verdict.limits import Limits
from ebmdiag_analyses.verdict.reading import Results

PLACES: Mapping[str, str] = {
    "short-run-is-model": CONVERGED,
    "short-run-is-not-model": SHORT,
    "short-run-undetermined": "undetermined",
}


def convergence(
    results: Results, findings: Mapping[str, tuple[Finding, ...]], metadata: TraceMetadata, limits: Limits
) -> Judgement:
    """Place a run on axis 2."""
    items = held(results, metadata, limits)
    evidence = tuple(sorted((item.evidence(limits) for item in items), key=lambda item: item.says != SHORT))
    overall = next((item for item in findings.get("convergence", ()) if item.code in PLACES), None)
    if overall is None:
        return _by_columns(items, evidence, results, metadata, limits)
    evidence = (_long_runs(overall), *evidence)
    place = PLACES[overall.code]
    if place == "undetermined":
        return _open(overall, items, evidence, metadata, limits)
    advice = against_short_runs(metadata) if place == SHORT else ""
    return Judgement(place, overall.statement, advice, evidence)


def _long_runs(overall: Finding) -> Evidence:
    value = Estimate.undefined("no difference is known") if overall.value is None else Estimate(overall.value)
    return Evidence(
        "convergence: largest difference of long runs, short runs and data, in sd",
        value,
        overall.limit,
        PLACES[overall.code],
        overall.statement,
        overall.source,
    )


def _open(
    overall: Finding, items: list[Held], evidence: tuple[Evidence, ...], metadata: TraceMetadata, limits: Limits
) -> Judgement:
    """Long runs leave it open: columns may still show that short runs are not the model, never that they are."""
    off = against(items, limits)
    if off:
        return Judgement(SHORT, _said(off), against_short_runs(metadata), evidence)
    return Judgement("undetermined", overall.statement, overall.advice or for_evidence(metadata), evidence)


def _by_columns(
    items: list[Held], evidence: tuple[Evidence, ...], results: Results, metadata: TraceMetadata, limits: Limits
) -> Judgement:
    unstationary = against(items, limits)
    if unstationary:
        return Judgement(SHORT, _said(unstationary), against_short_runs(metadata), evidence)
    off = [item for item in items if item.limit == "temperature" and item.says(limits) == SHORT]
    if off:
        sentence = f"{_said(off)} the chains may be stationary, but not under the model."
        return Judgement("undetermined", sentence, for_step_size(metadata), evidence)
    missing = [name for name in ("virial", "depth", "memory") if name not in {item.limit for item in items}]
    if missing:
        named = {"virial": "the virial", "depth": "a depth scan", "memory": "nested R-hat"}
        sentence = (
            f"nothing shows whether short runs sample the model: {' and '.join(map(named.get, missing))} missing."  # type: ignore[arg-type]
        )
        return Judgement("undetermined", sentence, for_evidence(metadata), evidence)
    doubt = biased(results, metadata)
    if doubt:
        return Judgement("undetermined", doubt, for_step_size(metadata), evidence)
    unshown = [item for item in items if item.says(limits) != CONVERGED]
    if unshown:
        sentence = f"not shown to be at equilibrium: {', '.join(item.name for item in unshown)}."
        return Judgement("undetermined", sentence, for_evidence(metadata), evidence)
    sentence = f"short runs sample the model, as far as columns tell: {_list(items)} lie within their margins."
    return Judgement(CONVERGED, sentence, "", evidence)


def _said(off: list[Held]) -> str:
    told = [
        f"{item.name} is {item.value:.4g} ± {item.error:.2g} where {item.target:.4g} is equilibrium" for item in off
    ]
    return f"{'; '.join(told)}."


def _list(items: list[Held]) -> str:
    return ", ".join(item.name for item in items)

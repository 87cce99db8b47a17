"""Axis 1 of Nijkamp et al. 2020: does learning balance, or does d swing, run away or collapse?

In this order, the first that holds: the run is recorded as diverged, or d or r explodes (diverging); d falls without
end (collapsing), or while r is still far below its balance (undetermined: ``expansion``); a burst dominates d
(undetermined); its lowest short-lag autocorrelation is large and beyond chance (strongly oscillating); d has not
settled about 0, or remembers for longer than the short lags (undetermined); that lowest one is beyond chance and shown
not to be strong (weakly oscillating), or shown to be less than weak, with d balanced more narrowly (stable). What is
left is undetermined, with the number of rows that would decide; and so is a swing or a quiet that other analyses
explain or contradict (``doubts``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ebmdiag.metadata import TraceMetadata
from ebmdiag.numerics.scaling import FEW_ROWS
from ebmdiag.result import Estimate, Finding
from ebmdiag.statistics import PAPER
from ebmdiag.verdict import Evidence, Judgement
from ebmdiag_analyses.verdict.advice import against_collapse, against_divergence, against_oscillation, for_settling
from ebmdiag_analyses.verdict.doubts import doubted
from ebmdiag_analyses.verdict.expansion import beyond, expanding, expansion
from ebmdiag_analyses.verdict.limits import SOURCES, Limits
from ebmdiag_analyses.verdict.loop import loop_evidence
from ebmdiag_analyses.verdict.oscillation import Oscillation, oscillation
from ebmdiag_analyses.verdict.others import dissent, further_evidence
from ebmdiag_analyses.verdict.reading import Results, rows_of, spacing
from ebmdiag_analyses.verdict.runaway import Growth, fall, growth
from ebmdiag_analyses.verdict.settling import Settling, burst, off_balance, settling

_EXPLODING: Mapping[str, str] = {"d_s_t": "explosion", "r_t": "excess"}
"""Column → the limit of its size at the end over its usual one."""


def stability(
    results: Results, findings: Mapping[str, tuple[Finding, ...]], metadata: TraceMetadata, limits: Limits
) -> Judgement:
    """Place a run on axis 1."""
    found = _diverging(results, metadata, limits) or _collapsing(results, metadata, limits)
    judgement = found or doubted(_oscillating(results, metadata, limits), results, findings, limits)
    further = further_evidence(findings)
    against = "" if judgement.place == "undetermined" or found else dissent(judgement.place, further)
    return replace(judgement, sentence=judgement.sentence + against, evidence=(*judgement.evidence, *further))


def _diverging(results: Results, metadata: TraceMetadata, limits: Limits) -> Judgement | None:
    grown = {name: found for name in _EXPLODING if (found := growth(results, name)) is not None}
    shown = {name: found for name, found in grown.items() if _explodes(name, found, limits)}
    evidence = tuple(_growth_evidence(name, found, limits) for name, found in {**shown, **grown}.items())
    advice = against_divergence(results, metadata)
    if metadata.state == "diverged":
        because = f" ({metadata.message})" if metadata.message else ""
        return Judgement("diverging", f"the run diverged{because}.", advice, evidence)
    if not shown or _young(results, limits) or _falls_rather(shown, results, metadata, limits):
        return None
    said = " and ".join(f"{name} is {found.usual:.3g} times as large" for name, found in shown.items())
    return Judgement("diverging", f"at the end of the trace {said} as usual, and still grows.", advice, evidence)


def _falls_rather(shown: Mapping[str, Growth], results: Results, metadata: TraceMetadata, limits: Limits) -> bool:
    """Whether what explodes is d on its way down, or r in a first expansion: ``_collapsing`` says which."""
    d = shown.get("d_s_t")
    if (fall(results) or 0) <= limits.collapse:
        return False
    return d.downward if d is not None else expansion(results, metadata).unanswered(limits)


def _young(results: Results, limits: Limits) -> bool:
    """The first rows of a healthy net run away too: there is no usual size yet."""
    return "summary" not in results or results["summary"].rows < limits.fewest


def _explodes(name: str, found: Growth, limits: Limits) -> bool:
    return found.usual > getattr(limits, _EXPLODING[name]) and found.within > limits.still


def _growth_evidence(name: str, found: Growth, limits: Limits) -> Evidence:
    return Evidence(
        f"summary: size of {name} at the end over its usual one",
        Estimate(found.usual),
        getattr(limits, _EXPLODING[name]),
        "diverging" if _explodes(name, found, limits) else "",
        f"{name} is {found.usual:.3g} times as large at the end as usual, and grows {found.within:.3g}-fold within the "
        "last tenth.",
        SOURCES[_EXPLODING[name]],
    )


def _collapsing(results: Results, metadata: TraceMetadata, limits: Limits) -> Judgement | None:
    found = fall(results)
    if found is None or found <= limits.collapse or _young(results, limits):
        return None
    said = f"d_s_t lies {found:.3g} sd of its noise below 0 in its last quarter and goes on falling"
    evidence = Evidence(
        "summary: fall of d_s_t", Estimate(-found), -limits.collapse, "collapsing", f"{said}.", SOURCES["collapse"]
    )
    begun = expansion(results, metadata)
    if begun.unanswered(limits):
        return expanding(said, evidence, begun, results, limits)
    advice = against_collapse(metadata, at_balance=begun.ceiling is not None and begun.ceiling >= limits.ceiling)
    return Judgement("collapsing", f"{said}{beyond(begun, limits)}.", advice, (evidence,))


def _oscillating(results: Results, metadata: TraceMetadata, limits: Limits) -> Judgement:
    found, settled = oscillation(results, limits), settling(results, limits)
    evidence = (*_evidence(found, settled, limits), *loop_evidence(results, limits))
    if found is None:
        return _without_correlation(results, metadata, limits, evidence)
    dominated = burst(results, limits)
    if dominated.reason:
        return Judgement("undetermined", f"{dominated.reason}.", for_settling(results, first=dominated.after), evidence)
    seen = f"the lowest autocorrelation of d_s_t at lags 1 to {limits.lags:g} is {found.lowest:.3f}, at lag {found.lag}"
    if found.lowest < -limits.strong and found.p_value < limits.strong_p and found.rows >= FEW_ROWS:
        advice = against_oscillation(results, metadata)
        return Judgement("strongly oscillating", f"d_s_t swings: {seen}.", advice, evidence)
    for reason, advice, more in (
        _few(found, limits),
        _unsettled(results, settled),
        _slow(results, found, limits),
        _decimated(results),
    ):
        if reason:
            return Judgement("undetermined", f"{reason}.", advice, evidence, more)
    return _balanced(_mild(found, seen, limits, evidence), results, off_balance(settled, found.rows, limits))


def _balanced(judgement: Judgement, results: Results, centred: Settling) -> Judgement:
    """Stable needs a narrower balance than a weak swing, of which it is only told."""
    if not centred.reason or judgement.place == "undetermined":
        return judgement
    if judgement.place == "stable":
        advice = for_settling(results, centred.share)
        return Judgement("undetermined", f"{centred.reason}.", advice, judgement.evidence, centred.more)
    return replace(judgement, sentence=f"{judgement.sentence.removesuffix('.')}; {centred.reason}.")


def _mild(found: Oscillation, seen: str, limits: Limits, evidence: tuple[Evidence, ...]) -> Judgement:
    """Weak, stable, or not enough rows to say."""
    beyond_chance = found.lowest < -limits.weak and found.p_value < limits.weak_p
    if beyond_chance and found.least > -limits.strong:
        sentence = f"d_s_t swings weakly about 0: {seen}, and no lower than {found.least:.3f}."
        return Judgement("weakly oscillating", sentence, "", evidence)
    if found.least > -limits.weak:
        sentence = f"d_s_t stays about 0 without a swing: {seen}, and no lower than {found.least:.3f}."
        return Judgement("stable", sentence, "", evidence)
    if found.lowest < -limits.weak and not beyond_chance:
        needed, what = found.rows_to_see(limits.weak_p, int(limits.lags)), "chance is not excluded"
    elif beyond_chance:
        needed, what = found.rows_to_exclude(limits.strong), "whether weak or strong is not shown"
    else:
        needed, what = found.rows_to_exclude(limits.weak), "that it does not oscillate is not shown"
    more = max(1, needed - found.rows)
    if more > _HOPELESS * found.rows:  # the number stands at a limit: its distance from it is noise
        said = f"{seen}; {what} yet, and so near the limit no number of further rows can be promised."
        return Judgement("undetermined", said, _ROWS, evidence)
    return Judgement("undetermined", f"{seen}; {what} yet: about {more:,} more rows.", _ROWS, evidence, more)


_HOPELESS = 1000
_ROWS = "Train on; where rows were left out (--from), give them back."


def _few(found: Oscillation, limits: Limits) -> tuple[str, str, int | None]:
    if found.rows >= FEW_ROWS:
        return "", "", None
    needed = max(FEW_ROWS, found.rows_to_exclude(limits.strong))
    return f"{found.rows} rows are too few to judge d_s_t", _ROWS, needed - found.rows


def _unsettled(results: Results, settled: Settling) -> tuple[str, str, int | None]:
    if not settled.reason:
        return "", "", None
    return f"d_s_t has not settled: {settled.reason}", for_settling(results, settled.share), settled.more


def _slow(results: Results, found: Oscillation, limits: Limits) -> tuple[str, str, int | None]:
    """A drift, a beginning that is still in the trace, or a loop slower than the short lags."""
    hides = found.lowest > -limits.weak >= found.least_of_the_fast and found.least > -limits.weak
    if found.memory <= limits.weak and not hides:
        return "", "", None
    said = (
        f"d_s_t still remembers after {limits.lags / 2:g} to {limits.lags:g} rows (autocorrelation {found.memory:.2f})"
    )
    return f"{said}: a drift, or a slow wave", for_settling(results), None


def _decimated(results: Results) -> tuple[str, str, int | None]:
    found = spacing(results)
    if found == 1:
        return "", "", None
    apart = "irregularly spaced" if found is None else f"{found} iterations apart"
    return (
        f"the rows are {apart}, so a swing from one iteration to the next cannot be seen",
        "Log each iteration.",
        None,
    )


def _without_correlation(
    results: Results, metadata: TraceMetadata, limits: Limits, evidence: tuple[Evidence, ...]
) -> Judgement:
    """The fitted loop alone shows a strong oscillation; never that there is none."""
    strong = next((item for item in evidence if item.says == "strongly oscillating"), None)
    if strong is not None:
        return Judgement("strongly oscillating", strong.statement, against_oscillation(results, metadata), evidence)
    acf = results.get("acf")
    estimate = acf.estimates.get("d_s_t:lag1") if acf else None
    reason = estimate.reason if estimate is not None and estimate.reason else "'acf' did not look at d_s_t"
    more = max(1, FEW_ROWS - rows_of(results)) if rows_of(results) < FEW_ROWS else None
    return Judgement("undetermined", f"d_s_t has no autocorrelation: {reason}.", _ROWS, evidence, more)


def _evidence(found: Oscillation | None, settled: Settling, limits: Limits) -> list[Evidence]:
    items = [] if found is None else [_swing(found, limits)]
    if settled.share is not None:
        items.append(
            Evidence(
                "summary: mean of d_s_t over its sd",
                Estimate.doubted(settled.share, settled.reason),
                limits.balance,
                "undetermined" if settled.reason else "stable",
                f"{settled.reason}." if settled.reason else "the mean of d_s_t is shown to lie about 0.",
                SOURCES["balance"],
            )
        )
    return items


def _swing(found: Oscillation, limits: Limits) -> Evidence:
    places: Mapping[str, bool] = {
        "strongly oscillating": found.lowest < -limits.strong and found.p_value < limits.strong_p,
        "weakly oscillating": found.lowest < -limits.weak and found.p_value < limits.weak_p,
        "stable": found.least > -limits.weak,
    }
    return Evidence(
        f"acf: lowest autocorrelation of d_s_t over lags 1 to {limits.lags:g}",
        Estimate(found.lowest, found.least, None),
        -limits.strong,
        next((place for place, holds in places.items() if holds), "undetermined"),
        f"{found.lowest:.3f} ± {found.error:.3f} at lag {found.lag} (p = {found.p_value:.2g} in white noise), shown to "
        f"be above {found.least:.3f}.",
        f"{PAPER}, strong oscillation; {SOURCES['strong']}",
    )

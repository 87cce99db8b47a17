"""What the verdicts mean for the run, in sentences."""

from __future__ import annotations

import math

from ebmdiag.result import Finding, Result
from ebmdiag.statistics import PAPER
from ebmdiag.terminal import number
from ebmdiag_analyses.stationarity.measure import D
from ebmdiag_analyses.stationarity.verdict import LIMITS, Limits, Verdict, verdicts

_SOURCE = f"{PAPER}, section 3; limit: this project's first proposal"
_LEFT = 0.1
_LONG = 10_000_000  # iterations: from here on a number says nothing more than "not this way"


def judge(result: Result, limits: Limits = LIMITS) -> list[Finding]:
    """Whether d balances, and of each column whether it has settled."""
    findings = []
    for key, verdict in verdicts(result, limits).items():
        name = key.removeprefix("mean:")
        findings.append(_mean(result, name, verdict) if key != name else _column(result, name, verdict))
    return findings


def _mean(result: Result, name: str, verdict: Verdict) -> Finding:
    unit = "standard deviations" if name == D else "sampling errors of one iteration"
    if verdict.value is None:
        return Finding("balance", "info", f"the mean of {name} is not judged: {verdict.reason}.")
    size = f"{number(verdict.value, 2)} {unit} from 0" if math.isfinite(verdict.value) else "away from 0, without noise"
    if verdict.kind == "balanced":
        said = f"the mean of {name} is 0 to within {verdict.limit:g} {unit}: it lies {size}{_p(verdict)}."
        return Finding("balance", "info", said, verdict.value, verdict.limit, source=_SOURCE)
    if verdict.kind == "undetermined":
        said = f"whether the mean of {name} is 0 is undetermined: it lies {size}, and {verdict.reason}{_more(verdict)}."
        return Finding("balance", "info", said, verdict.value, verdict.limit, source=_SOURCE)
    mean = result.estimates[f"{name}:mean"].value or 0.0
    kind = "expansion" if mean < 0 else "contraction"
    return Finding(
        "balance",
        "warning",
        f"the mean of {name} is not 0, {kind} prevails: it lies {size}.",
        verdict.value,
        verdict.limit,
        f"{_leave_out(result, name)}; if it stays, the run has not settled: train on.",
        _SOURCE,
    )


def _column(result: Result, name: str, verdict: Verdict) -> Finding:
    if verdict.value is None:
        return Finding("settled", "info", f"{name} is not judged: {verdict.reason}.")
    if verdict.kind == "settled":
        said = f"{name} has settled: it moves by {number(verdict.value, 2)} standard deviations{_p(verdict)}."
        return Finding("settled", "info", said, verdict.value, verdict.limit, source=_SOURCE)
    if verdict.kind == "undetermined":
        said = f"whether {name} has settled is undetermined: {verdict.reason}{_more(verdict)}."
        return Finding("settled", "info", said, verdict.value, verdict.limit, source=_SOURCE)
    return Finding(
        "settled",
        "warning",
        f"{name} has not settled: {_movement(result, name)}.",
        verdict.value,
        verdict.limit,
        f"{_leave_out(result, name)}; if it still moves, train on, or lower the learning rate.",
        _SOURCE,
    )


def last_jump(result: Result, name: str) -> int | None:
    """The step from which a column keeps its level, if it jumped to it and a tenth of the steps or more is left."""
    jumps = result.tables.get(f"jumps:{name}")
    first, last = result.settings.get("first_step"), result.settings.get("last_step")
    if jumps is None or not len(jumps) or first is None or last is None:
        return None
    step = int(jumps.columns["step"][-1])
    return step if last - step >= _LEFT * (last - first) else None


def _leave_out(result: Result, name: str) -> str:
    step = last_jump(result, name)
    return "Leave out the beginning with --from" + ("" if step is None else f" {step}")


def _movement(result: Result, name: str) -> str:
    """Which way it goes, and where it jumps."""
    change, sd = (result.estimates[f"{name}:{key}"].value or 0.0 for key in ("change", "sd"))
    said = f"a line through it {'rises' if change > 0 else 'falls'} by {number(abs(change), 3)}"
    if sd:
        said += f" ({number(abs(change) / sd, 2)} standard deviations)"
    steps = result.tables[f"jumps:{name}"].columns["step"].tolist()
    if not steps:
        return said
    more = f" and {len(steps) - 4} more" if len(steps) > 4 else ""
    return f"{said}; its mean changes at step {', '.join(map(str, steps[:4]))}{more}"


def _p(verdict: Verdict) -> str:
    return "" if verdict.p_value is None else f" (equivalence: p = {number(verdict.p_value, 2)})"


def _more(verdict: Verdict) -> str:
    if verdict.more_iterations is None:
        return ""
    if verdict.more_iterations > _LONG:
        return "; no reasonable number of iterations would tell, it lies at the limit"
    return f"; about {_round(verdict.more_iterations)} further iterations would tell"


def _round(count: int) -> int:
    """Up to two significant digits: more would feign precision."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit

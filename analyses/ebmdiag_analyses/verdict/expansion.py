"""Is a falling d the first expansion, which no chain can answer yet?

While d < 0 the gradients grow: for a net whose last layer w is linear, SGD gives ‖w'‖² = ‖w‖² - 2γd + γ²‖∇d‖². Learning
starts far below the balance of gradient and noise (Nijkamp et al. 2020, arXiv:1903.12370), so d falls at first whatever
comes later, the longer the smaller the rate. Only a d that falls although the gradient has come to that balance
collapses. Two scales of r (analysis ``balance``), both at the end of the trace, the last of its tenths:

- the ceiling (ε²/2) √N / data noise, which no model of noisy data passes. Clearly below it, with an r that grows still
  (its slope over the second half is above 0, and its last fifth brings at least half of what the fifth before brought);
- the noise of a whole chain. L steps that keep one direction move a state by L r, their noise by ε √(N L). Where
  √(L drift²/noise²) < 1 no energy guides a chain yet, whether r grows or not. Persistent chains add up the steps of all
  iterations.

At the ceiling, or where neither scale is known, a falling d is a collapse. How long until r is at its ceiling: along
the straightest of r, log r and 1/r over the last two fifths. 1/r, an end in finite time, is the way of a net whose
layers all grow in proportion to d, and d to all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ebmdiag.metadata import TraceMetadata
from ebmdiag.result import Estimate
from ebmdiag.statistics import BY_COLUMN, PAPER
from ebmdiag.verdict import Evidence, Judgement
from ebmdiag_analyses.verdict.limits import SOURCES, Limits
from ebmdiag_analyses.verdict.reading import Results, Series, column, estimate, spacing, table

_CEILING, _DRIFT = "r_over_ceiling", "drift_to_noise"
_SLOWING, _LONGEST = 0.5, 1000
_LAWS: tuple[Callable[[float], float], ...] = (lambda r: r, math.log, lambda r: -1 / r)
_ADVICE = (
    "Train on: while d < 0 the gradients grow, until they bring the chains to the data and d turns. That d falls on "
    "when r is at its ceiling, or has stopped below it, would be a collapse."
)


@dataclass(frozen=True)
class Expansion:
    """How far r is from its balance.

    Attributes:
        ceiling: r over its ceiling at the end; None where there is none.
        guided: √(L drift²/noise²) at the end; None where it is not known.
        growth: change of r over the second half, as a share of its late mean; None where it is not known.
        grows: whether r grows beyond chance, and has not slowed down.
        more: iterations until r is at the ceiling, or guides a chain; None where its growth does not tell.
    """

    ceiling: float | None
    guided: float | None
    growth: Estimate | None
    grows: bool
    more: int | None

    def unanswered(self, limits: Limits) -> bool:
        """Whether a falling d says nothing yet."""
        if self.ceiling is not None and self.ceiling >= limits.ceiling:
            return False
        return (self.guided is not None and self.guided < 1) or (self.ceiling is not None and self.grows)


def expansion(results: Results, metadata: TraceMetadata) -> Expansion:
    """From the analysis ``balance``; all None where it was not run."""
    growth, tenths = estimate(results, "balance", "r:growth_share"), table(results, "balance", "tenths")
    r, ceiling, guided = column(tenths, "r_t"), _end(results, _CEILING), _guided(results, metadata)
    grows = growth is not None and growth.low is not None and growth.low > 0 and _keeps_pace(r)
    level = ceiling if ceiling is not None else guided
    more = _until(r, column(tenths, "last_step"), level) if grows and level else None
    return Expansion(ceiling, guided, growth, grows, more)


def _end(results: Results, name: str) -> float | None:
    """Its mean over the last tenth of the rows."""
    values = column(table(results, "balance", "tenths"), name)
    return float(values[-1]) if values is not None and math.isfinite(values[-1]) else None


def _guided(results: Results, metadata: TraceMetadata) -> float | None:
    """How far drift carries a chain, over how far noise does."""
    ratio, last = _end(results, _DRIFT), column(table(results, "balance", "tenths"), "last_step")
    steps = results["balance"].settings.get("langevin_steps") if "balance" in results else None
    if ratio is None or not steps or last is None:
        return None
    langevin = metadata.recipe.get("langevin")
    goes_on = isinstance(langevin, dict) and langevin.get("start") == "persistent"
    return math.sqrt(max(ratio, 0.0) * float(steps) * (float(last[-1]) if goes_on else 1.0))


def _keeps_pace(r: Series | None) -> bool:
    if r is None or len(r) < 6:
        return False
    late, before = r[-1] - r[-3], r[-3] - r[-5]
    return bool(late > 0 and late >= _SLOWING * before)


def _until(r: Series | None, last: Series | None, level: float) -> int | None:
    """Iterations until r is 1 / level times what it is; None where that is beyond reckoning."""
    if r is None or last is None or not 0 < level < 1 or not (r[-5:] > 0).all():
        return None
    law = min(_LAWS, key=lambda law: _bend(law, r))
    late = law(float(r[-1])) - law(float(r[-3]))
    if not late > 0:  # r may grow by less than its logarithm or inverse can tell
        return None
    tenth = float(last[-1] - last[-3]) / 2
    needed = (law(float(r[-1]) / level) - law(float(r[-1]))) / late * 2 * tenth - tenth / 2  # from the end of the trace
    return _rounded(needed) if needed < _LONGEST * float(last[-1]) else None


def _bend(law: Callable[[float], float], r: Series) -> float:
    """How far the last two fifths are from one straight line: 0 to 1."""
    third, second, first = (law(float(value)) for value in (r[-5], r[-3], r[-1]))
    late, before = first - second, second - third
    return abs(late - before) / max(abs(late) + abs(before), 1e-300)


def _rounded(count: float) -> int:
    """Up to two digits: more would feign precision."""
    whole = max(1, math.ceil(count))
    unit = int(10 ** max(0, len(str(whole)) - 2))
    return -(-whole // unit) * unit


def expanding(fallen: str, fall: Evidence, found: Expansion, results: Results, limits: Limits) -> Judgement:
    """The judgement on a run whose d falls (said so by ``fallen`` and ``fall``) in its first expansion."""
    apart = spacing(results)
    more = None if found.more is None or not apart else max(1, math.ceil(found.more / apart))
    sentence = f"in its first expansion: {fallen}, while {_where(found)}. {_when(found)}"
    return Judgement("undetermined", sentence, _ADVICE, (*_evidence(found, limits), fall), more)


def beyond(found: Expansion, limits: Limits) -> str:
    """Where r stands while d collapses, as the end of a clause; empty where r was not looked at."""
    if found.ceiling is not None:
        at = "at" if found.ceiling >= limits.ceiling else "no longer on its way to"
        return f", with r_t {at} its ceiling ({found.ceiling:.2g} of it)"
    if found.guided is not None:
        return f", though the drift carries a chain {found.guided:.2g} times as far as its noise"
    known = found.growth is not None and found.grows
    return (
        "; r_t still grows and has no scale to be held against, so a first expansion is not excluded" if known else ""
    )


def _where(found: Expansion) -> str:
    growth = found.growth.value if found.growth is not None and found.grows else None
    grown = "" if growth is None else f" still grows (by {growth:.2g} of its late mean over the second half)"
    if found.ceiling is not None:
        return f"r_t is only {found.ceiling:.2g} of its ceiling" + (f" and{grown}" if grown else "")
    drift = f"the drift carries a chain only {found.guided:.2g} times as far as its noise"
    return drift + (f", and r_t{grown}" if grown else "")


def _when(found: Expansion) -> str:
    does = "is at its ceiling" if found.ceiling is not None else "guides a chain"
    if found.more is not None:
        time = f"{found.more:,} iteration{'s' * (found.more != 1)}"
        return f"At this pace r_t {does} in about {time}: by then d turns, or this is no first expansion."
    return f"How long until r_t {does} its growth does not tell yet."


def _evidence(found: Expansion, limits: Limits) -> list[Evidence]:
    items = []
    if found.ceiling is not None:
        said = f"r_t is {found.ceiling:.3g} of its ceiling at the end; from {limits.ceiling:g} on it is near."
        items.append(_open("r_t over its ceiling, last tenth", found.ceiling, limits.ceiling, said, SOURCES["ceiling"]))
    if found.guided is not None:
        said = f"over one chain the drift moves a state {found.guided:.3g} times as far as the noise does."
        items.append(
            _open("drift over noise of a chain, last tenth", found.guided, 1.0, said, BY_COLUMN[_DRIFT].reference)
        )
    if found.growth is not None:
        said = f"r_t changes by {found.growth.value:.3g} of its late mean over the second half."
        items.append(Evidence("balance: growth of r_t", found.growth, 0.0, "undetermined", said, PAPER))
    return items


def _open(name: str, value: float, limit: float, said: str, source: str) -> Evidence:
    return Evidence(f"balance: {name}", Estimate(value), limit, "undetermined", said, source)

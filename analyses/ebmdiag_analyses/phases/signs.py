"""How long phases last, against independent signs and against a linear process with the memory of d."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.autoregression import Autoregression, fit_autoregression
from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.mean import Mean, mean_and_deviation, mean_with_error
from ebmdiag.numerics.scaling import doubtful
from ebmdiag.numerics.sign_phases import Phases, gaussian_changes, runs_test, sign_phases
from ebmdiag.result import Estimate, Table

Series = NDArray[np.float64]

MOST_PHASES = 500  # a table of more helps nobody
KEYS = (
    *("phase:count", "phase:duration", "phase:expansion", "phase:contraction"),
    *("phase:period", "phase:period_spread", "phase:half_period", "phase:share", "phase:negative", "phase:mean"),
    *("independent:duration", "independent:period_spread", "independent:p", "independent:rhythm_p"),
    *("memory:order", "memory:duration", "memory:p"),
    *("changes:observed", "changes:independent", "changes:gaussian"),
)
_FEW = 50
_RECORDS, _MOST_PAIRS = 1999, 1000
_SIMULATED = 400_000
_SHORTEST_RECORD = 5_000


@dataclass(frozen=True)
class Memory:
    """What the fitted autoregression shows: changes per row, the spread of that for the record, its durations."""

    process: Autoregression
    rate: float
    deviation: float
    durations: NDArray[np.int64]


def estimates(x: Series, phases: Phases, memory: Memory, level: float, seed: int) -> dict[str, Estimate]:
    """All of :data:`KEYS`; x must vary. Durations are in rows."""
    doubt = doubtful(len(x))
    if not phases.changes:
        reason = f"there is no change of phase in {len(x)} rows"
        found = dict.fromkeys(KEYS, Estimate.undefined(reason))
        found["phase:count"] = Estimate.doubted(float(len(phases)), doubt)
        return found | _sign_changes(x, level, doubt) | _balance_of(x, level)
    return {
        "phase:count": Estimate.doubted(float(len(phases)), doubt),
        **_durations(phases, level),
        "phase:half_period": _half_period(x, phases),
        "phase:share": _share(phases.states() < 0, level),
        **_balance_of(x, level),
        **_independent(phases, doubt),
        "independent:rhythm_p": _rhythm(phases, seed),
        **_with_memory(phases, memory, doubt),
        **_sign_changes(x, level, doubt),
    }


def _durations(phases: Phases, level: float) -> dict[str, Estimate]:
    complete, signs = phases.durations, phases.sign[1:-1]
    pairs = _pairs(phases)
    every, both = _mean(complete), _mean(pairs)
    return {
        "phase:duration": _scaled(phases.mean_duration, every, len(complete), level),
        "phase:expansion": _of_mean(_mean(complete[signs < 0]), level),
        "phase:contraction": _of_mean(_mean(complete[signs > 0]), level),
        "phase:period": _scaled(2 * phases.mean_duration, both, len(pairs), level, "pairs of phases"),
        "phase:period_spread": _known(_relative_spread(pairs), _few(len(pairs), "pairs of phases")),
    }


def _pairs(phases: Phases) -> NDArray[np.int64]:
    """Rows of each phase together with the next, no phase in two pairs."""
    complete = phases.durations
    pairs: NDArray[np.int64] = complete[: len(complete) // 2 * 2].reshape(-1, 2).sum(1)
    return pairs


def _relative_spread(pairs: NDArray[np.int64]) -> float:
    return float(pairs.std() / pairs.mean()) if len(pairs) >= 2 else math.nan


def _half_period(x: Series, phases: Phases) -> Estimate:
    """Autocorrelation of x at half a period: clearly negative in a rhythm, not where phases are merely long."""
    lag = max(1, round(phases.mean_duration))
    if lag >= len(x) // 2:
        return Estimate.undefined(f"{len(x)} rows are fewer than four phases")
    return Estimate.doubted(float(autocorrelation(x, lag)[lag]), doubtful(len(x)))


def _rhythm(phases: Phases, seed: int) -> Estimate:
    """P(independent rows show pairs of phases as even as these); of records of at most 1,000 pairs, simulated."""
    pairs = _pairs(phases)
    if len(pairs) < 2:
        return Estimate.undefined("fewer than two pairs of phases are complete")
    rng, size = np.random.default_rng(seed), (_RECORDS, min(len(pairs), _MOST_PAIRS))
    drawn = rng.geometric(phases.above / phases.rows, size) + rng.geometric(phases.below / phases.rows, size)
    as_even = int((drawn.std(1) / drawn.mean(1) <= _relative_spread(pairs)).sum())
    return Estimate.doubted((1 + as_even) / (1 + _RECORDS), _few(len(pairs), "pairs of phases"))


def _mean(durations: NDArray[np.int64]) -> Mean | None:
    return mean_with_error(durations.astype(np.float64)) if len(durations) else None


def _few(count: int, what: str = "complete phases") -> str:
    return f"{count} {what} are few: at least {_FEW} are needed" if count < _FEW else ""


def _known(value: float, doubt: str) -> Estimate:
    return Estimate.undefined(doubt) if math.isnan(value) else Estimate.doubted(value, doubt)


def _scaled(value: float, mean: Mean | None, count: int, level: float, what: str = "complete phases") -> Estimate:
    """A duration that counts the cut phases too, with the relative error of the complete ones' mean."""
    doubt = _few(count, what)
    if mean is None or math.isnan(mean.error):
        return Estimate.doubted(value, doubt)
    if not doubt and mean.error > 0:
        doubt = mean.reason.replace("rows", "phases")
    half = quantile(level) * mean.error / mean.value * value
    return Estimate.doubted(value, doubt, low=value - half, high=value + half)


def _of_mean(mean: Mean | None, level: float) -> Estimate:
    if mean is None:
        return Estimate.undefined("no phase of this sign is seen from its beginning to its end")
    doubt = mean.reason.replace("rows", "phases") if mean.error != 0 else ""
    if math.isnan(mean.error):
        return Estimate.doubted(mean.value, doubt)
    half = quantile(level) * mean.error
    return Estimate.doubted(mean.value, doubt, low=mean.value - half, high=mean.value + half)


def _share(rows: NDArray[np.bool_], level: float) -> Estimate:
    mean = mean_with_error(rows.astype(np.float64))
    half = quantile(level) * mean.error if math.isfinite(mean.error) else math.inf
    low, high = max(0.0, mean.value - half), min(1.0, mean.value + half)
    doubt = doubtful(len(rows)) if mean.error == 0 else mean.reason
    return Estimate.doubted(mean.value, doubt, low=low, high=high)


def _balance_of(x: Series, level: float) -> dict[str, Estimate]:
    """Share of negative rows, and the mean of x."""
    mean = mean_with_error(x)
    half = quantile(level) * mean.error if math.isfinite(mean.error) else math.inf
    middle = Estimate.doubted(mean.value, mean.reason, low=mean.value - half, high=mean.value + half)
    return {"phase:negative": _share(x < 0, level), "phase:mean": middle}


def _independent(phases: Phases, doubt: str) -> dict[str, Estimate]:
    """For independent rows: exact, but for the shares outside the band, which are those of the record."""
    a, b = phases.above / phases.rows, phases.below / phases.rows
    spread = math.sqrt((1 - a) / a**2 + (1 - b) / b**2) / (1 / a + 1 / b)
    return {
        "independent:duration": Estimate.doubted(1 / phases.independent_rate, doubt),
        "independent:period_spread": Estimate.doubted(spread, doubt),
        "independent:p": Estimate.doubted(runs_test(phases).p_value, doubt),
    }


def _with_memory(phases: Phases, memory: Memory, doubt: str) -> dict[str, Estimate]:
    order = Estimate.doubted(float(memory.process.order), doubt)
    if not memory.rate or not memory.deviation:
        none = Estimate.undefined("a process with the memory of d shows hardly a change of phase")
        return {"memory:order": order, "memory:duration": none, "memory:p": none}
    distance = abs(phases.changes / phases.opportunities - memory.rate) / memory.deviation
    return {
        "memory:order": order,
        "memory:duration": Estimate.doubted(1 / memory.rate, doubt),
        "memory:p": Estimate.doubted(math.erfc(distance / math.sqrt(2)), doubt),
    }


def _sign_changes(x: Series, level: float, doubt: str) -> dict[str, Estimate]:
    """Share of rows whose sign differs from that of the row before, whatever the band."""
    positive = x > 0
    seen = _share(positive[1:] != positive[:-1], level)
    share = float(positive.mean())
    centre, deviation = mean_and_deviation(x)
    correlation = float(np.clip(autocorrelation(x, 1)[1], -1, 1))
    return {
        "changes:observed": seen if not doubt or seen.value is None else replace(seen, reliable=False, reason=doubt),
        "changes:independent": Estimate.doubted(2 * share * (1 - share), doubt),
        "changes:gaussian": Estimate.doubted(gaussian_changes(centre, deviation, correlation), doubt),
    }


def simulate_memory(x: Series, phases: Phases, band: float, seed: int) -> Memory:
    """An autoregression fitted to x, and the phases of records drawn from it, with the innovations of x.

    Records have at most the rows of x, and about 400,000 rows are drawn at most; the spread of the rate is that of a
    record as long as x.
    """
    process = fit_autoregression(x)
    duration = phases.mean_duration if phases.changes else 1.0
    rows = int(min(len(x), max(_SHORTEST_RECORD, 100 * duration), _SIMULATED // 20))
    count = int(np.clip(_SIMULATED // rows, 20, 200))
    rng = np.random.default_rng(seed)
    drawn = [sign_phases(record, band) for record in process.simulate(rng, count, rows, process.residuals(x))]
    rates = np.array([item.changes / max(item.opportunities, 1) for item in drawn])
    deviation = float(rates.std(ddof=1)) * math.sqrt(rows / len(x) + 1 / count)
    return Memory(process, float(rates.mean()), deviation, np.concatenate([item.durations for item in drawn]))


def phase_table(phases: Phases, steps: NDArray[np.int64]) -> Table:
    """First and last step, kind and rows of each phase; of more than 500, the longest, in the order of steps."""
    durations = phases.all_durations
    kept = np.sort(np.argsort(-durations, kind="stable")[:MOST_PHASES])
    every = len(phases) <= MOST_PHASES
    title = "phases" if every else f"the longest {MOST_PHASES} of {len(phases)} phases"
    first, rows = phases.first[kept], durations[kept]
    return Table(
        title,
        {
            "first_step": steps[first],
            "last_step": steps[first + rows - 1],
            "kind": np.where(phases.sign[kept] < 0, "expansion", "contraction"),
            "rows": rows,
        },
    )


def duration_table(phases: Phases, memory: Memory) -> Table:
    """How many complete phases last so many rows, and how many would by the two laws that are compared."""
    durations, signs = phases.durations, phases.sign[1:-1]
    edges = _edges(int(durations.max(initial=1)))
    total, drawn = len(durations), len(memory.durations)
    a, b = phases.above / max(phases.rows, 1), phases.below / max(phases.rows, 1)
    expected = [
        count * ((1 - leave) ** (edges[:-1] - 1.0) - (1 - leave) ** (edges[1:] - 1.0))
        for count, leave in ((int((signs < 0).sum()), a), (int((signs > 0).sum()), b))
    ]
    return Table(
        "complete phases by duration",
        {
            "from_rows": edges[:-1],
            "to_rows": edges[1:] - 1,
            "expansion": np.histogram(durations[signs < 0], edges)[0],
            "contraction": np.histogram(durations[signs > 0], edges)[0],
            "independent": expected[0] + expected[1],
            "memory": np.histogram(memory.durations, edges)[0] * (total / max(drawn, 1)),
        },
    )


def _edges(longest: int) -> NDArray[np.int64]:
    """Every duration to 12 rows, then bins a quarter longer each."""
    edges = list(range(1, 14))
    while edges[-1] <= longest:
        edges.append(math.ceil(1.25 * edges[-1]))
    return np.array(edges[: max(2, bisect_right(edges, longest) + 1)], dtype=np.int64)

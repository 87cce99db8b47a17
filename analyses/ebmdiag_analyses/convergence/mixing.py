"""Have the long chains mixed? R-hat, nested R-hat, effective sizes and autocorrelation time over the second half.

R-hat, bulk and tail size: Vehtari et al. 2021 (numerics.ranks); autocorrelation time pooled over chains
(numerics.chain_time), times the steps between two draws. Nested R-hat (Margossian et al. 2024, numerics.nested) asks
whether chains that began together still know it. With v the variance of the means of the M chains of a superchain
about their common mean, K superchains, R = √(1 + B/W):

    starts forgotten:   E B = v / M,   so R is near √(1 + v / (M W)),   and   B / (v / M) ~ F(K - 1, K (M - 1))

where the chains' means are normal (one-way analysis of variance). So the excess over the expected value has a p-value
and an allowance; for one draw per chain v = W and the expected value is the paper's √(1 + 1/M).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.nested import nested_rhat, nested_variances
from ebmdiag.result import Estimate, Table
from ebmdiag_analyses.convergence.select import finite_values, second_half

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Nested:
    """Nested R-hat, its expected value and allowance once starts are forgotten, and p; ``reason``: why all are NaN."""

    value: float = math.nan
    expected: float = math.nan
    allowed: float = math.nan
    p: float = math.nan
    reason: str = ""


def measures_of(phase: Phase) -> list[str]:
    """What mixing is judged by: the energy and the projections that were recorded."""
    return [name for name in phase.values if name == "energy" or (name.startswith("projection_") and phase.has(name))]


def nested(draws: Floats, level: float) -> Nested:
    """Of draws of shape (K superchains, M chains, D draws)."""
    from scipy.special import fdtrc, fdtri

    superchains, chains = draws.shape[:2]
    if superchains < 2 or chains < 2 or not np.isfinite(draws).all():
        return Nested(reason="it needs at least two superchains of at least two chains with finite values")
    value = nested_rhat(draws)
    means = draws.mean(2)
    between, within = nested_variances(draws)
    inside = float(means.var(1, ddof=1).mean()) / chains
    if not math.isfinite(value) or inside == 0 or between == 0:
        return Nested(value=value, reason="nothing varies within, or between, superchains")
    freedom = superchains - 1, superchains * (chains - 1)
    allowed = float(fdtri(*freedom, level)) * inside / within
    p = float(fdtrc(*freedom, between / inside))
    return Nested(value, math.sqrt(1 + inside / within), math.sqrt(1 + allowed), p)


def superchains(values: Floats, starts: NDArray[np.int64]) -> Floats | None:
    """Draws (M, D) → (K, copies, D); None where fewer than two starts have two chains each."""
    numbers, counts = np.unique(starts, return_counts=True)
    copies = int(counts.min()) if len(counts) else 0
    if copies < 2 or len(numbers) < 2:
        return None
    places = [np.flatnonzero(starts == number)[:copies] for number in numbers]
    return values[np.stack(places)]


def mixing(chains: Chains, level: float) -> tuple[dict[str, Estimate], dict[str, Table]]:
    """Numbers of the second half of the long run.

    Estimates: ``rhat`` (the largest over energy and projections), ``rhat:energy``, ``ess:bulk``, ``ess:tail`` (the
    smallest), ``tau`` (sampler steps, the largest), ``steps_needed`` (length of a long run whose second half lasts 50
    of these times); ``nested`` (of the measure with the smallest p), ``nested:expected``, ``nested:allowed``,
    ``nested:p`` (times the number of measures). Table: ``mixing``, a row a measure.
    """
    phase = chains.phases.get("long")
    if phase is None:
        return dict.fromkeys(_NAMES, Estimate.undefined("no long run")), {}
    places = second_half(phase)
    spacing = int(np.diff(phase.draws[places[-2:]])[0]) if len(places) > 1 else 1
    names = measures_of(phase)
    rows = [_row(phase, name, places, spacing, level) for name in names]
    table = Table(
        "mixing of the second half of the long run",
        {"measure": np.array(names, dtype=object), **_stacked(rows)},
    )
    return {**_worst(rows), **_worst_nested(rows, phase)}, {"mixing": table}


_NAMES = ("rhat", "rhat:energy", "ess:bulk", "ess:tail", "tau", "steps_needed", "nested")


@dataclass(frozen=True)
class _Row:
    """One measure: the estimates behind a row of the table."""

    rhat: Estimate
    bulk: Estimate
    tail: Estimate
    tau: Estimate
    needed: int | None
    length: float
    nested: Nested


def _row(phase: Phase, name: str, places: NDArray[np.int64], spacing: int, level: float) -> _Row:
    from ebmdiag.numerics.chain_time import chain_time
    from ebmdiag.numerics.ranks import ranked

    values = finite_values(phase, name)[:, places]
    found, time = ranked(values), chain_time(values)
    tau = Estimate.undefined(time.reason)
    if math.isfinite(time.value):
        tau = Estimate.doubted(time.value * spacing, time.reason)
    needed = None if time.needed_draws is None else 2 * time.needed_draws * spacing
    grouped = superchains(values, phase.starts)
    test = Nested() if grouped is None else nested(grouped, level)
    length = len(places) / time.value if time.value > 0 else math.nan
    return _Row(found.rhat, found.bulk, found.tail, tau, needed, length, test)


def _stacked(rows: Sequence[_Row]) -> dict[str, Floats]:
    def column(values: list[float | None]) -> Floats:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    return {
        "rhat": column([row.rhat.value for row in rows]),
        "ess_bulk": column([row.bulk.value for row in rows]),
        "ess_tail": column([row.tail.value for row in rows]),
        "tau": column([row.tau.value for row in rows]),
        "length_in_tau": column([row.length for row in rows]),
        "nested": column([row.nested.value for row in rows]),
        "nested_expected": column([row.nested.expected for row in rows]),
        "nested_allowed": column([row.nested.allowed for row in rows]),
        "nested_p": column([row.nested.p for row in rows]),
    }


def _extreme(estimates: Sequence[Estimate], *, largest: bool) -> Estimate:
    """The most alarming of some estimates; undefined where all are."""
    known = [estimate for estimate in estimates if estimate.value is not None]
    if not known:
        return estimates[0] if estimates else Estimate.undefined("nothing was recorded")
    return (max if largest else min)(known, key=lambda estimate: float(estimate.value or 0.0))


def _worst(rows: Sequence[_Row]) -> dict[str, Estimate]:
    slowest = _extreme([row.tau for row in rows], largest=True)
    needed = max((row.needed for row in rows if row.needed is not None), default=None)
    steps = Estimate.undefined(slowest.reason) if needed is None else Estimate.doubted(float(needed), slowest.reason)
    return {
        "rhat": _extreme([row.rhat for row in rows], largest=True),
        "rhat:energy": rows[0].rhat,
        "ess:bulk": _extreme([row.bulk for row in rows], largest=False),
        "ess:tail": _extreme([row.tail for row in rows], largest=False),
        "tau": slowest,
        "steps_needed": steps,
    }


def _worst_nested(rows: Sequence[_Row], phase: Phase) -> dict[str, Estimate]:
    known = [row.nested for row in rows if math.isfinite(row.nested.p)]
    if not known:
        reason = next((row.nested.reason for row in rows if row.nested.reason), "")
        alone = "no two starts have several chains each (chains of one start: copies)"
        return {"nested": Estimate.undefined(reason or alone)}
    worst = min(known, key=lambda test: test.p)
    return _told(worst, len(known))


def _told(test: Nested, tests: int, name: str = "nested") -> dict[str, Estimate]:
    values = {"": test.value, ":expected": test.expected, ":allowed": test.allowed, ":p": min(1.0, test.p * tests)}
    return {f"{name}{key}": Estimate(value) for key, value in values.items()}


def meeting(phases: Sequence[Phase], level: float) -> dict[str, Estimate]:
    """Do chains from different kinds of start meet? Nested R-hat with superchain = init, one chain of each start.

    Args:
        phases: long runs of one training step, sampler and temperature, one of each init. Only one: no estimate.
        level: of the allowance.

    Estimates: ``meet``, ``meet:expected``, ``meet:allowed``, ``meet:p`` as for ``nested``.
    """
    if len(phases) < 2:
        return {}
    shared = set.intersection(*(set(measures_of(phase)) for phase in phases))
    tests = [nested(_one_a_start(phases, name), level) for name in sorted(shared)]
    known = [test for test in tests if math.isfinite(test.p)]
    if not known:
        return {"meet": Estimate.undefined(tests[0].reason)}
    return _told(min(known, key=lambda test: test.p), len(known), "meet")


def _one_a_start(phases: Sequence[Phase], name: str) -> Floats:
    """Second halves of the first chain of each start, as many chains and draws for all: (phases, chains, draws)."""
    firsts = [np.unique(phase.starts, return_index=True)[1] for phase in phases]
    halves = [second_half(phase) for phase in phases]
    chains, draws = min(map(len, firsts)), min(map(len, halves))
    return np.stack(
        [
            finite_values(phase, name)[np.ix_(first[:chains], half[np.linspace(0, len(half) - 1, draws).astype(int)])]
            for phase, first, half in zip(phases, firsts, halves, strict=True)
        ]
    )

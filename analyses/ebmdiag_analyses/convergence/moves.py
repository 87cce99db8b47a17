"""How the long chains move: acceptance, swaps, and how far they are from their starts.

If a chain that began at data has forgotten its start and the model is like the data, start and end are independent
items: the root mean square distance between them is that between two data items, √(2 sum of variances). Well below 1,
the ratio says that chains are still near where they began.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate
from ebmdiag_analyses.convergence.energy import drift
from ebmdiag_analyses.convergence.means import StartMean, over_starts
from ebmdiag_analyses.convergence.select import at_end, second_half

if TYPE_CHECKING:
    from ebmdiag.chains import Chains, Phase, Samples

Floats = NDArray[np.float64]


def acceptance(chains: Chains, level: float) -> dict[str, Estimate]:
    """``acceptance`` and ``swaps`` over the second half of the long run; each only where it was recorded."""
    phase = chains.phases.get("long")
    if phase is None:
        return {}
    found = {}
    for name in ("acceptance", "swaps"):
        if phase.has(name):
            values = phase.values[name][:, second_half(phase)]
            known = np.isfinite(values)
            sums = np.where(known, values, 0.0).sum(1)
            means = np.divide(sums, known.sum(1), out=np.full(len(sums), np.nan), where=known.any(1))
            found[name] = _share(over_starts(means, phase.starts).estimate(level))
    return found


def _share(estimate: Estimate) -> Estimate:
    """An interval of a share, cut to what a share can be."""
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (estimate.low, estimate.high))
    return replace(estimate, low=low, high=high)


def displacement(chains: Chains, samples: Samples | None, reason: str, level: float) -> dict[str, Estimate]:
    """``displacement`` (end of the long run), ``displacement:growth`` (in errors), from data ``displacement:ratio``.

    Args:
        chains: with a long run.
        samples: with data, for the scale.
        reason: why there are no samples.
        level: of the intervals.
    """
    phase = chains.phases.get("long")
    if phase is None:
        return {"displacement": Estimate.undefined("no long run")}
    growth = drift(phase, "displacement")[1]
    errors = growth.errors
    grown = Estimate.undefined(growth.doubt or "its error is 0")
    return {
        "displacement": over_starts(at_end(phase, "displacement"), phase.starts).estimate(level),
        **({"displacement:ratio": _ratio(phase, samples, reason, level)} if phase.init == "data" else {}),
        "displacement:growth": Estimate.doubted(errors, growth.doubt) if math.isfinite(errors) else grown,
    }


def _ratio(phase: Phase, samples: Samples | None, reason: str, level: float) -> Estimate:
    if samples is None or samples.data is None or len(samples.data) < 2:
        return Estimate.undefined(reason or "there are no two data items to take the scale from")
    square = over_starts(phase.values["displacement"][:, -1] ** 2, phase.starts)
    scale = _pair_distance(samples.data.reshape(len(samples.data), -1).astype(np.float64))
    if not scale.value > 0:
        return Estimate.undefined("all data items are equal")
    ratio = math.sqrt(square.value / scale.value)
    relative = math.hypot(square.error / square.value, scale.error / scale.value) / 2 if square.value else 0.0
    freedom = min(square.freedom, scale.freedom)
    return StartMean(ratio, ratio * relative, freedom, square.doubt).estimate(level)


def _pair_distance(data: Floats) -> StartMean:
    """Mean squared distance between two of n items, shape (n, N): 2 n/(n - 1) times the mean square about the mean."""
    squares = ((data - data.mean(0)) ** 2).sum(1) * (2 * len(data) / (len(data) - 1))
    return over_starts(squares, np.arange(len(data)))

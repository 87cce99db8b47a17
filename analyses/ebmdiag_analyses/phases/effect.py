"""Does r grow after expansion? The next increment of r on d, alone and beside earlier values of both.

    r[t+1] - r[t] = b d[t] + e[t],   b < 0 expected; errors of Newey and West (ebmdiag.numerics.slope).

In one linear mode of gain g whose state is r (theory of docs/loop_gain.md) b = -g. Noise of r's own that goes with d
(the chains that lower d raise r: covariance -κ, in units of d's sampling variance) adds κ / Var d = κ (2 - g) / 2.
Controls are d[t-1] … d[t-p] and the increments of r that end at t … t-p+1: with momentum or slow chains the
increment answers earlier d as well, and the control says what d adds to it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.bands import quantile
from ebmdiag.numerics.slope import Slope, slope_with_error
from ebmdiag.result import Estimate

Series = NDArray[np.float64]
KEYS = ("effect:slope", "effect:p", "effect:share", "effect:beside_earlier", "effect:beside_earlier_p")

MOST_ROWS = 1_000_000  # more rows only cost memory: each control is a series of its own


def effect(d: Series, r: Series, lags: int, level: float, doubt: str) -> dict[str, Estimate]:
    """Estimates of :data:`KEYS`: slopes in r per U, one-sided p-values against b >= 0, share of Var Δr explained."""
    d, r = d[-MOST_ROWS:], r[-MOST_ROWS:]
    step = np.diff(r)
    alone = slope_with_error(step, d[:-1])
    beside = _beside_earlier(d, step, lags)
    return {
        "effect:slope": _slope(alone, level, doubt),
        "effect:p": _p_value(alone, doubt),
        "effect:share": _known(alone.share, alone, doubt),
        "effect:beside_earlier": _slope(beside, level, doubt),
        "effect:beside_earlier_p": _p_value(beside, doubt),
    }


def _beside_earlier(d: Series, step: Series, lags: int) -> Slope:
    """Increment s = step[t] on d[t], with d[t-j] and step[t-j] for j = 1 … lags."""
    rows = len(step)
    controls = [series[lags - j : max(rows - j, lags - j)] for j in range(1, lags + 1) for series in (d[:-1], step)]
    return slope_with_error(step[lags:], d[:-1][lags:], controls)


def _known(value: float, slope: Slope, doubt: str) -> Estimate:
    if math.isnan(value):
        return Estimate.undefined(slope.reason)
    return Estimate.doubted(value, doubt or slope.reason)


def _slope(slope: Slope, level: float, doubt: str) -> Estimate:
    if math.isnan(slope.value):
        return Estimate.undefined(slope.reason)
    half = quantile(level) * slope.error
    return Estimate.doubted(slope.value, doubt or slope.reason, low=slope.value - half, high=slope.value + half)


def _p_value(slope: Slope, doubt: str) -> Estimate:
    if math.isnan(slope.errors):
        return Estimate.undefined(slope.reason)
    return Estimate.doubted(NormalDist().cdf(slope.errors), doubt or slope.reason)

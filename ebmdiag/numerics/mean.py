"""The mean of an autocorrelated series, with an error that knows the autocorrelation.

    Var(mean) ≈ (sd² / n) tau,   tau = 1 + 2 sum_{j=1}^{M} (1 - j / (M + 1)) rho_j.

tau is the integrated autocorrelation time, in rows: n rows are worth n / tau independent ones. The weights are
Bartlett's, as in Newey and West 1987 (Econometrica 55:703): tau cannot become negative. The bandwidth is

    M = ⌈1.1447 (a n)^{1/3}⌉,   a = s² - 1,   s = 1 + 2 sum_j rho_j²   (cut by Sokal's window, bands.py).

For an AR(1) series of coefficient f, a = 4 f² / (1 - f²)², so M is the optimal bandwidth of Andrews 1991
(Econometrica 59:817) with the memory measured from squares: alternating and damped-wave series are seen as
well.

The weights pull tau towards 1. Where that makes it too small, the bias is taken out by 2 tau(M) - tau(M/2), which
is the flat-top kernel of Politis and Romano 1995 (J. Time Ser. Anal. 16:67); the larger of the two is used. So a
series whose running sum stays bounded (d under integral action: tau = 0) gets too wide an error, not too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.bands import all_lags, automatic_bandwidth, later_memory, remembers_again, windowed_sum
from ebmdiag.numerics.scaling import FEW_ROWS, MIN_ROWS, Series, checked, deviations, doubtful, to_unit_size, undefined

TIMES_NEEDED = 50


@dataclass(frozen=True)
class Mean:
    """Mean, standard deviation (divisor n), standard error of the mean, autocorrelation time, bandwidth.

    ``reason`` says why error and time are undefined (NaN) or not to be trusted; empty if they are fine.
    """

    value: float
    deviation: float
    error: float
    autocorrelation_time: float
    bandwidth: int
    reason: str


def mean_with_error(x: ArrayLike) -> Mean:
    """Mean of a series, shape (rows,) with at least one row, and its standard error.

    The error is not to be trusted in a series shorter than 50 autocorrelation times, or 50 rows, nor in one that
    remembers again after a gap of lags (:func:`~ebmdiag.numerics.bands.later_memory`). A constant series has error 0
    and no autocorrelation time.

    Raises:
        ValueError: no rows, or a value that is not finite.
    """
    values = checked(x)
    if not len(values):
        raise ValueError("the mean of no rows is undefined.")
    mean, deviation = mean_and_deviation(values)
    reason = undefined(values)
    if reason:
        error = np.nan if len(values) < MIN_ROWS else 0.0
        return Mean(mean, deviation, error, np.nan, 0, reason)
    rho = all_lags(values)
    memory = windowed_sum(rho**2)
    bandwidth = automatic_bandwidth(memory.value, len(values))
    time = unbiased_time(rho, bandwidth)
    error = deviation * math.sqrt(time / len(values))
    reason = _doubt(len(values), time, closed=memory.closed)
    reason = reason or remembers_again(later_memory(rho, memory.window, len(values)))
    return Mean(mean, deviation, error, time, bandwidth, reason)


def mean_and_deviation(x: Series) -> tuple[float, float]:
    """Mean and standard deviation (divisor n), safe against overflow and large offsets."""
    scaled, exponent = to_unit_size(x)
    first = scaled[0]
    scaled -= first
    mean = float(np.ldexp(first + scaled.mean(), exponent))
    del scaled
    spread, size = deviations(x)
    return mean, float(np.ldexp(np.sqrt((spread @ spread) / len(x)), size))


def autocorrelation_time(rho: Series, bandwidth: int) -> float:
    """tau, in rows, by Bartlett's weights; ``rho``: centred autocorrelation at lags 0 … K >= bandwidth."""
    lags = np.arange(1, bandwidth + 1)
    return 1 + 2 * float(((1 - lags / (bandwidth + 1)) * rho[1 : bandwidth + 1]).sum())


def unbiased_time(rho: Series, bandwidth: int) -> float:
    """tau, in rows, with the weights' downward bias taken out; never below :func:`autocorrelation_time`."""
    plain = autocorrelation_time(rho, bandwidth)
    return max(plain, 2 * plain - autocorrelation_time(rho, max(1, bandwidth // 2)))


def _doubt(rows: int, time: float, *, closed: bool) -> str:
    needed = math.ceil(TIMES_NEEDED * time)
    if rows < needed:
        return (
            f"{rows} rows are {rows / time:.0f} autocorrelation times ({time:.3g} rows each); "
            f"about {needed} rows are needed"
        )
    if rows < FEW_ROWS:
        return doubtful(rows)
    return "" if closed else f"the series remembers for longer than {rows} rows can show"

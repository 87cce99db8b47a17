"""Cross-correlation after prewhitening: which of two series moves first, when both remember their past.

Memory smears a cross-correlation over many lags. So x is made white by its own autoregression, and y goes through the
same filter (Box and Jenkins 1970, "Time Series Analysis", chapter 11):

    a_t = x_t - sum_{j=1}^{p} phi_j x_{t-j},   b_t = y_t - sum_{j=1}^{p} phi_j y_{t-j},   c_k = corr(a[t+k], b[t]).

phi and p come from x alone (Yule-Walker, BIC; numerics.autoregression). If y = sum_j h_j x_{t-j} + noise that is
independent of x, then c_k is proportional to h_{-k}. With a white, c_k of independent series has variance 1/n
whatever b remembers (Bartlett's sum has one term left); how white a is, is measured too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.autoregression import LARGEST_ORDER, fit_autoregression
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

_LEFT_LAGS = 15
_LEFT = 0.1  # what autocorrelation of a still counts as white, apart from chance


@dataclass(frozen=True)
class Prewhitened:
    """The two filtered series, shape (rows - order,), and the autoregression.

    ``left`` says what memory x has after it, so that 1/√n is not quite the error; empty if it is white.
    """

    x: Series
    y: Series
    coefficients: Series
    left: str

    @property
    def order(self) -> int:
        """p, the number of coefficients."""
        return len(self.coefficients)


def prewhitened(x: ArrayLike, y: ArrayLike, *, most_order: int = LARGEST_ORDER) -> Prewhitened:
    """Filter both series, shape (rows,) each, by the autoregression of x; p at most ``most_order`` and rows / 10.

    Raises:
        ValueError: the lengths differ, a value is not finite, or a series is constant or shorter than 4 rows.
    """
    first, second = checked(x), checked(y)
    if len(first) != len(second):
        raise ValueError(f"the series must be equally long, but have {len(first)} and {len(second)} values.")
    for series in (first, second):
        if reason := undefined(series):
            raise ValueError(reason)
    phi = fit_autoregression(first, most_order).coefficients
    a, b = filtered(first, phi), filtered(second, phi)
    return Prewhitened(a, b, phi, _not_white(a))


def filtered(x: Series, phi: Series) -> Series:
    """x_t - sum_j phi_j x_{t-j} of the deviations, up to a factor that is a power of two, shape (rows - p,)."""
    return np.convolve(deviations(x)[0], np.concatenate(([1.0], -phi)), mode="valid")


def prewhitened_crosscorrelation(
    x: ArrayLike, y: ArrayLike, max_lag: int, *, most_order: int = LARGEST_ORDER
) -> Series:
    """corr(a[t+k], b[t]) at lags k = -``max_lag`` … ``max_lag``, shape (2 max_lag + 1,); both centred.

    Raises:
        ValueError: as :func:`prewhitened`, or ``max_lag`` is negative.
    """
    white = prewhitened(x, y, most_order=most_order)
    return crosscorrelation(white.x, white.y, max_lag)


def _not_white(a: Series) -> str:
    if undefined(a):
        return "is foretold by it, up to rounding"
    rho = autocorrelation(a, min(_LEFT_LAGS, len(a) - 1))[1:]
    lag = int(np.argmax(np.abs(rho)))
    chance = max(_LEFT, 4 / math.sqrt(len(a)))
    return "" if abs(rho[lag]) <= chance else f"is not white after it: autocorrelation {rho[lag]:+.2f} at lag {lag + 1}"

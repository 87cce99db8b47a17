"""Auto- and cross-correlation of long series, by the fast Fourier transform.

With u and w the series x and y (centred or not) divided by their Euclidean norms,

    acf:  rho_k = sum_t u[t+k] u[t],  k = 0 … K          ccf:  c_k = sum_t u[t+k] w[t],  k = -K … K,

so that entry k of the ccf is corr(x[t+k], y[t]): for k < 0 the series x leads. Sums run over the pairs that
exist and are not corrected for their number (the biased estimator: a positive semi-definite sequence).

Divisors cancel: the textbook (divisor T in variance and covariance) and the plots of Nijkamp et al. 2020
(arXiv:1903.12370; divisor T - 1 in both) give the same numbers. They differ only in whether a series is
centred, hence the argument ``centred``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.scaling import Series, unit_vector

_BLOCK = 1 << 16  # rows transformed together: what stays in a core's cache
_ODD_FACTORS = (1, 3, 5, 9, 15, 25, 27, 45, 75, 81, 125, 135)


def autocorrelation(x: ArrayLike, max_lag: int, *, centred: bool = True) -> Series:
    """Autocorrelation at lags 0 … ``max_lag``.

    Args:
        x: the series, shape (rows,), finite.
        max_lag: at least 0.
        centred: subtract the mean first. Without it a mean m lifts every lag by about m² / mean(x²).

    Returns:
        Shape (max_lag + 1,); NaN throughout if the series is constant or shorter than 4 rows, and at lags
        from ``rows`` on, where no pair exists.

    Raises:
        ValueError: a value is not finite, or ``max_lag`` is negative.
    """
    unit = unit_vector(x, centred=centred)
    products = _lagged_products(unit, unit, max_lag)[max_lag:]
    if not np.isnan(products[0]):
        products[0] = 1.0
    return products


def crosscorrelation(
    x: ArrayLike, y: ArrayLike, max_lag: int, *, centred_x: bool = True, centred_y: bool = True
) -> Series:
    """Cross-correlation corr(x[t+k], y[t]) at lags k = -``max_lag`` … ``max_lag``.

    Args:
        x, y: the series, shape (rows,) each, finite.
        max_lag: at least 0.
        centred_x, centred_y: subtract the mean of that series first.

    Returns:
        Shape (2 max_lag + 1,), lag 0 in the middle; NaN as for :func:`autocorrelation`.

    Raises:
        ValueError: the lengths differ, a value is not finite, or ``max_lag`` is negative.
    """
    first, second = unit_vector(x, centred=centred_x), unit_vector(y, centred=centred_y)
    if len(first) != len(second):
        raise ValueError(f"the series must be equally long, but have {len(first)} and {len(second)} values.")
    return _lagged_products(first, second, max_lag)


def _lagged_products(x: Series, y: Series, max_lag: int) -> Series:
    """sum_t x[t+k] y[t] for k = -max_lag … max_lag; NaN where no pair exists."""
    if max_lag < 0:
        raise ValueError(f"max_lag must be at least 0, but is {max_lag}.")
    result = np.full(2 * max_lag + 1, np.nan)
    reach = min(max_lag, len(x) - 1)
    if reach < 0 or np.isnan(x[0]) or np.isnan(y[0]):
        return result
    lags = np.arange(-reach, reach + 1)
    result[lags + max_lag] = 0.0
    block = max(_BLOCK, 4 * reach)
    for begin in range(0, len(x), block):
        result[lags + max_lag] += _of_block(x, y, begin, min(begin + block, len(x)), lags)
    return result


def _of_block(x: Series, y: Series, begin: int, end: int, lags: NDArray[np.int64]) -> Series:
    """The terms with ``begin`` <= t < ``end`` at these consecutive lags, shape (lags,).

    The sum over shifts of a circle is right where no other shift falls on a wanted one: overlap-save, not padding to
    twice the length.
    """
    low = max(0, begin + int(lags[0]))
    neighbours, own = x[low : end + int(lags[-1])], y[begin:end]
    shifts = lags + begin - low
    size = fast_length(max(len(own) + int(shifts[-1]), len(neighbours) - min(int(shifts[0]), 0)))
    spectrum, other = np.fft.rfft(neighbours, size), np.fft.rfft(own, size)
    np.conjugate(other, out=other)
    spectrum *= other
    return np.asarray(np.fft.irfft(spectrum, size)[shifts % size], dtype=np.float64)


def fast_length(at_least: int) -> int:
    """The smallest 2^a · (one of a few products of 3 and 5) not below a length: a size that the FFT likes.

    Example:
        >>> fast_length(1000), fast_length(1025)
        (1000, 1080)
    """
    return min(odd << (-(-at_least // odd) - 1).bit_length() for odd in _ODD_FACTORS)

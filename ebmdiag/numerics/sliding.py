"""Correlations in windows that slide over a record, and which of their many values are more than chance.

In each window the correlations are those of ebmdiag.numerics.correlation, centred by the window's own mean, so a level
or a spread that drifts from window to window does not show as memory. Each value has the standard error that it would
have around 0: of rho_k Bartlett's without memory beyond lag k - 1, of c_k that of two independent series with the
memory they have in this window (ebmdiag.numerics.bands). Among the thousands of values of a map one in twenty would lie
outside a 95% band by chance; so those are marked that Benjamini and Hochberg (1995, J. R. Stat. Soc. B 57:289) keep:
with p_(1) <= … <= p_(m) sorted, all up to the largest i with p_(i) <= q i / m. Neighbouring windows and lags are
positively dependent, under which the share of false marks stays below q. Measured: docs/windows.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.bands import bartlett_errors, correlation_errors, independence_error
from ebmdiag.numerics.correlation import autocorrelation, crosscorrelation
from ebmdiag.numerics.scaling import Series, checked, undefined

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Map:
    """A correlation by window and lag.

    Attributes:
        starts: first row of each window, shape (windows,).
        lags: shape (lags,).
        values: shape (windows, lags); NaN where a window is constant.
        errors: standard error around 0, the same shape; NaN where nothing is tested (lag 0 of an autocorrelation).
    """

    starts: Rows
    lags: Rows
    values: Series
    errors: Series

    def significant(self, rate: float) -> Mask:
        """The values kept at a false discovery rate, shape (windows, lags)."""
        return discoveries(np.abs(self.values) / self.errors, rate)


def window_starts(rows: int, width: int, stride: int) -> Rows:
    """First rows of windows of equal width, ``stride`` apart, the last of which ends with the record.

    Raises:
        ValueError: width or stride is below 1, or the width above the rows.
    """
    if not 1 <= width <= rows or stride < 1:
        raise ValueError(f"a window of {width} rows, {stride} apart, does not fit into {rows} rows.")
    return np.arange((rows - width) % stride, rows - width + 1, stride)


def sliding_autocorrelation(x: ArrayLike, width: int, stride: int, max_lag: int) -> Map:
    """rho_k, k = 0 … ``max_lag``, in each window of a series, shape (rows,).

    Raises:
        ValueError: a value is not finite, or the window does not fit.
    """
    values = checked(x)
    starts = window_starts(len(values), width, stride)
    rho = np.stack([autocorrelation(values[start : start + width], max_lag) for start in starts])
    errors = np.stack([bartlett_errors(each, width) for each in rho])
    return Map(starts, np.arange(max_lag + 1), rho, errors)


def sliding_crosscorrelation(x: ArrayLike, y: ArrayLike, width: int, stride: int, max_lag: int) -> Map:
    """corr(x[t+k], y[t]), k = -``max_lag`` … ``max_lag``, in each window of two series, shape (rows,) each.

    Raises:
        ValueError: the lengths differ, a value is not finite, or the window does not fit.
    """
    first, second = checked(x), checked(y)
    if len(first) != len(second):
        raise ValueError(f"the series must be equally long, but have {len(first)} and {len(second)} values.")
    starts = window_starts(len(first), width, stride)
    pairs = [(first[start : start + width], second[start : start + width]) for start in starts]
    values = np.stack([crosscorrelation(u, w, max_lag) for u, w in pairs])
    errors = np.array([independence_error(u, w).value for u, w in pairs])
    lags = np.arange(-max_lag, max_lag + 1)
    return Map(starts, lags, values, np.repeat(errors[:, None], len(lags), axis=1))


def discoveries(scores: Series, rate: float) -> Mask:
    """Which |z| are kept at a false discovery rate, any shape; NaN is never kept."""
    from scipy.special import ndtr

    tested = np.isfinite(scores)
    ordered = np.sort(2 * ndtr(-np.abs(scores[tested])))
    places = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / max(len(ordered), 1))
    if not len(places):
        return np.zeros(scores.shape, dtype=bool)
    kept: Mask = np.zeros(scores.shape, dtype=bool)
    kept[tested] = 2 * ndtr(-np.abs(scores[tested])) <= ordered[places[-1]]
    return kept


def first_lag(x: ArrayLike, width: int, stride: int) -> tuple[Series, Series]:
    """rho_1 in each window and its own standard error (Bartlett's formula in full), shape (windows,) each.

    Raises:
        ValueError: a value is not finite, or the window does not fit.
    """
    values = checked(x)
    windows = [values[start : start + width] for start in window_starts(len(values), width, stride)]
    rho = np.array([autocorrelation(window, 1)[1] for window in windows])
    errors = [np.nan if undefined(window) else correlation_errors(window, 1)[1] for window in windows]
    return rho, np.array(errors)

"""How far a sample correlation strays from 0 by chance when there is nothing to see.

Autocorrelation. If the series is a moving average of order k - 1 (as far as its earlier lags show), then
    Var(rho_k) ≈ (1 + 2 sum_{0<i<k} rho_i²) / n              (Bartlett 1946, J. R. Stat. Soc. Suppl. 8:27).
In full, for any linear series with independent innovations (Brockwell and Davis, "Time Series: Theory and Methods",
Theorem 7.2.2; their Examples 7.2.2 and 7.2.3 are the closed forms for moving averages and AR(1)),
    Var(rho_k) ≈ (1/n) sum_{i>0} (rho_{i+k} + rho_{i-k} - 2 rho_i rho_k)²:
the first is the error about 0 if rho_k is 0, the second that of a rho_k which is there.

Cross-correlation. If x and y are independent, each with its own autocorrelation, then at every lag
    Var(c_k) ≈ (1/n) sum_j rho_x(j) rho_y(j),  j = -∞ … ∞    (Bartlett 1935, J. R. Stat. Soc. 98:536).
The familiar 1/√n holds only if one of the two is white. The sum is cut where it no longer grows, at the
smallest
    M >= 5 (1 + 2 sum_{0<j<=M} |rho_x(j) rho_y(j)|),
Sokal's window (1997, "Monte Carlo methods in statistical mechanics") on the absolute products, so that
alternating signs cannot close it at once. Measured sizes: docs/correlation.md.

The window closes early on a memory that begins after a gap (x[t] = φ x[t-12] + e: a bank of chains that is walked
through, an epoch). So what lies beyond it, up to n / 10, is held against Bartlett's error: chance alone passes
√(2 log n) + 1 of them, at least 4.5, in fewer than 1 series in 100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.scaling import Series, checked

_SOKAL = 5.0
_FIRST_LAGS, _GROWTH = 4096, 8
_FEWEST_ERRORS, _LATEST = 4.5, 10  # of a memory after a gap, and the share of the rows that it is sought in
_SMALLEST_SUM = 0.05  # the true sum is a spectral overlap, hence positive; an estimate below this is noise


@dataclass(frozen=True)
class WindowedSum:
    """1 + 2 sum_{0<j<=window} of a product of correlations; ``closed``: the window ended within the lags."""

    value: float
    window: int
    closed: bool


def windowed_sum(products: Series) -> WindowedSum:
    """Sum a product of two autocorrelations, lags 0 … K, shape (K + 1,), under an automatic window."""
    lags = np.arange(1, len(products))
    reach = 1 + 2 * np.cumsum(np.abs(products[1:]))
    wide = np.flatnonzero(lags >= _SOKAL * reach)
    window = int(lags[wide[0]]) if len(wide) else len(products) - 1
    total = 1 + 2 * float(products[1 : window + 1].sum())
    return WindowedSum(max(total, _SMALLEST_SUM), window, bool(len(wide)))


def later_memory(rho: Series, window: int, rows: int) -> int | None:
    """The lag of the largest correlation beyond a window, up to rows / 10, if chance does not explain it; else None.

    Args:
        rho: centred autocorrelation at lags 0 … K, shape (K + 1,), of ``rows`` values.
        window: the lag up to which the memory was summed.
    """
    later = np.abs(rho[window + 1 : min(len(rho) - 1, rows // _LATEST) + 1])
    if not len(later):
        return None
    memory = 1 + 2 * float((rho[1 : window + 1] ** 2).sum())
    errors = max(_FEWEST_ERRORS, float(np.sqrt(2 * np.log(rows))) + 1)
    place = int(np.argmax(later))
    return window + 1 + place if later[place] > errors * np.sqrt(memory / rows) else None


def remembers_again(lag: int | None, what: str = "the series remembers") -> str:
    """The doubt that a memory after a gap casts on all that was summed under the window; empty if there is none."""
    return "" if lag is None else f"{what} again at lag {lag}, later than its memory was summed: errors are too small"


def all_lags(x: ArrayLike) -> Series:
    """Centred autocorrelation at all lags that a memory is judged from: 0 … K, K at most rows // 2.

    K grows until twice the window of the absolute values and twice the bandwidth lie within it: further lags would
    change neither.
    """
    values = checked(x)
    longest, lags = len(values) // 2, _FIRST_LAGS
    while lags < longest:
        rho = autocorrelation(values, lags)
        window = windowed_sum(np.abs(rho))
        bandwidth = automatic_bandwidth(windowed_sum(rho**2).value, len(values))
        if np.isnan(rho[0]) or (window.closed and 2 * max(window.window, bandwidth) <= lags):
            return rho
        lags *= _GROWTH
    return autocorrelation(values, longest)


def automatic_bandwidth(squares: float, rows: int) -> int:
    """The bandwidth M of numerics.mean from s = 1 + 2 sum rho_j² (at least 1), at most a third of the rows."""
    optimal = int(np.ceil(1.1447 * np.cbrt((squares**2 - 1) * rows)))
    return max(1, min(optimal, rows // 3))


def bartlett_errors(rho: Series, rows: int) -> Series:
    """Standard error of rho_k without memory beyond lag k - 1, shape of ``rho``; NaN at lag 0."""
    errors = np.full(len(rho), np.nan)
    seen = np.concatenate(([0.0], np.cumsum(rho[1:-1] ** 2))) if len(rho) > 1 else np.zeros(0)
    errors[1:] = np.sqrt((1 + 2 * seen) / max(rows, 1))
    return errors


def correlation_errors(x: ArrayLike, max_lag: int) -> Series:
    """Standard error of the centred rho_k of one series at lags 0 … ``max_lag``, by Bartlett's formula in full.

    Correlations beyond Sokal's window of rho_i² count as 0. NaN at lag 0, and throughout if the series is constant.

    Raises:
        ValueError: a value is not finite, or ``max_lag`` is negative.
    """
    rho = all_lags(x)
    if not len(rho) or np.isnan(rho[0]):
        return np.full(max_lag + 1, np.nan)
    return bartlett_in_full(rho[: windowed_sum(rho**2).window + 1], len(checked(x)), max_lag)


def bartlett_in_full(rho: Series, rows: int, max_lag: int) -> Series:
    """Standard error of rho_k at lags 0 … ``max_lag``, given all that is not 0: ``rho``, lags 0 … M, shape (M + 1,).

    Returns:
        Shape (max_lag + 1,); NaN at lag 0, where the correlation is 1 without error.

    Raises:
        ValueError: ``max_lag`` is negative.
    """
    if max_lag < 0:
        raise ValueError(f"max_lag must be at least 0, but is {max_lag}.")
    last = len(rho) - 1 + max_lag  # terms with i beyond it are 0
    whole = np.concatenate((rho, np.zeros(last + max_lag + 1 - len(rho))))
    here, errors = whole[1 : last + 1], np.full(max_lag + 1, np.nan)
    lags = np.arange(1, last + 1)
    for k in range(1, max_lag + 1):
        terms = whole[1 + k : last + k + 1] + whole[np.abs(lags - k)] - 2 * whole[k] * here
        errors[k] = np.sqrt(float(terms @ terms) / max(rows, 1))
    return errors


@dataclass(frozen=True)
class IndependenceError:
    """Standard error of a cross-correlation of independent series; ``reason``: why not to trust it, or empty."""

    value: float
    reason: str


def independence_error(x: ArrayLike, y: ArrayLike) -> IndependenceError:
    """Standard error of the (centred) cross-correlation at any lag if ``x`` and ``y`` are independent.

    NaN if a series is constant or shorter than 4 rows.

    Raises:
        ValueError: a value is not finite.
    """
    first, second = all_lags(x), all_lags(y)
    rows = len(checked(x))
    if not len(first) or np.isnan(first[0]) or np.isnan(second[0]):
        return IndependenceError(np.nan, "a series is constant or too short")
    shared = min(len(first), len(second))  # the window of the shorter memory bounds that of the product
    overlap = windowed_sum(first[:shared] * second[:shared])
    reason = "" if overlap.closed else f"the series remember for longer than {rows} rows can show"
    return IndependenceError(float(np.sqrt(overlap.value / rows)), reason)


def quantile(level: float) -> float:
    """The z of a two-sided normal interval: 1.96 for 0.95.

    Example:
        >>> round(quantile(0.95), 4)
        1.96
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)

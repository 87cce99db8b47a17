"""Two series that feed each other: vector autoregression, who foretells whom, and how a shock spreads.

    w_t = c + sum_{j=1}^{p} A_j w_{t-j} + e_t,   w = (x, y),   Cov e = Σ    (least squares; Lütkepohl 2005, chapter 3)

p has the lowest log det Σ_p + 4 p log(n) / n (BIC) among 1 … K, all orders on the same n = rows - K rows; but it is
not shorter than the autoregression that BIC gives each series alone, since a memory cut short passes for foretelling.
"x foretells y" (Granger 1969, Econometrica 37:424): the p coefficients of x in the equation of y are not all 0,

    F = ((S_0 - S_1) / p) / (S_1 / (n - 2p - 1)),   share = 1 - (S_1 / (n - 2p - 1)) / (S_0 / (n - p - 1)),

S_1 and S_0 the sums of squares with and without x; the share of y's innovation variance that x's past explains is about
1 - exp(-F_Geweke) (Geweke 1982, J. Am. Stat. Assoc. 77:304). Foretelling is no proof of causing: a third thing may move
both. What happens within one row is the correlation of the two innovations, which has no direction.

A shock: Phi_0 = 1, Phi_h = sum_{j<=h} Phi_{h-j} A_j, with the errors of Lütkepohl 2005, proposition 3.6. All sums are
taken once, in blocks of rows: memory does not grow with the series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.autoregression import fit_autoregression
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

Matrix = NDArray[np.float64]

_BLOCK = 1 << 16
_EXACT = 1e-12  # an equation that leaves less of the variance is exact: further lags are no news


@dataclass(frozen=True)
class Direction:
    """Whether one series foretells the other: F, its p-value, the share of innovation variance, degrees of freedom."""

    statistic: float
    p_value: float
    share: float
    freedom: tuple[int, int]


@dataclass(frozen=True)
class VectorAutoregression:
    """A fit to two series scaled to standard deviation 1.

    Attributes:
        order: p.
        rows: n, after the first K rows, which only serve as the past.
        lags: A_1 … A_p, shape (p, 2, 2); entry [j, i, k] is what series k, j + 1 rows ago, adds to series i.
        covariance: of the innovations, divisor n - 2p - 1, shape (2, 2).
        instant: correlation of the two innovations; NaN if ``exact``.
        forward: x foretells y; ``backward``: y foretells x.
        exact: one equation leaves no noise, so order and tests say nothing more.
    """

    order: int
    rows: int
    lags: Matrix
    covariance: Matrix
    coefficient_covariance: Matrix
    instant: float
    forward: Direction
    backward: Direction
    exact: bool

    def responses(self, horizon: int) -> tuple[Matrix, Matrix]:
        """Phi_h and standard errors, h = 0 … ``horizon``, both of shape (horizon + 1, 2, 2), [h, answers, shocked]."""
        return impulse_responses(self.lags, self.coefficient_covariance, horizon)


def fit_pair(x: ArrayLike, y: ArrayLike, most_order: int) -> VectorAutoregression:
    """Fit two series, shape (rows,) each, with the order that BIC prefers among 1 … ``most_order``.

    Raises:
        ValueError: the lengths differ, a value is not finite, a series is constant, or there are fewer than
            5 rows for each of the 2 K + 1 coefficients.
    """
    first, second = _unit(x), _unit(y)
    if len(first) != len(second):
        raise ValueError(f"the series must be equally long, but have {len(first)} and {len(second)} values")
    rows, smallest = len(first) - most_order, 5 * (2 * most_order + 1)
    if most_order < 1 or rows < smallest:
        raise ValueError(f"{len(first)} rows are too few for {most_order} lags: at least {smallest + most_order}")
    products = lagged_products(first, second, most_order)
    order, exact = _best_order(products, rows, most_order)
    if not exact:
        order = max(order, *(min(most_order, fit_autoregression(each, most_order).order) for each in (first, second)))
    return _fit(products, rows, order, exact=exact)


def lagged_products(x: Series, y: Series, most_order: int) -> Matrix:
    """Sums over t >= K of products of (1, x_t, y_t, x_{t-1}, y_{t-1} … y_{t-K}), shape (2 K + 3, 2 K + 3)."""
    pair = np.stack([x, y], axis=1)
    total = np.zeros((2 * most_order + 3, 2 * most_order + 3))
    for begin in range(most_order, len(x), _BLOCK):
        end = min(begin + _BLOCK, len(x))
        shifted = [pair[begin - lag : end - lag] for lag in range(most_order + 1)]
        block = np.concatenate([np.ones((end - begin, 1)), *shifted], axis=1)
        total += block.T @ block
    return total


def _unit(x: ArrayLike) -> Series:
    values = checked(x)
    if reason := undefined(values):
        raise ValueError(reason)
    scaled = deviations(values)[0]
    return np.asarray(scaled / scaled.std(), dtype=np.float64)


def _places(order: int, *, without: int | None = None) -> list[int]:
    """Where 1 and the lags stand in the products; ``without`` leaves out the lags of x (0) or y (1)."""
    return [0, *(1 + 2 * lag + k for lag in range(1, order + 1) for k in (0, 1) if k != without)]


def _regress(products: Matrix, targets: list[int], places: list[int]) -> tuple[Matrix, Matrix]:
    """Coefficients, shape (len(places), len(targets)), and sums of squares left, (len(targets), len(targets))."""
    past = products[np.ix_(places, places)]
    cross = products[np.ix_(places, targets)]
    solved = np.linalg.lstsq(past, cross, rcond=None)[0]
    left = products[np.ix_(targets, targets)] - cross.T @ solved
    return np.asarray(solved, dtype=np.float64), (left + left.T) / 2


def _best_order(products: Matrix, rows: int, most_order: int) -> tuple[int, bool]:
    """The order of lowest BIC, or the first that leaves no noise in an equation (or in a mix of both)."""
    best, lowest = 1, math.inf
    for order in range(1, most_order + 1):
        left = _regress(products, [1, 2], _places(order))[1] / rows
        determinant = float(np.linalg.det(left))
        if min(left[0, 0], left[1, 1], determinant) < _EXACT:
            return order, True
        value = math.log(determinant) + 4 * order * math.log(rows) / rows
        if value < lowest:
            best, lowest = order, value
    return best, False


def _fit(products: Matrix, rows: int, order: int, *, exact: bool) -> VectorAutoregression:
    places = _places(order)
    solved, left = _regress(products, [1, 2], places)
    freedom = rows - 2 * order - 1
    covariance = left / freedom
    sizes = np.sqrt(np.maximum(np.diag(covariance), 0))
    inverse = np.linalg.pinv(products[np.ix_(places, places)], hermitian=True)
    return VectorAutoregression(
        order,
        rows,
        solved[1:].reshape(order, 2, 2).transpose(0, 2, 1),
        covariance,
        np.kron(inverse[1:, 1:], covariance),
        math.nan if exact else float(covariance[0, 1] / (sizes[0] * sizes[1])),
        _direction(products, rows, order, source=0),
        _direction(products, rows, order, source=1),
        exact,
    )


def _direction(products: Matrix, rows: int, order: int, *, source: int) -> Direction:
    from scipy.special import fdtrc

    target = [2 - source]
    full = float(_regress(products, target, _places(order))[1][0, 0])
    short = float(_regress(products, target, _places(order, without=source))[1][0, 0])
    freedom = rows - 2 * order - 1
    full, short = max(full, 0.0), max(short, full, 0.0)
    if full < _EXACT * rows:  # exact: is the other series needed for it?
        needed = short > 1e3 * _EXACT * rows
        return Direction(math.inf if needed else 0.0, float(not needed), float(needed), (order, freedom))
    statistic = (short - full) / order / (full / freedom)
    share = 1 - (full / freedom) / (short / (rows - order - 1))
    return Direction(statistic, float(fdtrc(order, freedom, statistic)), share, (order, freedom))


def impulse_responses(lags: Matrix, coefficient_covariance: Matrix, horizon: int) -> tuple[Matrix, Matrix]:
    """Phi_h and their standard errors, shape (horizon + 1, 2, 2) each.

    Args:
        lags: A_1 … A_p, shape (p, 2, 2).
        coefficient_covariance: of vec(A_1, …, A_p), columns first, shape (4 p, 4 p).
        horizon: the last h.
    """
    order = len(lags)
    phi = np.zeros((horizon + 1, 2, 2))
    phi[0] = np.eye(2)
    for h in range(1, horizon + 1):
        phi[h] = sum(phi[h - j] @ lags[j - 1] for j in range(1, min(h, order) + 1))
    companion = np.eye(2 * order, k=-2)
    companion[:2] = lags.transpose(1, 0, 2).reshape(2, 2 * order)
    powers = [np.eye(2 * order)[:2]]  # J (A')^m
    for _ in range(horizon):
        powers.append(powers[-1] @ companion.T)
    errors = np.zeros_like(phi)
    for h in range(1, horizon + 1):
        change = sum(np.kron(powers[h - 1 - m], phi[m]) for m in range(h))
        variance = np.einsum("ij,jk,ik->i", change, coefficient_covariance, change)
        errors[h] = np.sqrt(np.maximum(variance, 0)).reshape(2, 2).T
    return phi, errors

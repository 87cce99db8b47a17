"""Do chains that began together end nearer to each other than chains that did not? By permutation, on whole states.

For end states x_i of shape (N,) of n chains, with P pairs of a common start and Q others, d_ij = ‖x_i - x_j‖,

    R = (1/P sum d_ij, common start) / (1/Q sum d_ij, different starts),

1 once starts are forgotten, 0 for chains that stand still. A memory of few of many coordinates hardly moves R: of two
modes at a distance s, in units of the deviation of each of N coordinates, that no chain ever leaves, R is about
1 - s²/(8 N), and its error 1/√(4 N P). So the same is asked along the leading principal axes of the end states: with
y_i the place along an axis,

    R_axis = (1/P sum (y_i - y_j)², common start) / (1/Q sum (y_i - y_j)², different starts),   the least of the axes.

Two modes make an axis of their own once s²/4 > √(N/n) (Baik, Ben Arous and Péché 2005, Ann. Probab. 33:1643). Both come
from the one matrix of distances: the axes are those of -½ J d² J, J = 1 - 11ᵀ/n (Torgerson 1952, Psychometrika 17:401).

p = (1 + #{permuted <= observed}) / (1 + replicas), chains permuted among starts, is exact where ends are independent of
starts and of each other; the p handed over is twice the smaller of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.two_sample import pool

Matrix = NDArray[np.float64]
Places = NDArray[np.int64]
AXES = 10
_TIE = 1e-10  # groupings that give the same sum in another order of summation are equal
_BLOCK = 2**22  # looked-up distances at a time: 32 MiB


@dataclass(frozen=True)
class Forgetting:
    """R of whole states, the least along an axis (NaN where nothing varies), their common p-value, sizes.

    ``reason`` says why all are NaN; empty if they are fine.
    """

    ratio: float
    axis_ratio: float
    p_value: float
    chains: int
    starts: int
    reason: str


def forgetting(states: ArrayLike, starts: ArrayLike, *, rng: np.random.Generator, replicas: int = 500) -> Forgetting:
    """Of end states (n, ...), n at least 4, and the number of each chain's start (n,); further axes are flattened.

    Raises:
        ValueError: other shapes, fewer than two starts, or no start with two chains.
    """
    rows, numbers = np.asarray(states, dtype=np.float64), np.asarray(starts)
    counts = np.unique(numbers, return_counts=True)[1]
    if numbers.shape != rows.shape[:1] or len(rows) < 4 or len(counts) < 2 or counts.max() < 2:
        raise ValueError(
            "at least four chains of two starts, one of them with two chains, are needed, but there are states of "
            f"shape {rows.shape} and starts of shape {numbers.shape}, {len(counts)} of them different"
        )
    order = np.argsort(numbers, kind="stable")
    pooled = pool(rows[order[:2]], rows[order[2:]])
    reason = pooled.reason or ("" if pooled.distances.any() else "all end states are equal")
    if reason:
        return Forgetting(math.nan, math.nan, math.nan, len(rows), len(counts), reason)
    return _tested(pooled.distances, counts, rng, replicas)


def principal_axes(distances: Matrix, axes: int = AXES) -> Matrix:
    """Places of n points along their leading principal axes, from their distances (n, n): shape (n, at most ``axes``).

    In units of the greatest distance, and only axes along which they vary beyond rounding.
    """
    from scipy.linalg import eigh

    unit = (distances / distances.max()) ** 2  # or squares overflow
    inner = -0.5 * (unit - unit.mean(0) - unit.mean(1)[:, None] + unit.mean())
    count = len(inner)
    values, vectors = eigh(inner, subset_by_index=(max(0, count - axes), count - 1))
    varies = values > 1e-8 * values[-1]
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0)))[:, varies], dtype=np.float64)


def _tested(distances: Matrix, counts: Places, rng: np.random.Generator, replicas: int) -> Forgetting:
    count = len(distances)
    orders = np.tile(np.arange(count), (1 + replicas, 1))
    orders[1:] = rng.permuted(orders[1:], axis=1)
    whole = _ratios(_near(distances, counts, orders), float(distances.sum()) / 2, counts)
    places = principal_axes(distances)
    squares = count * (places**2).sum(0)  # sum of (y_i - y_j)² over all pairs, of places about their mean
    along = [
        _ratios(_near_squares(y, counts, orders), float(s), counts) for y, s in zip(places.T, squares, strict=True)
    ]
    least = np.min(along, axis=0)
    p = min(1.0, 2 * min(_p(whole), _p(least)))
    return Forgetting(float(whole[0]), float(least[0]), p, count, len(counts), "")


def _pairs(counts: Places) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _near(distances: Matrix, counts: Places, orders: Places) -> Matrix:
    """Sum of distances over the pairs of a common start, for each order of the chains, shape (orders,)."""
    group = np.repeat(np.arange(len(counts)), counts)
    first, second = np.nonzero(np.triu(group[:, None] == group, 1))
    block = max(1, _BLOCK // len(first))
    sums = [
        distances[orders[place : place + block, first], orders[place : place + block, second]].sum(1)
        for place in range(0, len(orders), block)
    ]
    return np.concatenate(sums)


def _near_squares(places: Matrix, counts: Places, orders: Places) -> Matrix:
    """Sum of (y_i - y_j)² over the same pairs: c sum y² - (sum y)² in each start of c chains."""
    moved, begins = places[orders], np.cumsum(counts) - counts
    squares = np.add.reduceat(moved**2, begins, axis=1)
    return np.asarray((counts * squares - np.add.reduceat(moved, begins, axis=1) ** 2).sum(1), dtype=np.float64)


def _ratios(near: Matrix, total: float, counts: Places) -> Matrix:
    """Mean over the pairs of a common start over the mean of the others; infinite where the others are all 0."""
    count, pairs = int(counts.sum()), _pairs(counts)
    far = np.maximum(total - near, 0.0) / (count * (count - 1) // 2 - pairs)
    ratios = np.full(len(near), np.inf)
    np.divide(near / pairs, far, out=ratios, where=far > _TIE * total)
    return ratios


def _p(ratios: Matrix) -> float:
    reached = int(np.count_nonzero(ratios[1:] <= ratios[0] + _TIE))
    return (1 + reached) / len(ratios)

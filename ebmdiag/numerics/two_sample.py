"""Do two samples come from one distribution? Energy distance and maximum mean discrepancy, by permutation.

For X of shape (n, N) and Y of shape (m, N), independent draws,

    energy:  E    = 2/(n m) sum ‖x - y‖ - 1/n² sum ‖x - x'‖ - 1/m² sum ‖y - y'‖,             all pairs,
    kernel:  MMD² = 1/(n(n-1)) sum k(x, x') + 1/(m(m-1)) sum k(y, y') - 2/(n m) sum k(x, y),  x ≠ x', y ≠ y',

with k(a, b) = exp(-‖a - b‖² / (2 σ²)) and σ the median distance of all pairs of the pooled sample. E is Székely and
Rizzo's (2004, InterStat 5; 2013, J. Stat. Plan. Inference 143:1249): the V-statistic, never negative, in units of x.
In one dimension E = 2 ∫ (F_n - G_m)² dx, and scipy.stats.energy_distance is √E. MMD² is the unbiased U-statistic of
Gretton et al. 2012 (J. Mach. Learn. Res. 13:723, eq. 3) with their median heuristic; it may fall below 0.

Both are sums over blocks of one matrix K (‖a - b‖, or k). With z in {0, 1} marking the first sample, r = K 1,

    sum_xx = zᵀK z,   sum_xy = zᵀr - zᵀK z,   sum_yy = 1ᵀr - 2 zᵀr + zᵀK z,

so R permutations of the labels are one product of an (R, n + m) matrix with K. The p-value

    p = (1 + #{permuted >= observed}) / (1 + R)

is exact if the pooled draws are exchangeable, which draws of one chain are not: thin them first, or take chains' ends.
In many dimensions both see a shift well and a wrong width, but not subtle differences of a few coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.scaling import to_unit_size

Matrix = NDArray[np.float64]
_TIE = 1e-10  # relabellings that give the same sum in another order of summation are equal


@dataclass(frozen=True)
class Pooled:
    """Distances of all pairs of the n + m rows, x first, shape (n + m, n + m).

    ``reason`` says why they are undefined (NaN): a row is not finite. Empty if they are fine.
    """

    distances: Matrix
    n: int
    m: int
    reason: str


@dataclass(frozen=True)
class TwoSample:
    """The statistic, its mean over the permutations (what no difference gives), p-value, sizes.

    ``reason`` says why all of them are NaN; empty if they are fine.
    """

    statistic: float
    expected: float
    p_value: float
    n: int
    m: int
    reason: str


def pool(x: ArrayLike, y: ArrayLike) -> Pooled:
    """The distances that both tests need, x of shape (n, ...) and y of shape (m, ...); further axes are flattened.

    A distance is accurate to about 1e-8 of the distances to the common mean; that of a row to itself is 0.

    Raises:
        ValueError: rows of different shapes, or fewer than two in a sample.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape[1:] != second.shape[1:] or not first.ndim or min(len(first), len(second)) < 2:
        raise ValueError(
            f"samples must be two rows or more of one shape, but have the shapes {first.shape} and {second.shape}"
        )
    n, m = len(first), len(second)
    rows = np.concatenate((first.reshape(n, -1), second.reshape(m, -1)))
    broken = int(np.count_nonzero(~np.isfinite(rows).all(1)))
    if broken:
        return Pooled(np.full((n + m, n + m), np.nan), n, m, f"{broken} of {n + m} rows are not finite")
    return Pooled(_distances(rows), n, m, "")


def energy_test(pooled: Pooled, *, rng: np.random.Generator, replicas: int = 500) -> TwoSample:
    """Energy distance E, in units of x, and its permutation p-value with ``replicas`` permutations."""
    if pooled.reason:
        return _nothing(pooled, pooled.reason)
    n, m = pooled.n, pooled.m
    return _test(pooled.distances, pooled, (-1 / n**2, 2 / (n * m), -1 / m**2), rng, replicas)


def mmd_test(pooled: Pooled, *, rng: np.random.Generator, replicas: int = 500, scale: float | None = None) -> TwoSample:
    """MMD², unbiased, and its permutation p-value; ``scale``: σ in units of x, default the median distance.

    NaN with a reason where the median is 0: more than half of all pairs are equal.

    Raises:
        ValueError: a scale that is not above 0.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"the kernel's scale must be above 0, but is {scale}")
    if pooled.reason:
        return _nothing(pooled, pooled.reason)
    width = median_distance(pooled) if scale is None else scale
    if width == 0:
        return _nothing(pooled, "the median distance is 0: more than half of all pairs are equal")
    kernel = np.exp(-0.5 * (pooled.distances / width) ** 2)
    np.fill_diagonal(kernel, 0.0)  # only pairs of different rows
    n, m = pooled.n, pooled.m
    return _test(kernel, pooled, (1 / (n * (n - 1)), -2 / (n * m), 1 / (m * (m - 1))), rng, replicas)


def median_distance(pooled: Pooled) -> float:
    """Median over all pairs of different rows of the pooled sample, in units of x."""
    return float(np.median(pooled.distances[np.triu_indices(pooled.n + pooled.m, 1)]))


def _distances(rows: Matrix) -> Matrix:
    scaled, exponent = to_unit_size(rows)  # or squares overflow
    centred = scaled - scaled.mean(0)
    squared = centred @ centred.T
    square = squared.diagonal().copy()
    squared *= -2
    squared += square[:, None]
    squared += square[None, :]
    np.maximum(squared, 0.0, out=squared)
    np.fill_diagonal(squared, 0.0)
    return np.asarray(np.ldexp(np.sqrt(squared, out=squared), exponent), dtype=np.float64)


def _test(
    kernel: Matrix, pooled: Pooled, weights: tuple[float, float, float], rng: np.random.Generator, replicas: int
) -> TwoSample:
    """``weights``: of sum_xx, sum_xy and sum_yy in the statistic."""
    labels = np.zeros((1 + replicas, pooled.n + pooled.m))
    labels[:, : pooled.n] = 1.0
    labels[1:] = rng.permuted(labels[1:], axis=1)
    within = np.einsum("rp,rp->r", labels @ kernel, labels)
    touched = labels @ kernel.sum(1)
    total = float(kernel.sum())
    terms = np.stack((within, touched - within, total - 2 * touched + within))
    values = np.asarray(weights) @ terms
    rounding = _TIE * float((np.abs(weights) @ np.abs(terms)).max())
    reached = int(np.count_nonzero(values[1:] >= values[0] - rounding))
    expected = float(values[1:].mean()) if replicas else math.nan
    return TwoSample(float(values[0]), expected, (1 + reached) / (1 + replicas), pooled.n, pooled.m, "")


def _nothing(pooled: Pooled, reason: str) -> TwoSample:
    return TwoSample(math.nan, math.nan, math.nan, pooled.n, pooled.m, reason)

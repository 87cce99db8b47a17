"""Has a model learned its data by heart? Distances to the nearest training row, against those of held-out rows.

The distance of a row x of X (n, N) to R (k, N) is min_j ‖x - r_j‖. Which j it is follows from the smallest of
‖r_j‖² - 2 x·r_j, about the mean of R, block by block; the winner's distance is then computed from x - r_j, so a copy
has distance 0 and not the root of a rounding error. Another row may win in place of the nearest only if both are equal
to 1e-7 of ‖x - mean(R)‖.

A model that copies has samples nearer to R than fresh data are. If samples and held-out rows came from one
distribution, their distances would too, R given; the one-sided test of Mann and Whitney (1947, Ann. Math. Stat. 18:50)
asks whether those of samples are stochastically smaller, as in Meehan, Chaudhuri and Dasgupta 2020 (arXiv:2004.05675).

What a small p-value is not. Blurred or oversaturated samples, and modes with too much weight, can lie nearer to R than
data do without copying any of it: look at the pairs. And the held-out rows must come from where R comes from, without
duplicates of its rows, or of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NONE = -1
_BLOCK = 1024  # rows of X and of R at a time: 8 MB of products, 25 MB of images of 32 x 32


@dataclass(frozen=True)
class Nearest:
    """Distance to the nearest reference row, float64, and which it is, int64, shape (n,) each.

    NaN and -1 for a row that is not finite.
    """

    distance: NDArray[np.float64]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class Copying:
    """p-value of "samples are not nearer than held-out rows", and median distance of samples over that of the others.

    ``reason`` says why both are undefined (NaN) or not to be trusted; empty if they are fine.
    """

    p_value: float
    ratio: float
    samples: int
    held_out: int
    reason: str


def nearest(x: ArrayLike, reference: ArrayLike, *, exclude: ArrayLike | None = None) -> Nearest:
    """The nearest reference row of each row of ``x``; axes after the first are flattened.

    Args:
        x: shape (n, ...), of size below 1e150 where finite.
        reference: R, shape (k, ...), finite, k at least 1.
        exclude: shape (n,), an index into R that does not count for that row (itself, where X is part of R); -1: none.

    Raises:
        ValueError: rows of different shapes, no reference row left, a reference row that is not finite, or an index out
            of range.
    """
    rows, others = np.asarray(x), np.asarray(reference)
    if rows.ndim < 1 or rows.shape[1:] != others.shape[1:] or not others.size:
        raise ValueError(f"rows {rows.shape} and reference {others.shape} must have one shape after the first axis")
    rows, others = rows.reshape(len(rows), others[0].size), others.reshape(len(others), -1)
    left_out = _left_out(exclude, len(rows), len(others))
    centre = _centre(others)
    result = Nearest(np.full(len(rows), np.nan), np.full(len(rows), NONE, dtype=np.int64))
    for begin in range(0, len(rows), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        block = np.asarray(rows[part], dtype=np.float64)
        finite = np.isfinite(block).all(1)
        index = _winners(block[finite] - centre, others, centre, left_out[part][finite])
        result.index[part][finite] = index
        result.distance[part][finite] = _lengths(block[finite] - np.asarray(others[index], dtype=np.float64))
    return result


def copying_test(samples: ArrayLike, held_out: ArrayLike) -> Copying:
    """Are the distances of samples, shape (n,), smaller than those of held-out rows, shape (m,)?

    Distances that are NaN (rows that are not finite) are left out, and said to be.
    """
    first, second = (np.asarray(values, dtype=np.float64).ravel() for values in (samples, held_out))
    lost = int(np.count_nonzero(np.isnan(first)) + np.count_nonzero(np.isnan(second)))
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    reason = f"{lost} distances are not finite and left out" if lost else ""
    if not len(first) or not len(second):
        return Copying(math.nan, math.nan, len(first), len(second), reason or "no distances to compare")
    middle = float(np.median(second))
    if middle == 0:
        reason = reason or "half of the held-out rows are copies of reference rows themselves"
    ratio = float(np.median(first)) / middle if middle > 0 else math.nan
    return Copying(_smaller(first, second), ratio, len(first), len(second), reason)


def _smaller(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import mannwhitneyu  # a second to import

    if min(first.min(), second.min()) == max(first.max(), second.max()):
        return 1.0  # all ties: no order to speak of, and scipy divides by 0
    return float(mannwhitneyu(first, second, alternative="less").pvalue)


def _winners(
    rows: NDArray[np.float64], others: NDArray[np.floating], centre: NDArray[np.float64], left_out: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Index of the nearest of ``others`` for each of the centred rows."""
    best, index = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=np.int64)
    for begin in range(0, len(others), _BLOCK):
        block = np.asarray(others[begin : begin + _BLOCK], dtype=np.float64) - centre
        score = np.einsum("ij,ij->i", block, block) - 2 * rows @ block.T
        inside = np.flatnonzero((left_out >= begin) & (left_out < begin + len(block)))
        score[inside, left_out[inside] - begin] = np.inf
        winner = score.argmin(1)
        value = score[np.arange(len(rows)), winner]
        better = value < best
        best[better], index[better] = value[better], winner[better] + begin
    return index


def _lengths(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", differences, differences)))


def _centre(others: NDArray[np.floating]) -> NDArray[np.float64]:
    if not np.isfinite(others).all():
        row = int(np.flatnonzero(~np.isfinite(others).all(1))[0])
        raise ValueError(f"reference rows must be finite, but row {row} is not")
    return np.asarray(others.mean(0, dtype=np.float64))


def _left_out(exclude: ArrayLike | None, rows: int, others: int) -> NDArray[np.int64]:
    if exclude is None:
        return np.full(rows, NONE, dtype=np.int64)
    index = np.asarray(exclude, dtype=np.int64)
    if index.shape != (rows,):
        raise ValueError(f"one index to exclude is needed for each of {rows} rows, but they have shape {index.shape}")
    if len(index) and not (index.min() >= NONE and index.max() < others):
        raise ValueError(f"an index to exclude must lie between -1 and {others - 1}")
    if others == 1 and (index == 0).any():
        raise ValueError("the only reference row is excluded: none is left")
    return index

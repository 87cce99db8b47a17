"""Where does a series change its mean or its spread? The best cut into stretches, with a price for each cut.

    minimize  sum over stretches of  n_i log s_i²  +  (number of cuts) · price,

n_i log s_i² being minus twice the Gaussian log-likelihood of a stretch with its own mean and variance (constants left
out). The exact minimum is found by dynamic programming (Jackson et al. 2005, IEEE Signal Process. Lett. 12:105). PELT
(Killick, Fearnhead and Eckley 2012, J. Am. Stat. Assoc. 107:1590) finds the same minimum faster where cuts are
frequent; where they are rare it prunes nothing, and cuts are rare here. So the cuts are sought on a grid of at most
1,000 blocks, for which the plain programme takes milliseconds, and then each is moved to the best row nearby.

The price must know the memory of the series: for autocorrelated rows, or heavy tails, a cut gains by chance

    I = max( LRV(x) / s²,  LRV((x - m)²) / (2 s⁴) )

times what it gains for independent Gaussian rows (LRV: long-run variance, the series' variance times tau). So

    price = I · PRICE · log n,    PRICE = 4,

and no stretch is shorter than 10 I rows. I is the median over eight stretches of the record, each about its own mean,
so that the changes that are sought do not pass for memory; it is at least 1. Measured rates: docs/phases.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.mean import mean_with_error
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

PRICE = 4.0
MOST_BLOCKS = 1000
SHORTEST = 10
TIMES_NEEDED = 100  # so that each of the eight stretches can show its memory
_WINDOWS = 8
_SMALLEST = 1e-12  # of the whole variance: a stretch that is constant up to this is as flat as another
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """Where stretches begin, beside row 0.

    Attributes:
        rows: first row of each stretch but the first, shape (changes,), increasing.
        gains: how much dearer the cost would be without each cut, before the price, shape (changes,).
        price: of a cut. inflation: I. shortest: rows that a stretch must have.
        reason: why not to trust it, or why nothing could be sought; empty if it is fine.
    """

    rows: Rows
    gains: Series
    price: float
    inflation: float
    shortest: int
    reason: str


def find_changes(x: ArrayLike, inflation: float | None = None) -> Changes:
    """The changes of a series, shape (rows,); ``inflation``: I, if it is known.

    Raises:
        ValueError: a value is not finite.
    """
    values = checked(x)
    reason = undefined(values)
    if reason:
        return Changes(np.zeros(0, dtype=np.int64), np.zeros(0), math.nan, math.nan, 0, reason)
    scaled, _ = deviations(values)
    scaled = scaled / scaled.std()
    known = max(1.0, memory_inflation(scaled) if inflation is None else inflation)
    price, shortest = known * PRICE * math.log(len(scaled)), math.ceil(SHORTEST * known)
    sums = _Sums.of(scaled)
    cuts = _refined(sums, _best_cuts(sums, price, shortest), shortest)
    return Changes(cuts, _gains(sums, cuts), price, known, shortest, _doubt(len(scaled), known))


def memory_inflation(x: Series) -> float:
    """I: the median over eight stretches of what memory and tails add to a cut's chance gain, shape (rows,)."""
    shares = np.array_split(x, max(1, min(_WINDOWS, len(x) // 32)))
    return float(np.median([_inflation_of(share) for share in shares]))


def _inflation_of(x: Series) -> float:
    if undefined(x):
        return 1.0
    level = mean_with_error(x)
    if undefined((x - level.value) ** 2):
        return level.autocorrelation_time
    spread = mean_with_error((x - level.value) ** 2)
    return max(level.autocorrelation_time, len(x) * (spread.error / level.deviation**2) ** 2 / 2)


def _doubt(rows: int, inflation: float) -> str:
    needed = math.ceil(TIMES_NEEDED * inflation)
    if rows >= needed:
        return ""
    return f"{rows} rows are too few to tell memory from a change: about {needed} are needed"


@dataclass(frozen=True)
class _Sums:
    """Running sums of x and x², shape (rows + 1,)."""

    first: Series
    second: Series

    @classmethod
    def of(cls, x: Series) -> _Sums:
        return cls(np.concatenate(([0.0], np.cumsum(x))), np.concatenate(([0.0], np.cumsum(x**2))))

    @property
    def rows(self) -> int:
        return len(self.first) - 1

    def cost(self, begin: NDArray[np.int64] | int, end: NDArray[np.int64] | int) -> Series:
        """n log s² of the stretches [begin, end)."""
        count = np.asarray(end - begin, dtype=np.float64)
        mean = (self.first[end] - self.first[begin]) / count
        variance = (self.second[end] - self.second[begin]) / count - mean**2
        return np.asarray(count * np.log(np.maximum(variance, _SMALLEST)), dtype=np.float64)


def _best_cuts(sums: _Sums, price: float, shortest: int) -> Rows:
    """The cheapest cuts on the grid, first rows of stretches, shape (cuts,)."""
    if sums.rows < 2 * shortest:
        return np.zeros(0, dtype=np.int64)
    edges = np.unique(np.linspace(0, sums.rows, min(MOST_BLOCKS, sums.rows) + 1).astype(np.int64))
    cheapest, before = np.full(len(edges), np.inf), np.zeros(len(edges), dtype=np.int64)
    cheapest[0] = -price
    reach = np.searchsorted(edges, edges - shortest, side="right")  # how many edges lie far enough back
    for end in np.flatnonzero(edges >= shortest):
        total = cheapest[: reach[end]] + sums.cost(edges[: reach[end]], edges[end]) + price
        before[end] = int(np.argmin(total))
        cheapest[end] = total[before[end]]
    return edges[_walked_back(before, len(edges) - 1)]


def _walked_back(before: Rows, end: int) -> Rows:
    places: list[int] = []
    while before[end] > 0:
        end = int(before[end])
        places.append(end)
    return np.array(places[::-1], dtype=np.int64)


def _refined(sums: _Sums, cuts: Rows, shortest: int) -> Rows:
    """Each cut at the best row between its neighbours and at most two blocks away."""
    reach = 2 * math.ceil(sums.rows / MOST_BLOCKS)
    moved = cuts.copy()
    for place, cut in enumerate(cuts):
        low = int(moved[place - 1]) if place else 0
        high = int(cuts[place + 1]) if place + 1 < len(cuts) else sums.rows
        rows = np.arange(max(low + shortest, cut - reach), min(high - shortest, cut + reach) + 1)
        if len(rows):
            moved[place] = rows[int(np.argmin(sums.cost(low, rows) + sums.cost(rows, high)))]
    return moved


def _gains(sums: _Sums, cuts: Rows) -> Series:
    edges = np.concatenate(([0], cuts, [sums.rows])).astype(np.int64)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return sums.cost(low, high) - sums.cost(low, middle) - sums.cost(middle, high)

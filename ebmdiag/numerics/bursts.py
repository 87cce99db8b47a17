"""Sudden rises of a positive series above its own level of just before.

The rows are cut into blocks. Each row is compared with the median of the block before its own,

    w[t] = x[t] / median(previous block) - 1,

and a row is part of a burst where w exceeds both ``spreads`` robust deviations of all w (median |w| / 0.6745) and
``factor`` - 1. So a slow change, or a memory of any length, widens its own measure; a Gaussian series leaves ten of
its deviations once in 10²³ rows. Rows of one burst lie less than a block apart. The first tenth is not looked at:
there r climbs from its start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.noise import median_spread
from ebmdiag.numerics.scaling import Series

_BLOCKS = 100
_SHORTEST = 20
_START = 0.1


@dataclass(frozen=True)
class Bursts:
    """Where bursts begin (rows, shape (bursts,)), the highest x over its level, shape (bursts,), and the threshold.

    ``reason``: why none could be sought; empty if they could.
    """

    first: NDArray[np.int64]
    height: Series
    threshold: float
    reason: str


def find_bursts(x: Series, factor: float, spreads: float) -> Bursts:
    """Bursts of a finite series that is not negative, shape (rows,)."""
    none: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    count = min(_BLOCKS, len(x) // _SHORTEST)
    if count < 4:
        reason = f"{len(x)} rows are too few: at least {4 * _SHORTEST} are needed"
        return Bursts(none, np.zeros(0), math.nan, reason)
    edges = np.linspace(0, len(x), count + 1).astype(np.int64)
    levels = np.array([np.median(x[low:high]) for low, high in pairwise(edges[:-1])])
    if not (levels > 0).all():
        return Bursts(none, np.zeros(0), math.nan, "its level is 0 in places")
    rise = x[edges[1] :] / np.repeat(levels, np.diff(edges[1:])) - 1
    threshold = 1 + max(spreads * median_spread(rise), factor - 1)
    rows = edges[1] + np.flatnonzero(rise > threshold - 1)
    rows = rows[rows >= _START * len(x)]
    begins = np.flatnonzero(np.diff(rows, prepend=-len(x)) > len(x) // count)
    heights = 1 + rise[rows - edges[1]]
    highest = np.maximum.reduceat(heights, begins) if len(begins) else np.zeros(0)
    return Bursts(rows[begins], highest, threshold, "")

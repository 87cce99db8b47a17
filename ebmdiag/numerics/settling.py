"""Has a series settled, when, and how fast did it relax? Block means against the mean of the end of the record.

Let m be the mean of the late share of the rows and h = tolerance · |m|. The record is cut into K blocks of b rows,
whose means have the error e = s √(tau / b), with s and tau of what a straight line leaves of the late rows. The
series has settled at the first row after the last block that lies outside m ± h. K is at most 100, and as large as 5
e <= h allows: more blocks than that leave the tolerance by chance. The step is uncertain by the blocks that lie
outside with certainty (by more than h + z e), which bound it from below, and those that may lie outside (by more than
h - z e), from above.

Relaxation: the block means are fitted by m' + A · (mean of e^{-t/T} over the block), least squares in m' and A, by
a scan in T. Its interval holds the T whose sum of squares exceeds the best by less than z² s_b²: the profile
likelihood, s_b² being the larger of e² and the mean square that is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.mean import Mean, mean_with_error
from ebmdiag.numerics.scaling import Series

MOST_BLOCKS = 100
FEWEST_BLOCKS = 10
_BLOCK_TIMES = 10  # rows of a block in autocorrelation times, so that block means are nearly independent
_TELLING = 5.0  # errors of a block mean in the tolerance: fewer, and blocks leave it by chance
_SCAN = 400
_CLEAR = 20.0  # what A and T must gain over a constant, in units of s_b²; chance gains 14 in one of 1,000 fits
_MISFIT = 4.0


@dataclass(frozen=True)
class Blocks:
    """Means of consecutive blocks: edges in rows, shape (K + 1,), means, shape (K,), and the late rows' mean.

    ``error``: of one block's mean. ``crowded``: the rows allow fewer than 10 blocks of 10 autocorrelation times.
    """

    edges: NDArray[np.int64]
    means: Series
    late: Mean
    error: float
    crowded: str


@dataclass(frozen=True)
class Settling:
    """First settled row and its bounds (None: the series has not settled in time); ``reason``: doubt, or why not."""

    row: int | None
    low: int | None
    high: int | None
    reason: str


@dataclass(frozen=True)
class Relaxation:
    """T with its interval in rows, amplitude A, level m'; ``reason``: why undefined (NaN) or doubtful."""

    time: float
    low: float
    high: float
    amplitude: float
    level: float
    reason: str


def late_rows(rows: int, share: float) -> int:
    """The first of the late rows."""
    return min(rows - 1, rows - math.ceil(share * rows))


def blocks_of(x: Series, late_share: float, tolerance: float) -> Blocks:
    """Block means of a finite series of at least 50 rows, shape (rows,)."""
    rows = x[late_rows(len(x), late_share) :]
    late, noise = mean_with_error(rows), mean_with_error(_without_line(rows))
    time = noise.autocorrelation_time if noise.autocorrelation_time >= 1 else 1.0
    unit = noise.deviation * math.sqrt(time)
    quiet = len(x) * (tolerance * abs(late.value) / (_TELLING * unit)) ** 2 if unit > 0 else math.inf
    allowed = len(x) / (_BLOCK_TIMES * time)
    count = int(max(FEWEST_BLOCKS, min(MOST_BLOCKS, quiet, allowed)))
    edges = np.linspace(0, len(x), count + 1).astype(np.int64)
    means = np.add.reduceat(x, edges[:-1]) / np.diff(edges)
    return Blocks(edges, means, late, unit * math.sqrt(count / len(x)), _crowding(len(x), time, quiet))


def _without_line(x: Series) -> Series:
    """What a straight line leaves: a drift is no noise."""
    place = np.arange(len(x)) - (len(x) - 1) / 2
    centred = x - x.mean()
    return np.asarray(centred - place * (float(place @ centred) / max(float(place @ place), 1.0)), dtype=np.float64)


def _crowding(rows: int, time: float, quiet: float) -> str:
    if rows < FEWEST_BLOCKS * _BLOCK_TIMES * time:
        needed = math.ceil(FEWEST_BLOCKS * _BLOCK_TIMES * time)
        return f"{rows} rows are too few for {FEWEST_BLOCKS} blocks: about {needed} are needed"
    if quiet < FEWEST_BLOCKS:
        return "block means vary by more than a fifth of the tolerance: chance alone may leave it"
    return ""


def settling(blocks: Blocks, tolerance: float, z: float) -> Settling:
    """When the block means come to stay within the tolerance (a share of the late mean)."""
    distance, half = np.abs(blocks.means - blocks.late.value), tolerance * abs(blocks.late.value)
    rows = [_after_last(blocks, distance > half + shift * blocks.error) for shift in (0.0, z, -z)]
    row, low, high = rows
    late = blocks.edges[-1] - len_late(blocks)
    if row > late:
        reason = "it has not come to stay within the tolerance before the late rows"
        return Settling(None, low, None, blocks.crowded or reason)
    return Settling(row, low, min(high, int(blocks.edges[-1])), blocks.crowded)


def len_late(blocks: Blocks) -> int:
    """Rows of the last quarter: what has to be settled for the rest to be called so."""
    return int(blocks.edges[-1]) // 4


def _after_last(blocks: Blocks, outside: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(outside)
    return int(blocks.edges[places[-1] + 1]) if len(places) else 0


def relaxation(blocks: Blocks, z: float) -> Relaxation:
    """Exponential relaxation of the block means; ``z`` of the interval of T."""
    size = float(np.abs(blocks.means).max()) or 1.0  # so that no square of a huge value overflows
    found = _relaxation(replace(blocks, means=blocks.means / size, error=blocks.error / size), z)
    return replace(found, amplitude=found.amplitude * size, level=found.level * size)


def _relaxation(blocks: Blocks, z: float) -> Relaxation:
    rows = float(blocks.edges[-1])
    times = np.geomspace(rows / len(blocks.means) / 4, 4 * rows, _SCAN)
    fits = np.array([_fit(blocks, time) for time in times])
    best = int(np.argmin(fits[:, 0]))
    left, level, amplitude = (float(value) for value in fits[best])
    noise = max(blocks.error**2, left / (len(blocks.means) - 3))
    alone = float(((blocks.means - blocks.means.mean()) ** 2).sum())
    if not alone - left > _CLEAR * noise:
        return Relaxation(math.nan, math.nan, math.nan, math.nan, level, "no relaxation is to be seen")
    inside = np.flatnonzero(fits[:, 0] <= left + z**2 * noise)
    doubt = _relaxation_doubt(blocks, left, int(inside[-1]), float(times[best]), rows)
    low, high = float(times[max(0, inside[0] - 1)]), float(times[min(_SCAN - 1, inside[-1] + 1)])
    return Relaxation(float(times[best]), low, high, amplitude, level, doubt)


def _relaxation_doubt(blocks: Blocks, left: float, last: int, time: float, rows: float) -> str:
    if last == _SCAN - 1 or time > rows / 3:
        return "the record is shorter than three relaxation times"
    if left > _MISFIT * blocks.error**2 * (len(blocks.means) - 3):
        return "the course is not that of one exponential"
    return blocks.crowded


def _fit(blocks: Blocks, time: float) -> tuple[float, float, float]:
    """Sum of squares, level and amplitude of the best fit for one T."""
    faded = np.exp(-blocks.edges / time)
    shape = time * (faded[:-1] - faded[1:]) / np.diff(blocks.edges)
    centred, means = shape - shape.mean(), blocks.means - blocks.means.mean()
    power = float(centred @ centred)
    amplitude = float(centred @ means) / power if power > 0 else 0.0
    rest = means - amplitude * centred
    return float(rest @ rest), float(blocks.means.mean() - amplitude * shape.mean()), amplitude

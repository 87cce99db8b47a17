"""Where does the mean of a series jump? Cumulative sums against a Brownian bridge, in seeded intervals.

In one interval of n values, with S_k = sum_{t<k} (x_t - mean) and the long-run variance Ω (numerics.low_frequency),

    C = max_k |S_k| / √(n Ω)  →  sup |bridge|,   P(sup > c) = 2 sum_{i>=1} (-1)^{i-1} exp(-2 i² c²)

(Ploberger and Krämer 1992, Econometrica 60:271; the law is Kolmogorov's). Ω is measured without the step at the
largest sum, from B numbers, and the law is averaged over the chi-squared of such an Ω: else short records alarm too
often.

Several jumps hide each other in one interval. So all intervals of Kovács, Bühlmann, Li and Munk 2023 (Biometrika
110:249) are tested: lengths n, n/2, n/4 …, each layer with half overlap; a jump is taken from the shortest interval
that shows one (Baranowski, Chen and Fryzlewicz 2019, J. R. Stat. Soc. B 81:649), and intervals that hold it are left
out. Bonferroni over layers, and over the intervals of a layer, keeps the chance of any false jump below ``alpha``. A
drift is not constant mean either: it shows as jumps.

One far value is no jump, but no bridge either. So what lies more than 5 robust standard deviations from the median of
its nine neighbours is brought to there first (a jump, however high, moves that median along).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.low_frequency import Slow, cosine_weights, largest_sum, noise_without, slow, step
from ebmdiag.numerics.mean import TIMES_NEEDED
from ebmdiag.numerics.scaling import Series

_SHORTEST = 64  # values in an interval
_LAYERS = 5
_NODES = 256
_NO_TIME = 1e-12  # a step without noise has no memory at all
_FAR, _NEIGHBOURS = 5.0, 9
_DEVIATION = 1.4826  # of a normal law, over the median of its absolute deviations
_SMALLEST, _SMALLEST_SUM = 0.05, 20.0  # of the variance: under integral action Ω is 0, and a bounded sum is no bridge
_TIMES_IN_PART = 100  # the memory seen in a short part is too short; so many autocorrelation times are safe


@dataclass(frozen=True)
class Cusum:
    """Values before the largest sum, the difference of the means after and before it, and p of a constant mean.

    ``times``: how many autocorrelation times the record holds; the size holds from 50 on.
    """

    place: int
    shift: float
    p_value: float
    times: float


@dataclass(frozen=True)
class Change:
    """A jump of the mean: index of the first row after it, its size, p after Bonferroni."""

    row: int
    shift: float
    p_value: float


def cusum(x: ArrayLike) -> Cusum:
    """Test a series, shape (rows,), for one jump of its mean; ``place`` counts rows.

    Raises:
        ValueError: as :func:`~ebmdiag.numerics.low_frequency.slow`.
    """
    return cusum_of(slow(x), offset=len(np.asarray(x)))


def cusum_of(series: Slow, *, offset: int) -> Cusum:
    """The test of a series whose slow movements are known already; ``offset``: rows of the whole series."""
    blocks = series.blocks
    place, largest = largest_sum(blocks)
    shape = step(len(blocks), place)
    along = cosine_weights(shape - shape.mean(), len(series.weights))
    variance, freedom = noise_without(series.weights, along / float(np.linalg.norm(along)))
    variance = max(variance, float(blocks.var()) * max(_SMALLEST, _SMALLEST_SUM / len(blocks)))
    shift = math.ldexp(float(blocks[place:].mean() - blocks[:place].mean()), series.exponent)
    skipped = offset - series.rows
    p_value = bridge_p(largest / math.sqrt(len(blocks) * variance), freedom) if variance > 0 else 0.0
    return Cusum(skipped + place * series.rows_per_block, shift, p_value, series.rows / max(series.time, _NO_TIME))


def bridge_p(statistic: float, freedom: int) -> float:
    """P(sup |bridge| > statistic · √(χ²/freedom)): Kolmogorov's law for a variance known from ``freedom`` numbers."""
    from scipy.special import chdtri, kolmogorov

    edge = (np.arange(_NODES) + 0.5) / _NODES
    lower = edge**4  # nodes crowd where the variance comes out small: there lie the false alarms
    chi = chdtri(freedom, 1 - lower) / freedom
    return float(np.clip((kolmogorov(statistic * np.sqrt(chi)) * 4 * edge**3).mean(), 0, 1))


def change_points(x: ArrayLike, *, alpha: float = 0.01) -> list[Change]:
    """All jumps of the mean of a series, shape (rows,), in order; a false one with probability at most ``alpha``.

    Intervals shorter than 100 autocorrelation times (the whole: 50) are not judged. Places are exact to
    ``rows // 2^13 + 1`` rows.

    Raises:
        ValueError: as :func:`~ebmdiag.numerics.low_frequency.slow`.
    """
    return change_points_of(slow(x), offset=len(np.asarray(x)), alpha=alpha)


def change_points_of(series: Slow, *, offset: int, alpha: float = 0.01) -> list[Change]:
    """The jumps of a series whose slow movements are known already; ``offset``: rows of the whole series."""
    series = replace(series, blocks=_without_far(series.blocks))
    found = _narrowest(_significant(series.blocks, alpha))
    skipped = offset - series.rows
    return [
        Change(skipped + place * series.rows_per_block, shift, p_value)
        for place, shift, p_value in _sized(series, sorted(found))
    ]


def _without_far(blocks: Series) -> Series:
    """The values with those far from their neighbours brought nearer; as they are where most do not vary."""
    from scipy.ndimage import median_filter

    middle = median_filter(blocks, size=_NEIGHBOURS, mode="nearest")
    away = blocks - middle
    reach = _FAR * _DEVIATION * float(np.median(np.abs(away)))
    return blocks if reach == 0 else np.asarray(middle + np.clip(away, -reach, reach), dtype=np.float64)


def seeded_intervals(length: int) -> list[list[tuple[int, int]]]:
    """Layers of intervals (first, last + 1) of at least 64 values.

    Example:
        >>> [len(layer) for layer in seeded_intervals(1000)]
        [1, 3, 7, 15]
    """
    layers = []
    for layer in range(_LAYERS):
        size = length / 2**layer
        if layer and size < _SHORTEST:
            break
        starts = np.arange(2 ** (layer + 1) - 1) * size / 2
        layers.append([(round(start), min(length, round(start + size))) for start in starts])
    return layers


def _significant(blocks: Series, alpha: float) -> list[tuple[int, int, int, float]]:
    """First, end, place and corrected p of each interval that shows a jump."""
    layers = seeded_intervals(len(blocks))
    found = []
    for layer in layers:
        for first, end in layer:
            test = _interval(blocks[first:end], TIMES_NEEDED if end - first == len(blocks) else _TIMES_IN_PART)
            p_value = 1.0 if test is None else min(1.0, test.p_value * len(layers) * len(layer))
            if test is not None and p_value < alpha:
                found.append((first, end, first + test.place, p_value))
    return found


def _interval(part: Series, times: int) -> Cusum | None:
    """The test in one interval; None where it is too short for its memory, or constant."""
    try:
        test = cusum(part)
    except ValueError:
        return None
    return test if test.times >= times else None


def _narrowest(found: list[tuple[int, int, int, float]]) -> list[tuple[int, float]]:
    chosen: list[tuple[int, float]] = []
    rest = sorted(found, key=lambda item: (item[1] - item[0], item[3]))
    while rest:
        _, _, place, p_value = rest[0]
        chosen.append((place, p_value))
        rest = [item for item in rest if not item[0] < place < item[1]]
    return chosen


def _sized(whole: Slow, places: list[tuple[int, float]]) -> list[tuple[int, float, float]]:
    """With the difference of the means of the stretches after and before each."""
    edges = [0, *(place for place, _ in places), len(whole.blocks)]
    means = [float(whole.blocks[low:high].mean()) for low, high in pairwise(edges)]
    return [
        (place, math.ldexp(means[i + 1] - means[i], whole.exponent), p_value)
        for i, (place, p_value) in enumerate(places)
    ]

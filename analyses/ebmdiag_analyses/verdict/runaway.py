"""Does d, or r, run away? Seen in the summary's 240 bins of each: the lowest, the mean and the highest value of a bin.

The size of a bin is |d| at its farthest from 0, or the mean of r, which is above 0: its own level, not its noise, is
the unit. A column explodes if, at the end (the last twentieth of the bins, at least 3), its size is many times the
usual one (the median over the bins) and still grows there: of the last tenth of the bins, cut in three, each third
lies above the one before. A pole outside the unit circle does so at a steady pace; a step to another level, a burst
that has ended or a youth in which everything grew does not. Below ``limits.fewest`` rows the beginning is all there
is, and nothing is said.

d collapses (d → -∞, which Nijkamp et al. 2020 meet without noise on the data) if its mean over the last quarter lies
many standard deviations of its row-to-row noise below 0, and the quarters fall without slowing down. The noise is
taken from successive differences of the bins' means, median |difference| / 0.954 for white noise, times √(rows a bin):
a trend does not count as noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ebmdiag_analyses.verdict.reading import Results, Series, column, table

_FEWEST_BINS = 20
_END, _LATE, _THIRDS = 0.05, 0.1, 3
_POSITIVE = ("r_t",)
_FALLS, _SLOWING = 3, 0.5
_MEDIAN_DIFFERENCE = 0.6745 * np.sqrt(2)


@dataclass(frozen=True)
class Growth:
    """How the end of a series compares.

    Attributes:
        usual: size at the end over the median size.
        within: growth from the first to the last third of the last tenth, at the slower of its two paces.
        downward: whether the end lies below 0 and stays there.
    """

    usual: float
    within: float
    downward: bool


def growth(results: Results, name: str) -> Growth | None:
    """Growth of a column at its end; None where the summary has no bins of it, or too few."""
    bins = table(results, "summary", f"series:{name}")
    low, mean, high = (column(bins, key) for key in ("low", "mean", "high"))
    if low is None or mean is None or high is None or len(mean) < _FEWEST_BINS:
        return None
    size = mean if name in _POSITIVE else np.maximum(np.abs(low), np.abs(high))
    last = max(3, round(_END * len(size)))
    end = size[-last:]
    downward = bool((mean[-last:] < 0).all() and np.median(np.abs(mean[-last:])) > np.median(end) / 2)
    return Growth(_ratio(float(np.median(end)), float(np.median(size))), _within(size), downward)


def _within(size: Series) -> float:
    """The lower median of each third: a step that falls into one of them moves it to one side only."""
    late = size[-max(2 * _THIRDS, round(_LATE * len(size))) :]
    levels = [float(np.quantile(part, 0.5, method="lower")) for part in np.array_split(late, _THIRDS)]
    paces = [_ratio(after, before) for before, after in pairwise(levels)]
    return min(paces) ** len(paces) if min(paces) > 0 else 0.0


def _ratio(end: float, other: float) -> float:
    return end / other if other > 0 else 1.0


def fall(results: Results) -> float | None:
    """How many sd of d's noise its last quarter lies below 0, if it goes on falling; 0 if not; None if unknown."""
    result, bins = results.get("summary"), table(results, "summary", "series:d_s_t")
    mean = column(bins, "mean")
    if result is None or mean is None or len(mean) < _FEWEST_BINS:
        return None
    quarters = np.array([part.mean() for part in np.array_split(mean, 4)])
    falls = -np.diff(quarters)
    rows = float(result.settings.get("measured", {}).get("d_s_t", result.rows)) / len(mean)
    noise = float(np.median(np.abs(np.diff(mean)))) / _MEDIAN_DIFFERENCE * np.sqrt(max(rows, 1.0))
    if quarters[-1] >= 0 or noise <= 0 or (falls <= 0).any() or falls[-1] < _SLOWING * falls[-2]:
        return 0.0
    return float(-quarters[-1] / noise)

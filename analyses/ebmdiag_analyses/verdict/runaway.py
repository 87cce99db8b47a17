"""Does d, or r, run away? Seen in the summary's 240 bins of each: the lowest, the mean and the highest value of a bin.

The reach of a bin is the largest distance of its values from the series' median. It explodes if, at the end (the last
twentieth of the bins, at least 3), it is many times the usual one (the median over the bins) and more than shortly
before (the bins from three quarters on): a burst that has ended, or a youth in which everything grew, is no explosion.

d collapses (d → -∞, which Nijkamp et al. 2020 meet without noise on the data) if its mean over the last quarter lies
many standard deviations of its row-to-row noise below 0, and the quarters fall without slowing down. The noise is
taken from successive differences of the bins' means, median |difference| / 0.954 for white noise, times √(rows a bin):
a trend does not count as noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebmdiag_analyses.verdict.reading import Results, Series, column, table

_FEWEST_BINS = 20
_END, _BEFORE, _BEFORE_END = 0.05, 0.75, 0.9
_FALLS, _SLOWING = 3, 0.5
_MEDIAN_DIFFERENCE = 0.6745 * np.sqrt(2)


@dataclass(frozen=True)
class Growth:
    """How the end of a series compares.

    Attributes:
        usual: reach at the end over the median reach.
        recent: reach at the end over the reach shortly before.
        downward: whether the end lies below 0 and stays there.
    """

    usual: float
    recent: float
    downward: bool


def growth(results: Results, name: str) -> Growth | None:
    """Growth of a column at its end; None where the summary has no bins of it, or too few."""
    bins = table(results, "summary", f"series:{name}")
    low, mean, high = (column(bins, key) for key in ("low", "mean", "high"))
    if low is None or mean is None or high is None or len(mean) < _FEWEST_BINS:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        centre = float(np.median(mean))
        reach = np.maximum(np.abs(low - centre), np.abs(high - centre))
    last = max(3, round(_END * len(reach)))
    end, before = reach[-last:], reach[int(_BEFORE * len(reach)) : int(_BEFORE_END * len(reach))]
    downward = bool((mean[-last:] < 0).all() and np.median(np.abs(mean[-last:])) > np.median(end) / 2)
    return Growth(_ratio(end, reach), _ratio(end, before), downward)


def _ratio(end: Series, other: Series) -> float:
    usual = float(np.median(other))
    return float(np.median(end)) / usual if usual > 0 else 1.0


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

"""A long series in at most a thousand bins that hide no spike.

Rows are cut into bins of (nearly) equal count; each keeps its smallest and largest value and its mean. A line
through the means with the band from smallest to largest looks like the full line drawn at the same width. The
running mean at a bin is the mean of the rows of the neighbouring bins; windows are cut off at the ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

BINS = 1000
_WINDOW_SHARE = 50  # a running mean over 1/50 of the rows


@dataclass(frozen=True)
class Envelope:
    """Arrays of shape (bins,); a bin without a finite value holds NaN.

    Attributes:
        first, last: the steps that a bin spans.
        low, high, mean: of its finite values.
        running: running mean over ``window`` rows.
        missing: how many values of the series are absent or not finite.
    """

    column: str
    first: Steps
    last: Steps
    low: Floats
    high: Floats
    mean: Floats
    running: Floats
    rows: int
    window: int
    missing: int

    @property
    def binned(self) -> bool:
        """Whether a bin holds more than one row."""
        return self.rows > len(self.low)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; what is not finite becomes null."""
        arrays = {name: getattr(self, name) for name in ("low", "high", "mean", "running")}
        return {
            "rows": self.rows,
            "missing": self.missing,
            "running_mean_window": self.window,
            "first_step": self.first.tolist(),
            "last_step": self.last.tolist(),
            **{name: [v if np.isfinite(v) else None for v in values.tolist()] for name, values in arrays.items()},
        }


def envelope(column: str, steps: Steps, values: Floats, bins: int = BINS) -> Envelope:
    """Bin a series.

    Args:
        column: its name.
        steps: iteration numbers, shape (rows,), at least one row.
        values: shape (rows,); NaN where absent.
        bins: at most so many.
    """
    rows = len(steps)
    count = min(bins, rows)
    starts = np.linspace(0, rows, count + 1).astype(np.int64)[:-1]
    ends = np.append(starts[1:], rows)
    known = np.where(np.isfinite(values), values, np.nan)
    finite = np.isfinite(known)
    numbers = np.add.reduceat(finite.astype(np.int64), starts)
    scale = float(np.max(np.abs(known), where=finite, initial=0.0)) or 1.0  # so that no sum overflows
    sums = np.add.reduceat(np.where(finite, known, 0.0) / scale, starts)
    running, half = _running_mean(sums, numbers)
    return Envelope(
        column=column,
        first=steps[starts],
        last=steps[ends - 1],
        low=np.fmin.reduceat(known, starts),
        high=np.fmax.reduceat(known, starts),
        mean=_ratio(sums, numbers) * scale,
        running=running * scale,
        rows=rows,
        window=round((2 * half + 1) * rows / count),
        missing=int(rows - finite.sum()),
    )


def _ratio(sums: Floats, numbers: NDArray[np.int64]) -> Floats:
    ratio = np.full(len(sums), np.nan)
    np.divide(sums, numbers, out=ratio, where=numbers > 0)
    return ratio


def _running_mean(sums: Floats, numbers: NDArray[np.int64]) -> tuple[Floats, int]:
    """Mean over the bins at most ``half`` away; no cumulative sum, which one huge value would spoil for the rest."""
    half = len(sums) // _WINDOW_SHARE // 2
    total, count = sums.copy(), numbers.copy()
    for shift in range(1, half + 1):
        total[shift:] += sums[:-shift]
        total[:-shift] += sums[shift:]
        count[shift:] += numbers[:-shift]
        count[:-shift] += numbers[shift:]
    return _ratio(total, count), half

"""Has d settled about 0? Shown within a margin, and not just not refuted.

Two one-sided tests (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657): the interval of d's mean, with the error that
its autocorrelation gives it, lies within the margin. The halves of the trace, from the summary's bins, have the same
mean within that margin, and the same spread within a factor. And no burst dominates: the tenth of the bins that reaches
farthest from the median holds no more than a share of the sum of the squared reaches (about 0.4 for white noise of
one row a bin, less for more rows); what correlations say of such a trace they say of the burst.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ebmdiag_analyses.verdict.limits import Limits
from ebmdiag_analyses.verdict.reading import Results, column, estimate, table, value

_FEWEST_BINS, _BURST = 20, 10.0
_TIMES = 50  # autocorrelation times that a mean needs (Sokal 1997; emcee)


@dataclass(frozen=True)
class Settling:
    """Whether d has settled.

    Attributes:
        share: mean of d over its sd; None where there is none.
        reason: why it is not shown to have settled; empty where it is.
        half: half the width of the interval of ``share``.
        more: rows that would decide; None where rows alone do not.
        after: the step after a burst that dominates; None where there is none.
    """

    share: float | None
    reason: str
    more: int | None = None
    half: float = 0.0
    after: int | None = None


def settling(results: Results, limits: Limits) -> Settling:
    """From the summary of d."""
    mean, deviation = estimate(results, "summary", "d_s_t:mean"), value(results, "summary", "d_s_t:sd")
    if mean is None or mean.value is None:
        return Settling(None, "the summary of d_s_t is missing")
    if not deviation:
        return Settling(None, "d_s_t is constant")
    share, rows = mean.value / deviation, results["summary"].rows
    changed = _changed(results, limits, deviation)
    if changed:
        return Settling(share, changed)
    error = value(results, "summary", "d_s_t:error")
    if error is None or not mean.reliable:
        tau = value(results, "summary", "d_s_t:tau")
        needed = None if tau is None else max(0, math.ceil(_TIMES * tau) - rows)
        return Settling(share, f"the mean of d_s_t is not known well: {mean.reason}", needed or None)
    return _within(share, NormalDist().inv_cdf(limits.level) * error / deviation, rows, limits)


def burst(results: Results, limits: Limits) -> Settling:
    """Whether few rows dominate d, and where; no reason where they do not."""
    bins = table(results, "summary", "series:d_s_t")
    low, mean, high = (column(bins, key) for key in ("low", "mean", "high"))
    steps = column(bins, "step")
    if low is None or mean is None or high is None or steps is None or len(mean) < _FEWEST_BINS:
        return Settling(None, "")
    centre = float(np.median(mean))
    reach = np.maximum(np.abs(low - centre), np.abs(high - centre))
    squares = (reach / max(float(reach.max()), 1e-300)) ** 2
    farthest = np.argsort(squares)[-(len(squares) // 10) :]
    share = float(squares[farthest].sum() / max(float(squares.sum()), 1e-300))
    if share <= limits.dominated:
        return Settling(None, "")
    last = int(steps[farthest[squares[farthest] > _BURST * np.median(squares)].max(initial=0)])
    return Settling(
        None,
        f"a burst dominates d_s_t: {share:.0%} of its squares lie in a tenth of the trace, the last at step {last}",
        after=last + 1,
    )


def _within(share: float, half: float, rows: int, limits: Limits) -> Settling:
    if abs(share) + half < limits.balance:
        return Settling(share, "", half=half)
    kind = "expansion" if share < 0 else "contraction"
    if abs(share) - half > limits.balance:
        return Settling(share, f"{kind} prevails: the mean of d_s_t is {share:+.2f} of its sd")
    more = _more(share, half, rows, limits.balance)
    return Settling(share, f"the mean of d_s_t, {share:+.2f} of its sd, is not shown to lie within the margin", more)


def _more(share: float, half: float, rows: int, margin: float) -> int | None:
    """Rows that would show the mean to lie within the margin, if it is what it seems; None where it seems not to."""
    room = margin - abs(share)
    return max(1, math.ceil(rows * (half / room) ** 2) - rows) if room > 0 else None


def off_balance(settled: Settling, rows: int, limits: Limits) -> Settling:
    """Whether a settled d is too far from 0, within its error, to be called stable; no reason where it is not."""
    share, half, margin = settled.share or 0.0, settled.half, limits.stable_balance
    if abs(share) + half < margin:
        return settled
    kind = "expansion" if share < 0 else "contraction"
    more = _more(share, half, rows, margin)
    said = f"{kind} prevails a little" if abs(share) - half > margin else "balance is not shown"
    reason = f"{said}: the mean of d_s_t is {share:+.2f} ± {half:.2g} of its sd, and stable needs less than {margin:g}"
    return Settling(share, reason, more, half)


def _changed(results: Results, limits: Limits, deviation: float) -> str:
    """How the halves differ; empty where they agree."""
    bins = table(results, "summary", "series:d_s_t")
    low, mean, high = (column(bins, key) for key in ("low", "mean", "high"))
    if low is None or mean is None or high is None or len(mean) < 4:
        return ""
    first, second = (float(part.mean()) for part in np.array_split(mean, 2))
    if abs(second - first) > limits.balance * deviation:
        return f"the mean of d_s_t moves from {first:.3g} to {second:.3g} between the halves"
    spreads = [_spread(*halves) for halves in zip(*(np.array_split(x, 2) for x in (low, mean, high)), strict=True)]
    smaller, larger = sorted(spreads)
    if larger > limits.spread * smaller:
        return f"the spread of d_s_t changes by a factor of {larger / smaller:.2g} between the halves"
    return ""


def _spread(low: np.ndarray, mean: np.ndarray, high: np.ndarray) -> float:
    """Median size of a bin: its range, or its distance from the median where a bin is one row."""
    size = float(np.median(high - low))
    return max(size if size > 0 else float(np.median(np.abs(mean - np.median(mean)))), 1e-300)

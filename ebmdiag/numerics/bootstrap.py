"""Errors without a model: stretches of the record drawn with replacement keep the memory within them.

``moving`` draws blocks of equal length b (Künsch 1989, Ann. Stat. 17:1217), ``stationary`` blocks of geometric length
with mean b, on a circle (Politis and Romano 1994, J. Am. Stat. Assoc. 89:1303). The automatic b minimizes the mean
square error of the variance of the mean (Politis and White 2004, Econometric Reviews 23:53, with the correction of
Patton, Politis and White 2009, 28:372):

    b = (2 G² n / D)^{1/3},  G = sum_k λ(k/M) |k| c_k,  g = sum_k λ(k/M) c_k,  D = 4/3 g² (moving), 2 g² (stationary),

with the autocovariance c, the flat-top window λ(s) = min(1, 2(1 - |s|)) and M twice the lag after which max(5, log10 n)
correlations in a row stay within 2 √(log10 n / n). At most min(3 √n, n / 3) rows. For AR(1) the moving b is Andrews'
bandwidth of numerics.mean. Where the running sum stays bounded (d under integral action) g tends to 0 and b to its cap.

A resampled record has seams; a product x[t+k] x[t] across a seam pulls rho_k to 0 by a share k / b. So the errors of
correlations come from stretches of the products themselves ("blocks of blocks", Künsch): no seam falls within one. To
first order in 1/√n (the delta method) an error of a correlation c_k is the mean of
    i_t = u[t+k] w[t] - c_k (u[t]² + w[t]²) / 2,      u, w of mean 0 and variance 1,
and the moving block bootstrap of a mean needs no drawing: its variance is that of the means of all stretches of b rows,
over the number n / b of blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.scaling import Series, checked, undefined, unit_vector

Kind = Literal["moving", "stationary"]
_DIVISOR = {"moving": 4 / 3, "stationary": 2.0}
_FEWEST_ROWS = 12
_NO_ERROR = 1e-9
_CHUNK = 1 << 22  # values held at a time
Rows = NDArray[np.int64]


def block_length(x: ArrayLike, kind: Kind = "moving") -> float:
    """The automatic block length of a series, shape (rows,), in rows: at least 1, not rounded.

    Raises:
        ValueError: the series is constant, shorter than 4 rows, or not finite.
    """
    values = checked(x)
    if reason := undefined(values):
        raise ValueError(reason)
    rows = len(values)
    longest = min(math.ceil(math.sqrt(rows)) + _quiet_run(rows), rows - 1)
    rho = autocorrelation(values, longest)
    window = min(2 * max(_last_seen(rho, rows), 1), longest)
    lags = np.arange(1, window + 1)
    weights = np.minimum(1.0, 2 * (1 - lags / window)) * rho[1 : window + 1]
    slope, level = 2 * float(weights @ lags), 1 + 2 * float(weights.sum())
    cap = min(3 * math.sqrt(rows), rows / 3)
    if level**2 * cap**3 <= 2 * slope**2 * rows / _DIVISOR[kind]:
        return max(1.0, cap)
    return max(1.0, float(np.cbrt(2 * slope**2 * rows / (_DIVISOR[kind] * level**2))))


def _quiet_run(rows: int) -> int:
    return max(5, int(math.log10(rows)))


def _last_seen(rho: Series, rows: int) -> int:
    """The lag after which a whole run of correlations is within the band; the last one if there is no such run."""
    seen = np.flatnonzero(np.abs(rho[1:]) > 2 * math.sqrt(math.log10(rows) / rows)) + 1
    ends = np.concatenate(([0], seen))
    gaps = np.diff(np.concatenate((ends, [len(rho)]))) - 1
    quiet = np.flatnonzero(gaps >= _quiet_run(rows))
    return int(ends[quiet[0]]) if len(quiet) else len(rho) - 1


@dataclass(frozen=True)
class Bootstrap:
    """A statistic of the record and of its resamples.

    Attributes:
        value: of the record, any shape.
        resampled: shape (resamples, *shape of value).
        block: length of the blocks, or their mean length, in rows.
    """

    value: Series
    resampled: Series
    block: float

    @property
    def error(self) -> Series:
        """Standard error, the shape of the value."""
        return np.asarray(self.resampled.std(axis=0, ddof=1), dtype=np.float64)

    def interval(self, level: float) -> tuple[Series, Series]:
        """The basic interval, 2 value - quantiles of the resamples (it turns the bias of the resamples around)."""
        ends = np.quantile(self.resampled, [(1 + level) / 2, (1 - level) / 2], axis=0)
        return 2 * self.value - ends[0], 2 * self.value - ends[1]


def bootstrap(
    statistic: Callable[..., ArrayLike],
    *series: ArrayLike,
    kind: Kind = "stationary",
    block: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Bootstrap:
    """Resample any statistic of one series or of several at the same rows.

    Args:
        statistic: takes arrays of shape (…, rows), as many as there are series, and reduces the last axis.
        series: shape (rows,) each.
        kind: ``moving`` or ``stationary``.
        block: length of the blocks; the longest automatic one of the series if None.
        resamples, seed: the same seed gives the same numbers.

    Raises:
        ValueError: the series differ in length, are constant, short or not finite, or the block does not fit.
    """
    values = [checked(x) for x in series]
    if not values or any(len(x) != len(values[0]) for x in values):
        raise ValueError("a bootstrap needs one series, or several of equal length.")
    rows = len(values[0])
    length = max(block_length(x, kind) for x in values) if block is None else float(block)
    if not 1 <= length <= rows:
        raise ValueError(f"a block must be between 1 and {rows} rows long, but is {length:g}.")
    parts = [
        np.asarray(statistic(*(x[drawn] for x in values)), dtype=np.float64)
        for drawn in _drawn(rows, length, resamples, kind, np.random.default_rng(seed))
    ]
    return Bootstrap(np.asarray(statistic(*values), dtype=np.float64), np.concatenate(parts), length)


def _drawn(rows: int, block: float, resamples: int, kind: Kind, rng: np.random.Generator) -> Iterator[Rows]:
    """Which rows make up each resample, shape (some, rows) each, as many as there are resamples together."""
    draw = _moving if kind == "moving" else _stationary
    left = resamples
    while left > 0:
        count = min(left, max(1, _CHUNK // rows))
        yield draw(rows, block, count, rng)
        left -= count


def _moving(rows: int, block: float, count: int, rng: np.random.Generator) -> Rows:
    length = round(block)
    starts = rng.integers(0, rows - length + 1, (count, -(-rows // length)))
    whole = starts[:, :, None] + np.arange(length)
    return whole.reshape(count, -1)[:, :rows]


def _stationary(rows: int, block: float, count: int, rng: np.random.Generator) -> Rows:
    """Each row follows its predecessor, or with probability 1 / block begins anew anywhere."""
    fresh = rng.random((count, rows)) < 1 / block
    fresh[:, 0] = True
    here = np.arange(rows)
    begun = np.maximum.accumulate(np.where(fresh, here, 0), axis=1)
    starts = rng.integers(0, rows, (count, rows))
    return (np.take_along_axis(starts, begun, axis=1) + here - begun) % rows


@dataclass(frozen=True)
class CorrelationErrors:
    """Standard errors at some lags and the number of blocks behind each, shape (lags,); NaN where there is none."""

    value: Series
    blocks: Series

    def half_width(self, level: float) -> Series:
        """Half of an interval, by Student's t with as many degrees of freedom as blocks, less one."""
        from scipy.special import stdtrit

        quantile = stdtrit(np.maximum(self.blocks - 1, 1.0), (1 + level) / 2)
        return np.asarray(quantile * self.value, dtype=np.float64)


def correlation_errors(
    x: ArrayLike,
    y: ArrayLike,
    lags: ArrayLike,
    *,
    centred: tuple[bool, bool] = (True, True),
    block: float | None = None,
) -> CorrelationErrors:
    """Moving block bootstrap error of corr(x[t+k], y[t]), the two series as dependent as they are.

    Args:
        x, y: shape (rows,) each; the same series twice gives the errors of an autocorrelation.
        lags: whole numbers k, shape (lags,).
        centred: whether the correlation subtracts the mean of x, and that of y.
        block: length of the blocks in rows; automatic, and another one for each lag, if None.

    Returns:
        NaN throughout if a series is constant or shorter than 12 rows, and at lags of a third of the rows or more.

    Raises:
        ValueError: the lengths differ or a value is not finite.
    """
    first, second = unit_vector(x, centred=centred[0]), unit_vector(y, centred=centred[1])
    if len(first) != len(second):
        raise ValueError(f"the series must be equally long, but have {len(first)} and {len(second)} values.")
    wanted, scale = np.asarray(lags, dtype=np.int64), math.sqrt(len(first))
    x_part, y_part = _parts(first * scale, second * scale, centred)
    squares = (first**2 + second**2) * len(first)
    found = [_error_at(x_part, y_part, squares, int(lag), block) for lag in wanted]
    errors = np.array(found, dtype=np.float64).reshape(-1, 2)
    return CorrelationErrors(errors[:, 0], errors[:, 1])


def _parts(x: Series, y: Series, centred: tuple[bool, bool]) -> tuple[Series, Series]:
    """What is multiplied: where one series is centred, the mean of the other has no part in the sum of products."""
    if not len(x):
        return x, y
    return (x - x.mean() if centred[1] else x), (y - y.mean() if centred[0] else y)


def _error_at(x: Series, y: Series, squares: Series, lag: int, block: float | None) -> tuple[float, float]:
    rows = len(x)
    if rows < _FEWEST_ROWS or 3 * abs(lag) >= rows or np.isnan(x[0]) or np.isnan(y[0]):
        return math.nan, math.nan
    influence = _influence(x, y, squares, lag)
    if np.abs(influence).max() < _NO_ERROR:  # an autocorrelation at lag 0
        return math.nan, math.nan
    length = math.ceil(block_length(influence) if block is None else block)
    return mean_error(influence, max(1, min(length, rows // 3)))


def _influence(x: Series, y: Series, squares: Series, lag: int) -> Series:
    """i_t above, shape (rows,), its mean 0."""
    rows = len(x)
    product = np.zeros(rows)
    product[max(-lag, 0) : rows - max(lag, 0)] = (
        x[max(lag, 0) : rows + min(lag, 0)] * y[max(-lag, 0) : rows - max(lag, 0)]
    )
    return np.asarray(product - product.mean() * squares / 2, dtype=np.float64)


def mean_error(x: Series, block: int) -> tuple[float, float]:
    """Moving block bootstrap error of a mean, without drawing, and the number of blocks; ``x``: shape (rows,)."""
    total = np.concatenate(([0.0], np.cumsum(x)))
    means = (total[block:] - total[:-block]) / block
    blocks = len(x) / block
    return float(means.std() / math.sqrt(blocks)), blocks

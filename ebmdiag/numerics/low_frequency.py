"""Has a series settled? Its slowest movements against the noise that its own memory explains.

    c_j = √(2/n) sum_t cos(π j (t + 1/2) / n) x_t,   j = 1 … B + 1,   t = 0 … n - 1

For a stationary series with a smooth spectrum they are independent normal numbers of one variance, the long-run
variance Ω = n Var(mean) (Müller and Watson 2008, Econometrica 76:979). So the part of a shape (a ramp, a step) in
them, over what the other B parts say of √Ω, follows Student's t with B degrees of freedom:

    t = q·c / √Ω,   q = cosine weights of the shape, of length 1,   Ω = (|c|² - (q·c)²) / B,

and the mean, with Ω = |c|² / (B + 1) (Lazarus, Lewis, Stock and Watson 2018, J. Bus. Econ. Stat. 36:541). No lag window
is involved, and the tails are those of so few numbers: the sizes are right where a normal law would be too narrow
(docs/stationarity.md). The spectrum must be flat over the B + 1 frequencies, hence

    B = min(0.4 n^{2/3}, n / (6 memory), 64), at least 3,   memory = max(tau, 1 + 2 sum rho_j²)   (numerics.mean)

of what a cubic and one step leave of the series, so that a drift is not taken for memory. Long series are first
brought to at most 2^13 means of neighbouring rows: the slow movements stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.bands import all_lags, automatic_bandwidth, later_memory, remembers_again, windowed_sum
from ebmdiag.numerics.contrast import Contrast, two_sided
from ebmdiag.numerics.mean import TIMES_NEEDED, unbiased_time
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

FEWEST_ROWS = 16
_MOST_BLOCKS = 1 << 13
_MOST_WEIGHTS, _FEWEST_WEIGHTS = 64, 3
_TIMES_A_WEIGHT = 6
_DEGREE = 3
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Slow:
    """A series at its lowest frequencies.

    Attributes:
        blocks: deviations of the block means from their mean, of unit size, shape (blocks,).
        exponent: a deviation is ``blocks`` · 2^exponent.
        rows_per_block: how many rows a mean stands for; older rows that fill no block are left out.
        deviation: standard deviation of a row about the drift (divisor n), in units of the series.
        time: autocorrelation time about the drift, in rows.
        weights: c_1 … c_{B+1} of ``blocks``.
        later: the lag, in rows, at which it remembers again after a gap (numerics.bands); None if it does not.
    """

    blocks: Series
    exponent: int
    rows_per_block: int
    deviation: float
    time: float
    weights: Series
    later: int | None = None

    @property
    def rows(self) -> int:
        """Rows that were used."""
        return len(self.blocks) * self.rows_per_block

    @property
    def needed_rows(self) -> int:
        """50 autocorrelation times."""
        return math.ceil(TIMES_NEEDED * self.time)

    @property
    def long_enough(self) -> bool:
        """Whether the sizes of the tests hold: 50 autocorrelation times, and 50 rows."""
        return self.rows >= max(self.needed_rows, TIMES_NEEDED)

    @property
    def doubt(self) -> str:
        """Why not to trust the errors; empty if they are fine."""
        if self.long_enough:
            return remembers_again(self.later)
        needed = max(self.needed_rows, TIMES_NEEDED)
        return (
            f"{self.rows} rows are {self.rows / self.time:.0f} autocorrelation times ({self.time:.3g} rows each); "
            f"about {needed} rows are needed"
        )


def slow(x: ArrayLike) -> Slow:
    """Look at the slow movements of a series, shape (rows,).

    Raises:
        ValueError: a value is not finite, fewer than 16 rows, or the series is constant.
    """
    values = checked(x)
    reason = undefined(values)
    if not reason and len(values) < FEWEST_ROWS:
        reason = f"{len(values)} rows are too few: at least {FEWEST_ROWS} are needed"
    if reason:
        raise ValueError(reason)
    scaled, exponent = deviations(values)
    blocks, size = block_means(scaled)
    rest = without_drift(blocks)
    if float(np.abs(rest).max()) < _ROUNDING:  # a drift without noise
        rest = np.zeros_like(rest)
    time, reach, later = _memory(rest)
    spread = float(rest.var())
    variance = max(float(scaled.var()) - float(blocks.var()), 0.0) + spread
    time_in_rows = size * spread * time / variance if variance > 0 else 1.0
    count = _how_many(len(blocks), max(time, reach))
    return Slow(
        blocks,
        exponent,
        size,
        math.ldexp(math.sqrt(variance), exponent),
        time_in_rows,
        cosine_weights(blocks, count),
        None if later is None else later * size,
    )


def block_means(x: Series) -> tuple[Series, int]:
    """At most 2^13 means of neighbouring values about their mean, and how many values each is of."""
    size = -(-len(x) // _MOST_BLOCKS)
    means = x[len(x) % size :].reshape(-1, size).mean(1)
    return means - means.mean(), size


def without_drift(x: Series) -> Series:
    """What least squares leave after a cubic and the step at the largest cumulative sum, shape (rows,)."""
    time = np.linspace(-1, 1, len(x))
    shapes = [time**power for power in range(_DEGREE + 1)]
    basis = np.linalg.qr(np.stack([*shapes, step(len(x), largest_sum(x)[0])], axis=1))[0]
    return np.asarray(x - basis @ (basis.T @ x), dtype=np.float64)


def largest_sum(x: Series) -> tuple[int, float]:
    """Where the cumulative sum of the deviations is largest (values before it), and its size."""
    sums = np.abs(np.cumsum(x - x.mean())[:-1])
    place = int(np.argmax(sums))
    return place + 1, float(sums[place])


def ramp(length: int) -> Series:
    """From -1/2 to +1/2, shape (length,)."""
    return np.linspace(-0.5, 0.5, length)


def step(length: int, place: int) -> Series:
    """-1/2 before ``place`` and +1/2 from it on, shape (length,)."""
    return np.where(np.arange(length) < place, -0.5, 0.5)


def cosine_weights(x: Series, count: int) -> NDArray[np.float64]:
    """c_1 … c_count, shape (count,)."""
    from scipy.fft import dct

    return np.asarray(dct(x, type=2)[1 : count + 1] / math.sqrt(2 * len(x)), dtype=np.float64)


def contrast(series: Slow, shape: Series) -> Contrast:
    """How much of ``shape``, shape (blocks,), is in the series: 3 for 3 times the shape."""
    along = cosine_weights(shape - shape.mean(), len(series.weights))
    length = float(np.linalg.norm(along))
    part = float(along @ series.weights) / length
    variance, freedom = noise_without(series.weights, along / length)
    return _contrast(series, part / length, math.sqrt(variance) / length, freedom)


def mean_contrast(series: Slow, value: float) -> Contrast:
    """The mean ``value`` of the series with its error."""
    weights = series.weights
    error = math.ldexp(math.sqrt(float(weights @ weights) / len(weights) / len(series.blocks)), series.exponent)
    return Contrast(value, error, len(weights), two_sided(value, error, len(weights)))


def noise_without(weights: Series, unit: Series) -> tuple[float, int]:
    """Ω from what is left of the weights without their part along ``unit``, and its degrees of freedom."""
    rest = weights - (unit @ weights) * unit
    freedom = len(weights) - 1
    return float(rest @ rest) / freedom, freedom


def _contrast(series: Slow, value: float, error: float, freedom: int) -> Contrast:
    p_value = two_sided(value, error, freedom)
    return Contrast(math.ldexp(value, series.exponent), math.ldexp(error, series.exponent), freedom, p_value)


def _memory(rest: Series) -> tuple[float, float, int | None]:
    """tau and 1 + 2 sum rho_j², in values, 1 and 1 where nothing is left; and the lag of a memory after a gap."""
    if undefined(rest):
        return 1.0, 1.0, None
    rho = all_lags(rest)
    memory = windowed_sum(rho**2)
    time = unbiased_time(rho, automatic_bandwidth(memory.value, len(rest)))
    return time, memory.value, later_memory(rho, memory.window, len(rest))


def _how_many(blocks: int, memory: float) -> int:
    flat = blocks / (_TIMES_A_WEIGHT * max(memory, 1.0))
    return 1 + int(max(_FEWEST_WEIGHTS, min(0.4 * blocks ** (2 / 3), flat, _MOST_WEIGHTS)))

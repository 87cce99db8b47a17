"""The slope of one series on another beside controls, with an error that knows the autocorrelation.

    y[t] = b x[t] + controls + e[t].   With x̃ what the controls (and the constant) leave of x (Frisch and Waugh 1933),

    b̂ = sum x̃ y / sum x̃²,   Var(b̂) = n Γ / (sum x̃²)²,   Γ = γ_0 + 2 sum_{j=1}^{M} (1 - j/(M+1)) γ_j,

γ_j the autocovariance (divisor n) of the score x̃ e. This is the heteroskedasticity- and autocorrelation-consistent
error of Newey and West 1987 (Econometrica 55:703) for b̂, the same number as statsmodels' ``cov_type="HAC"``. M is the
bandwidth of ebmdiag.numerics.mean for the score; its flat-top correction is used if it makes the error larger.

One row that holds much of sum x̃² (an outlier of x) decides b̂ alone, its score is near 0, and the error far too small:
above a tenth (in few rows: 15 / n, which normal x seldom passes) the slope is doubtful.

Series go through in blocks: beside the series only two of their length are held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.bands import all_lags, automatic_bandwidth, later_memory, remembers_again, windowed_sum
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.mean import autocorrelation_time, unbiased_time
from ebmdiag.numerics.scaling import Series, checked, deviations, undefined

_BLOCK = 1 << 18
_RANK = 1e-10  # of the largest: a control that the others hold already is left out
_TIMES_NEEDED = 50
_FOLLOWS = 1e-12
_LEVERAGE, _LEVERAGE_ROWS = 0.1, 15.0
_LARGEST_POWER = 960  # of 2: the slope and its error stay within float64


@dataclass(frozen=True)
class Slope:
    """b̂, its standard error, the share of the variance of y that x̃ explains, the bandwidth, rows.

    ``reason`` says why a number is undefined (NaN) or not to be trusted; empty if it is fine. ``time``: the
    autocorrelation time of the score, in rows.
    """

    value: float
    error: float
    share: float
    bandwidth: int
    rows: int
    time: float
    reason: str

    @property
    def errors(self) -> float:
        """b̂ in standard errors; infinite where the relation is exact."""
        if self.error > 0:
            return self.value / self.error
        return math.copysign(math.inf, self.value) if self.value else math.nan


def slope_with_error(
    y: ArrayLike, x: ArrayLike, controls: Sequence[ArrayLike] = (), bandwidth: int | None = None
) -> Slope:
    """Slope of y on x; all series of shape (rows,). With ``bandwidth`` given, exactly Newey and West.

    Raises:
        ValueError: lengths differ, or a value is not finite.
    """
    series = [checked(item) for item in (y, x, *controls)]
    if len({len(item) for item in series}) > 1:
        raise ValueError(f"the series must be equally long, but have {[len(item) for item in series]} rows.")
    rows = len(series[0])
    reason = _too_few(rows, len(controls)) or undefined(series[0]) or undefined(series[1])
    if reason:
        return Slope(math.nan, math.nan, math.nan, 0, rows, math.nan, reason)
    scaled = [deviations(item) if not undefined(item) else (np.zeros(rows), 0) for item in series]
    power = scaled[0][1] - scaled[1][1]
    if abs(power) > _LARGEST_POWER:
        reason = "the units of the two series are too far apart for float64"
        return Slope(math.nan, math.nan, math.nan, 0, rows, math.nan, reason)
    size = math.ldexp(1.0, power)
    return _of_scaled([item for item, _ in scaled], size, bandwidth)


def _too_few(rows: int, controls: int) -> str:
    needed = 4 * (2 + controls)
    return f"{rows} rows are too few: at least {needed} are needed" if rows < needed else ""


def _of_scaled(series: list[Series], size: float, bandwidth: int | None) -> Slope:
    """Of centred series y, x, controls; ``size``: the unit of y over that of x."""
    rows = len(series[0])
    weights = _residual_weights(series)
    left_y, left_x = _combined(series[:1] + series[2:], weights[0]), _combined(series[1:], weights[1])
    power = float(left_x @ left_x)
    if power <= _RANK * float(series[1] @ series[1]):
        reason = "the controls foretell x exactly"
        return Slope(math.nan, math.nan, math.nan, 0, rows, math.nan, reason)
    value = float(left_x @ left_y) / power
    explained = value**2 * power
    share = explained / float(series[0] @ series[0])
    left_y -= value * left_x
    if float(left_y @ left_y) <= _FOLLOWS * max(explained, float(series[0] @ series[0])):
        return Slope(size * value, 0.0, share, 0, rows, math.nan, "y follows x exactly")
    lever = _leverage(left_x, power)
    left_x *= left_y
    spread, used, time, later = _long_run(left_x, bandwidth)
    error = math.sqrt(rows * spread) / power
    reason = _doubt(rows, time) or lever or remembers_again(later, "the score of the slope remembers")
    return Slope(size * value, size * error, share, used, rows, time, reason)


def _leverage(x: Series, power: float) -> str:
    """Why one row may decide the slope, or an empty string."""
    row = int(np.argmax(np.abs(x)))
    held = float(x[row]) ** 2 / power
    if held <= max(_LEVERAGE, _LEVERAGE_ROWS / len(x)):
        return ""
    return (
        f"one value of x (number {row}) holds {held:.0%} of its variance and decides the slope: its error is too small"
    )


def _residual_weights(series: list[Series]) -> tuple[Series, Series]:
    """Coefficients of y and of x on the controls, each of shape (controls,)."""
    controls = series[2:]
    if not controls:
        return np.zeros(0), np.zeros(0)
    norms = np.array([math.sqrt(float(item @ item)) or 1.0 for item in controls])
    gram = _gram(series) / np.outer(np.r_[1, 1, norms], np.r_[1, 1, norms])
    inverse = np.linalg.pinv(gram[2:, 2:], rcond=_RANK, hermitian=True)
    return inverse @ gram[2:, 0] / norms, inverse @ gram[2:, 1] / norms


def _gram(series: list[Series]) -> NDArray[np.float64]:
    total = np.zeros((len(series), len(series)))
    for begin in range(0, len(series[0]), _BLOCK):
        block = np.stack([item[begin : begin + _BLOCK] for item in series])
        total += block @ block.T
    return total


def _combined(series: list[Series], weights: Series) -> Series:
    """The first series less the weighted others, a new array."""
    left = series[0].copy()
    for weight, item in zip(weights, series[1:], strict=True):
        left -= weight * item
    return left


def _long_run(score: Series, bandwidth: int | None) -> tuple[float, int, float, int | None]:
    """Γ, the bandwidth, Γ over the score's variance, and the lag of a memory after a gap."""
    variance = float(score @ score) / len(score)
    if undefined(score):
        return variance, 0, 1.0, None
    if bandwidth is not None:
        time = autocorrelation_time(autocorrelation(score, bandwidth), bandwidth)
        return variance * time, bandwidth, time, None
    rho = all_lags(score)
    memory = windowed_sum(rho**2)
    used = automatic_bandwidth(memory.value, len(score))
    time = unbiased_time(rho, used)
    return variance * time, used, time, later_memory(rho, memory.window, len(score))


def _doubt(rows: int, time: float) -> str:
    needed = math.ceil(_TIMES_NEEDED * max(time, 1.0))
    if rows >= needed:
        return ""
    return f"{rows} rows are fewer than {_TIMES_NEEDED} autocorrelation times; about {needed} rows are needed"

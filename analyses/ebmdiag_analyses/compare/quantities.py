"""What of a run is compared: one number a run, with the error that its own rows give it.

Every number is, to first order, a mean over rows: of the rows themselves, or of what each row adds to a spread or a
correlation (delta method). So its error is that of a mean whose memory is known (ebmdiag.numerics.low_frequency), with
its degrees of freedom. Where a quantity is positive and has no natural zero, its logarithm is compared, so that a
difference is a ratio. Margins are the sizes that matter elsewhere in this project: docs/compare.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.errors import TraceError
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.low_frequency import mean_contrast, slow
from ebmdiag.numerics.mean import mean_and_deviation
from ebmdiag.numerics.scaling import Series, deviations, undefined

if TYPE_CHECKING:
    from ebmdiag.trace import Trace

_LARGEST = math.log(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Number:
    """Of one run: value, standard error and its degrees of freedom, all of the logarithm for a ratio.

    ``reason``: why to doubt it, or why it is NaN.
    """

    value: float
    error: float = math.nan
    freedom: float = math.nan
    reason: str = ""

    @classmethod
    def absent(cls, reason: str) -> Number:
        """No number, and why."""
        return cls(math.nan, reason=reason)

    @classmethod
    def of(cls, value: float, parts: Series) -> Number:
        """A number of which each row says a part, shape (rows,): its error is that of the mean of these."""
        reason = undefined(parts)
        if "constant" in reason:
            return cls(value, 0.0, math.inf)
        try:
            series = slow(parts)
        except ValueError as few:
            return cls(value, reason=str(few))
        mean = mean_contrast(series, 0.0)
        return cls(value, mean.error, mean.freedom, series.doubt)


@dataclass(frozen=True)
class Quantity:
    """Something to compare.

    Attributes:
        name: short, unique.
        said: in words.
        columns: of the trace that it needs.
        measure: rows of one run → its number.
        margin: differences below it do not matter; of a ratio, a factor above 1; None: no size is known to matter.
        is_ratio: whether logarithms are compared.
        by_lag: whether it means something only if the rows of all runs are equally many iterations apart.
    """

    name: str
    said: str
    columns: tuple[str, ...]
    measure: Callable[[Trace], Number]
    margin: float | None = None
    is_ratio: bool = False
    by_lag: bool = False

    @property
    def distance(self) -> float | None:
        """The margin as a difference of numbers."""
        if self.margin is None:
            return None
        return math.log(self.margin) if self.is_ratio else self.margin

    def shown(self, value: float) -> float:
        """A number, or a difference of two, as it is told: e^value for a ratio."""
        return math.exp(min(value, _LARGEST)) if self.is_ratio else value


def chosen(columns: Sequence[str]) -> tuple[Quantity, ...]:
    """The usual quantities, and the means of further columns."""
    return (*USUAL, *(Quantity(f"mean {name}", f"mean of {name}", (name,), _mean(name)) for name in columns))


def _measured(trace: Trace, column: str) -> Series:
    return trace.measured(column)[1]


def _standardized(x: Series) -> tuple[Series, float]:
    """(x - mean) / standard deviation, and the logarithm of the latter."""
    scaled, exponent = deviations(x)
    size = math.sqrt(float(scaled @ scaled) / len(x))
    return scaled / size, math.log(size) + exponent * math.log(2)


def _balance(trace: Trace) -> Number:
    """Mean of d over its standard deviation."""
    x = _measured(trace, "d_s_t")
    if reason := undefined(x):
        return Number.absent(reason)
    z, log_size = _standardized(x)
    mean = mean_and_deviation(x)[0]
    ratio = math.copysign(math.exp(math.log(abs(mean)) - log_size), mean) if mean else 0.0
    return Number.of(ratio, z - ratio / 2 * (z * z - 1))


def _spread(trace: Trace) -> Number:
    """log of d's standard deviation."""
    x = _measured(trace, "d_s_t")
    if reason := undefined(x):
        return Number.absent(reason)
    z, log_size = _standardized(x)
    return Number.of(log_size, (z * z - 1) / 2)


def _lag1(trace: Trace) -> Number:
    """rho_1 of d."""
    x = trace.series("d_s_t")
    if reason := undefined(x):
        return Number.absent(reason)
    z, _ = _standardized(x)
    rho = float(autocorrelation(x, 1)[1])
    return Number.of(rho, z[1:] * z[:-1] - rho * z[1:] ** 2)


def _level(column: str) -> Callable[[Trace], Number]:
    """log of a mean."""

    def measure(trace: Trace) -> Number:
        x = _measured(trace, column)
        mean = mean_and_deviation(x)[0]
        if not mean > 0:
            return Number.absent(f"the mean of {column}, {mean:.4g}, is not above 0, so it has no ratio")
        return Number.of(math.log(mean), x / mean - 1)

    return measure


def _mean(column: str) -> Callable[[Trace], Number]:
    def measure(trace: Trace) -> Number:
        x = _measured(trace, column)
        return Number.of(mean_and_deviation(x)[0], x)

    return measure


def _temperature(trace: Trace) -> Number:
    """Mean power over mean curvature: a mean of their ratios is something else."""
    (steps, power), (others, curvature) = trace.measured("gradient_power"), trace.measured("curvature")
    if not np.array_equal(steps, others):
        return Number.absent("power and curvature are of different rows")
    below = Number.of(mean_and_deviation(curvature)[0], curvature)
    if not below.value > 3 * below.error:
        return Number.absent("the mean curvature is not known to a third of itself")
    ratio = mean_and_deviation(power)[0] / below.value
    return Number.of(ratio, (power - ratio * curvature) / below.value)


USUAL: tuple[Quantity, ...] = (
    Quantity("balance of d", "mean of d_s_t over its standard deviation", ("d_s_t",), _balance, 0.2),
    Quantity("spread of d", "standard deviation of d_s_t", ("d_s_t",), _spread, 1.2, is_ratio=True),
    Quantity("d at lag 1", "lag-1 autocorrelation of d_s_t", ("d_s_t",), _lag1, 0.1, by_lag=True),
    Quantity("level of r", "mean of r_t", ("r_t",), _level("r_t"), 1.05, is_ratio=True),
    Quantity("virial", "mean of virial (1 in equilibrium)", ("virial",), _mean("virial"), 0.05),
    Quantity(
        "temperature",
        "configurational temperature (1 in equilibrium)",
        ("gradient_power", "curvature"),
        _temperature,
        0.2,
    ),
    Quantity(
        "spread of energies",
        "standard deviation of U over the short runs",
        ("energy_neg_sd",),
        _level("energy_neg_sd"),
        1.2,
        is_ratio=True,
    ),
)


def numbers(trace: Trace, wanted: Sequence[Quantity], lags: str = "") -> Mapping[str, Number]:
    """Each quantity; one that cannot be had is NaN with the reason.

    Args:
        lags: why quantities by lag cannot be compared in this run; empty if they can.
    """
    return {one.name: Number.absent(lags) if one.by_lag and lags else _number(trace, one) for one in wanted}


def _number(trace: Trace, quantity: Quantity) -> Number:
    try:
        found = quantity.measure(trace)
    except TraceError as error:
        return Number.absent(str(error))
    return found if math.isfinite(found.value) else Number.absent(found.reason or "it is not finite")

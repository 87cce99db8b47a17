"""What of a run is compared: one number a run, with the error that its own rows give it.

Where a quantity is positive and has no natural zero, its logarithm is compared, so that a difference is a ratio.
Margins are the sizes that matter elsewhere in this project: an equal mean of d is one within 0.2 of its standard
deviation, a virial one within 0.05 (docs/compare.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebmdiag.errors import TraceError
from ebmdiag.numerics.bands import correlation_errors
from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.mean import Mean, mean_with_error
from ebmdiag.numerics.scaling import Series, doubtful, undefined
from ebmdiag_analyses import summary

if TYPE_CHECKING:
    from ebmdiag.trace import Trace


@dataclass(frozen=True)
class Number:
    """Of one run: value and standard error, both of the logarithm for a ratio; ``reason``: doubt, or why NaN."""

    value: float
    error: float
    reason: str = ""


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
    """

    name: str
    said: str
    columns: tuple[str, ...]
    measure: Callable[[Trace], Number]
    margin: float | None = None
    is_ratio: bool = False

    @property
    def distance(self) -> float | None:
        """The margin as a difference of numbers."""
        if self.margin is None:
            return None
        return math.log(self.margin) if self.is_ratio else self.margin

    def shown(self, value: float) -> float:
        """A number, or a difference of two, as it is told: e^value for a ratio."""
        return math.exp(min(value, 700.0)) if self.is_ratio else value


def chosen(columns: tuple[str, ...]) -> tuple[Quantity, ...]:
    """The usual quantities, and the means of further columns."""
    return (*USUAL, *(_plain(column) for column in columns))


def _series(trace: Trace, column: str) -> Series:
    return trace.measured(column)[1]


def _balance(trace: Trace) -> Number:
    """Mean of d over its standard deviation."""
    mean = mean_with_error(_series(trace, "d_s_t"))
    if not mean.deviation > 0:
        return Number(math.nan, math.nan, mean.reason or "d_s_t is constant")
    return Number(mean.value / mean.deviation, mean.error / mean.deviation, mean.reason)


def _spread(trace: Trace) -> Number:
    """log of d's standard deviation, with the error of the mean square (delta method)."""
    x = _series(trace, "d_s_t")
    square = mean_with_error((x - x.mean()) ** 2)
    if not square.value > 0:
        return Number(math.nan, math.nan, "d_s_t is constant")
    return Number(math.log(square.value) / 2, square.error / square.value / 2, square.reason)


def _lag1(trace: Trace) -> Number:
    """rho_1 of d, with Bartlett's error in full."""
    x = _series(trace, "d_s_t")
    reason = undefined(x)
    if reason:
        return Number(math.nan, math.nan, reason)
    return Number(float(autocorrelation(x, 1)[1]), float(correlation_errors(x, 1)[1]), doubtful(len(x)))


def _level(column: str) -> Callable[[Trace], Number]:
    """log of a mean."""

    def measure(trace: Trace) -> Number:
        mean = mean_with_error(_series(trace, column))
        if not mean.value > 0:
            return Number(math.nan, math.nan, f"its mean {mean.value:.4g} is not above 0, so it has no ratio")
        return Number(math.log(mean.value), mean.error / mean.value, mean.reason)

    return measure


def _mean(column: str) -> Callable[[Trace], Number]:
    def measure(trace: Trace) -> Number:
        mean: Mean = mean_with_error(_series(trace, column))
        return Number(mean.value, mean.error, mean.reason)

    return measure


def _temperature(trace: Trace) -> Number:
    """Mean power over mean curvature, as ``summary`` has it."""
    found = summary.analyse(trace, summary.Options(columns=("gradient_power", "curvature"))).estimates
    ratio, error = (found.get(f"configurational_temperature:{key}") for key in ("ratio", "ratio_error"))
    if ratio is None or ratio.value is None or error is None or error.value is None:
        return Number(math.nan, math.nan, ratio.reason if ratio else "power and curvature are of different rows")
    return Number(ratio.value, error.value, ratio.reason)


def _plain(column: str) -> Quantity:
    return Quantity(f"mean {column}", f"mean of {column}", (column,), _mean(column))


USUAL: tuple[Quantity, ...] = (
    Quantity("balance of d", "mean of d_s_t over its standard deviation", ("d_s_t",), _balance, 0.2),
    Quantity("spread of d", "standard deviation of d_s_t", ("d_s_t",), _spread, 1.2, True),
    Quantity("d at lag 1", "lag-1 autocorrelation of d_s_t", ("d_s_t",), _lag1, 0.1),
    Quantity("level of r", "mean of r_t", ("r_t",), _level("r_t"), 1.05, True),
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
        True,
    ),
)


def numbers(trace: Trace, wanted: tuple[Quantity, ...]) -> Mapping[str, Number]:
    """Each quantity whose columns the rows hold; one that a fault of its column forbids is NaN with the reason."""
    held = set(trace.columns)
    return {one.name: _number(trace, one) for one in wanted if held.issuperset(one.columns)}


def _number(trace: Trace, quantity: Quantity) -> Number:
    try:
        found = quantity.measure(trace)
    except TraceError as error:
        return Number(math.nan, math.nan, str(error))
    if np.isfinite(found.value):
        return found
    return Number(math.nan, math.nan, found.reason or "it is not finite")

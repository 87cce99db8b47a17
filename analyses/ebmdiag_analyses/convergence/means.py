"""Means over chains, with errors that know which chains began together.

Chains of one start (a superchain, Margossian et al. 2024, arXiv:2110.13017) are not independent until they have
forgotten it. So the values are averaged within each start first; with the means x̄_1 … x̄_K of K starts

    mean = (1/K) sum x̄_k,   error² = 1/(K (K - 1)) sum (x̄_k - mean)²,   K - 1 degrees of freedom.

This holds whether or not the start is forgotten. A difference of two such means has error² = e_1² + e_2² and Welch's
degrees of freedom (1947, Biometrika 34:28). Where the two are positively dependent (long chains that begin at the very
data they are compared with, as in sets too small to keep them apart) that error is too wide, never too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmdiag.result import Estimate

Floats = NDArray[np.float64]
FEWEST_STARTS = 4
ONE_START = "all chains share one start, so their mean has no error: sample from several starts"


@dataclass(frozen=True)
class StartMean:
    """Mean over independent starts, its standard error (NaN where unknown), degrees of freedom, and any doubt."""

    value: float
    error: float
    freedom: float
    doubt: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a value with an error."""
        return math.isfinite(self.value) and math.isfinite(self.error)

    @property
    def errors(self) -> float:
        """The value in its own errors; 0 for 0 ± 0."""
        if not self.known or not self.error:
            return 0.0 if self.value == 0 else math.copysign(math.inf, self.value) if self.known else math.nan
        return self.value / self.error

    def scaled(self, factor: float) -> StartMean:
        """The same in another unit."""
        return StartMean(self.value * factor, self.error * abs(factor), self.freedom, self.doubt)

    def half(self, level: float) -> float:
        """Half the width of Student's interval of this level."""
        return student(level, self.freedom) * self.error if self.known else math.nan

    def estimate(self, level: float) -> Estimate:
        """Value and interval."""
        if not math.isfinite(self.value):
            return Estimate.undefined(self.doubt)
        if not self.known:
            return Estimate.doubted(self.value, self.doubt)
        half = self.half(level)
        return Estimate.doubted(self.value, self.doubt, low=self.value - half, high=self.value + half)


def over_starts(values: Floats, starts: NDArray[np.int64]) -> StartMean:
    """Mean of one value for each chain, shape (M,), averaged within each start first.

    Chains without a finite value are left out, and the doubt says how many.
    """
    finite = np.isfinite(values)
    broken = int((~finite).sum())
    doubt = f"{broken} of {len(values)} chains hold no finite value" if broken else ""
    means = by_start(values[finite], starts[finite])
    if not len(means):
        return StartMean(math.nan, math.nan, math.nan, doubt or "no chain")
    mean = float(means.mean())
    if len(means) == 1:
        return StartMean(mean, math.nan, math.nan, doubt or ONE_START)
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    few = f"only {len(means)} independent starts" if len(means) < FEWEST_STARTS else ""
    return StartMean(mean, error, len(means) - 1, doubt or few)


def by_start(values: Floats, starts: NDArray[np.int64]) -> Floats:
    """Mean over the chains of each start; shape (M, …) → (K, …), in the order of the starts' numbers."""
    if not len(values):
        return np.empty((0, *values.shape[1:]))
    _, place = np.unique(starts, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, *values.shape[1:]))
    np.add.at(sums, place, values)
    counts = np.bincount(place).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(sums / counts, dtype=np.float64)


def difference(first: StartMean, second: StartMean) -> StartMean:
    """first - second, for independent means."""
    doubts = dict.fromkeys(doubt for doubt in (first.doubt, second.doubt) if doubt)
    error = math.hypot(first.error, second.error)
    weights = [(mean.error**4, mean.freedom) for mean in (first, second) if mean.error > 0]
    freedom = error**4 / sum(weight / count for weight, count in weights) if weights and error > 0 else 1.0
    return StartMean(first.value - second.value, error, freedom, "; ".join(doubts))


def student(level: float, freedom: float) -> float:
    """Student's t of a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))

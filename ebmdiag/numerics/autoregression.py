"""A linear process that remembers as a series does: an autoregression fitted to it, to simulate the null from.

    x[t] - m = sum_{j=1}^{p} f_j (x[t-j] - m) + e[t],   e independent.

The Yule-Walker equations are solved for p = 0 … P by the recursion of Levinson and Durbin; the biased autocorrelation
makes every fit stationary. The order is that of the lowest n log s_p² + p log n (Schwarz 1978, Ann. Stat. 6:461). The
innovations e are drawn from Normal(0, s²), or from the residuals of the fit with replacement, which keeps the tails and
the skewness of the series (the sieve bootstrap, Bühlmann 1997, Bernoulli 3:123).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.correlation import autocorrelation
from ebmdiag.numerics.mean import mean_and_deviation
from ebmdiag.numerics.scaling import Series, checked, undefined

LARGEST_ORDER = 20
_ENDED = 1e-12  # of the variance; a series that is foretold so well needs no further lag
_BURN_IN = 1000


@dataclass(frozen=True)
class Autoregression:
    """Coefficients f, shape (p,), the mean m, and the standard deviations of the series and of its innovations."""

    coefficients: Series
    mean: float
    deviation: float
    innovation: float

    @property
    def order(self) -> int:
        """p."""
        return len(self.coefficients)

    def residuals(self, x: ArrayLike) -> Series:
        """e of a series, centred, shape (rows - p,)."""
        from scipy.signal import lfilter

        centred = checked(x) - self.mean
        left = lfilter(np.concatenate(([1.0], -self.coefficients)), [1.0], centred)[self.order :]
        return np.asarray(left - left.mean(), dtype=np.float64)

    def simulate(self, rng: np.random.Generator, count: int, rows: int, innovations: Series | None = None) -> Series:
        """Independent stationary records, shape (count, rows); Gaussian, or with e drawn from ``innovations``."""
        from scipy.signal import lfilter

        shape = (count, rows + _BURN_IN)
        if innovations is None:
            noise = self.innovation * rng.standard_normal(shape)
        else:
            noise = innovations[rng.integers(len(innovations), size=shape)]
        if self.order:
            noise = lfilter([1.0], np.concatenate(([1.0], -self.coefficients)), noise, axis=-1)
        return np.asarray(self.mean + noise[:, _BURN_IN:], dtype=np.float64)


def fit_autoregression(x: ArrayLike, largest: int = LARGEST_ORDER) -> Autoregression:
    """The autoregression of the best order, at most ``largest`` and a tenth of the rows.

    Raises:
        ValueError: the series is constant, shorter than 4 rows or not finite.
    """
    values = checked(x)
    reason = undefined(values)
    if reason:
        raise ValueError(reason)
    rows = len(values)
    rho = autocorrelation(values, max(1, min(largest, rows // 10)))
    mean, deviation = mean_and_deviation(values)
    best, coefficients, left = np.inf, np.zeros(0), 1.0
    for fitted, share in levinson(rho):
        score = rows * np.log(share) + len(fitted) * np.log(rows)
        if score < best:
            best, coefficients, left = score, fitted, share
    return Autoregression(coefficients, mean, deviation, deviation * float(np.sqrt(left)))


def levinson(rho: Series) -> Iterator[tuple[Series, float]]:
    """For p = 0 … P: coefficients, shape (p,), and the share s_p² of the variance that is left.

    ``rho``: autocorrelation at lags 0 … P. It ends early where nothing is left to foretell.
    """
    coefficients, left = np.zeros(0), 1.0
    yield coefficients, left
    for lag in range(1, len(rho)):
        partial = float(rho[lag] - coefficients @ rho[lag - 1 : 0 : -1]) / left
        coefficients = np.concatenate((coefficients - partial * coefficients[::-1], [partial]))
        left *= 1 - partial**2
        if not left > _ENDED:
            return
        yield coefficients, left

"""Phases of one sign: how long does a series stay above, or below, 0?

The state of a series x with a band c >= 0 becomes +1 where x > c and -1 where x < -c, and stays as it was in between
(hysteresis; rows before the first exit have no state). A phase is a stretch of one state. With a = P(x > c) and
b = P(x < -c), rows that are independent have

    P(a positive phase lasts k rows) = b (1 - b)^{k-1},   a negative one: a (1 - a)^{k-1},
    phase changes per row = 2 / (1/a + 1/b),

whatever their law. Only rows outside the band can change the state, and given their numbers n+ and n- every order of
their signs is equally likely: so the number R of phases follows the law of runs of Wald and Wolfowitz 1940 (Ann. Math.
Stat. 11:147) for every c, with mean 1 + 2 n+ n- / n and variance 2 n+ n- (2 n+ n- - n) / (n² (n - 1)), n = n+ + n-.

A stationary Gaussian series of mean m, deviation s and correlation r from row to row changes sign (c = 0) with

    P(x[t] x[t+1] < 0) = 4 T(m / s, √((1 - r) / (1 + r))),   T: Owen's function,

from P(X < 0, Y < 0) = Φ(-h) - 2 T(h, √((1-r)/(1+r))), Owen 1956 (Ann. Math. Stat. 27:1075); for m = 0 this is
arccos(r) / π (Rice 1944; Kedem 1986, Proc. IEEE 74:1477).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.scaling import Series, checked

Rows = NDArray[np.int64]
_EXACT_RUNS = 2000  # outside rows up to which the law of runs is summed; beyond, it is normal to 3 digits


@dataclass(frozen=True)
class Phases:
    """Stretches of one state.

    Attributes:
        first: row of each phase's beginning, shape (phases,).
        sign: +1 or -1, shape (phases,).
        rows: length of the series.
        above, below: how many rows lie above c, below -c.

    The first and the last phase are cut by the ends of the record: :attr:`durations` leaves them out.
    """

    first: Rows
    sign: NDArray[np.int8]
    rows: int
    above: int
    below: int

    def __len__(self) -> int:
        return len(self.first)

    @property
    def all_durations(self) -> Rows:
        """Rows of each phase, as far as the record shows it, shape (phases,)."""
        return np.diff(self.first, append=self.rows).astype(np.int64)

    @property
    def durations(self) -> Rows:
        """Rows of each phase whose beginning and end are seen, shape (phases - 2,) or (0,)."""
        return self.all_durations[1:-1]

    @property
    def changes(self) -> int:
        """How often the state changes."""
        return max(0, len(self.first) - 1)

    @property
    def opportunities(self) -> int:
        """Rows at which it could have changed."""
        return int(self.rows - 1 - self.first[0]) if len(self.first) else 0

    @property
    def mean_duration(self) -> float:
        """Rows for each change: the cut phases count by their length, so that it is right for any record's length."""
        return self.opportunities / self.changes if self.changes else math.nan

    @property
    def independent_rate(self) -> float:
        """Changes per row that independent rows of the same law would show; 0 if one side is never left to."""
        a, b = self.above / max(self.rows, 1), self.below / max(self.rows, 1)
        return 2 * a * b / (a + b) if a and b else 0.0

    def states(self) -> NDArray[np.int8]:
        """+1 or -1 for each row from the first state on, shape (rows - first[0],)."""
        return np.repeat(self.sign, self.all_durations)


def sign_phases(x: ArrayLike, band: float) -> Phases:
    """The phases of a series, shape (rows,), with hysteresis ``band`` >= 0.

    Raises:
        ValueError: a value is not finite, or the band is negative.
    """
    values = checked(x)
    if not band >= 0:
        raise ValueError(f"the band must be at least 0, but is {band}.")
    side = (values > band).astype(np.int8) - (values < -band).astype(np.int8)
    outside = np.flatnonzero(side)
    signs = side[outside]
    begins = np.flatnonzero(np.diff(signs, prepend=np.int8(0)))
    above = int(np.count_nonzero(signs > 0))
    return Phases(outside[begins], signs[begins], len(values), above, len(signs) - above)


@dataclass(frozen=True)
class RunsTest:
    """Number of runs, its mean and standard deviation for independent signs, and the two-sided p-value."""

    runs: int
    expected: float
    deviation: float
    p_value: float


def runs_test(phases: Phases) -> RunsTest:
    """Wald and Wolfowitz: are there more, or fewer, phases than independent rows would show?

    Exact up to 2,000 rows outside the band, normal beyond; p is NaN if one side is never left to.
    """
    n, m = phases.above, phases.below
    total = n + m
    if n == 0 or m == 0:
        return RunsTest(len(phases), float(len(phases)), 0.0, math.nan)
    pairs = 2 * n * m
    expected = 1 + pairs / total
    deviation = math.sqrt(max(0.0, pairs * (pairs - total) / (total**2 * (total - 1))))
    if total <= _EXACT_RUNS:
        p_value = _exact(len(phases), n, m)
    else:
        p_value = math.erfc(abs(len(phases) - expected) / deviation / math.sqrt(2))
    return RunsTest(len(phases), expected, deviation, p_value)


def runs_law(n: int, m: int) -> Series:
    """P(R = r) for r = 0 … n + m, shape (n + m + 1,): runs of n and m signs in random order, both at least 1."""
    from scipy.special import gammaln

    def log_choose(top: int, bottom: NDArray[np.int64]) -> Series:
        inside = (bottom >= 0) & (bottom <= top)
        kept = np.where(inside, bottom, 0)
        value = gammaln(top + 1) - gammaln(kept + 1) - gammaln(top - kept + 1)
        return np.asarray(np.where(inside, value, -np.inf), dtype=np.float64)

    half = np.arange(1, (n + m) // 2 + 1)
    whole = gammaln(n + m + 1) - gammaln(n + 1) - gammaln(m + 1)
    law = np.zeros(n + m + 2)
    law[2 * half] = 2 * np.exp(log_choose(n - 1, half - 1) + log_choose(m - 1, half - 1) - whole)
    law[2 * half + 1] = np.exp(log_choose(n - 1, half) + log_choose(m - 1, half - 1) - whole)
    law[2 * half + 1] += np.exp(log_choose(n - 1, half - 1) + log_choose(m - 1, half) - whole)
    return law[: n + m + 1]


def _exact(runs: int, n: int, m: int) -> float:
    law = runs_law(n, m)
    return float(min(1.0, 2 * min(law[: runs + 1].sum(), law[runs:].sum())))


def gaussian_changes(mean: float, deviation: float, correlation: float) -> float:
    """P(sign change from row to row) of a Gaussian series; ``correlation``: that of neighbouring rows, centred.

    Raises:
        ValueError: the deviation is not above 0, or the correlation not between -1 and 1.

    Example:
        >>> round(gaussian_changes(0.0, 1.0, -0.5), 4)
        0.6667
    """
    from scipy.special import owens_t

    if not deviation > 0 or not -1 <= correlation <= 1:
        raise ValueError(f"no such Gaussian series: deviation {deviation}, correlation {correlation}.")
    if correlation == -1:
        return float(math.erfc(abs(mean) / deviation / math.sqrt(2)))
    return 4 * float(owens_t(mean / deviation, math.sqrt((1 - correlation) / (1 + correlation))))

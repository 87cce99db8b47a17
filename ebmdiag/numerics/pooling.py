"""Runs as the unit: what seeds of one recipe have in common, whether they differ beyond their own noise, and what
tells two recipes apart.

A number x_i of each of K runs (another seed, all else alike) is one independent draw from what the recipe does. So

    mean:        m ± t_{K-1} s / √K                    s² = sum (x_i - m)² / (K - 1)
    a new run:   m ± t_{K-1} s √(1 + 1/K)              (the prediction interval of a normal law)
    two recipes: (m_b - m_a) / √(s_a²/K_a + s_b²/K_b)  against Student's t with Welch's degrees of freedom
                 (Welch 1947, Biometrika 34:28),

whatever happens within a run: rows of one run, however many, do not tell what another seed would do. A single run
against K others is held against their spread, s √(1 + 1/K) with K - 1 degrees of freedom, as if its own were the same.

Whether the runs differ by more than the errors e_i of their own numbers (estimates with v_i degrees of freedom): with
weights w = 1 / e², W = sum w, the weighted mean m_w and h = sum (1 - w/W)² / v,

    F = [sum w (x - m_w)² / (K - 1)] / [1 + 2 (K - 2) h / (K² - 1)]   against F(K - 1, (K² - 1) / 3h)

(Welch 1951, Biometrika 38:330; for known errors Cochran's Q against chi-squared), and the standard deviation between
them, tau² = max(0, (Q - K + 1) / (W - sum w²/W)), Q = sum w (x - m_w)² (DerSimonian and Laird 1986, Control. Clin.
Trials 7:177).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.numerics.contrast import Contrast, student_quantile

Values = NDArray[np.float64]

_MOST_RUNS = 10_000


@dataclass(frozen=True)
class Pooled:
    """K runs: mean with its interval, spread (divisor K - 1), and where a further run lies; NaN where K = 1 cannot."""

    runs: int
    mean: float
    low: float
    high: float
    spread: float
    new_low: float
    new_high: float


@dataclass(frozen=True)
class Disagreement:
    """Welch's F with its p, and the standard deviation between runs that their own errors do not explain."""

    statistic: float
    p_value: float
    between: float


def pool(values: ArrayLike, level: float) -> Pooled:
    """One number of each of K runs, shape (K,), K at least 1, as what their recipe does.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    x = _checked(values)
    mean, runs = float(x.mean()), len(x)
    if runs == 1:
        return Pooled(1, mean, *(math.nan,) * 5)
    own = spread(x)
    reach = student_quantile(runs - 1, (1 + level) / 2) * own
    half, new = reach / math.sqrt(runs), reach * math.sqrt(1 + 1 / runs)
    return Pooled(runs, mean, mean - half, mean + half, own, mean - new, mean + new)


def spread(values: ArrayLike) -> float:
    """Standard deviation over K runs, shape (K,), divisor K - 1; NaN for one run.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    x = _checked(values)
    if len(x) == 1:
        return math.nan
    rest = x - x.mean()
    largest = float(np.abs(rest).max())  # squares of tiny or huge deviations are never formed
    return largest * math.sqrt(float(((rest / largest) ** 2).sum()) / (len(x) - 1)) if largest > 0 else 0.0


def disagreement(values: ArrayLike, errors: ArrayLike, freedoms: ArrayLike) -> Disagreement:
    """Whether K runs differ by more than the standard errors of their numbers; all of shape (K,).

    Args:
        freedoms: degrees of freedom of each error; infinite for one that is known.

    NaN where there is one run, or where an error is not a finite number above 0.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    x, e, v = _checked(values), np.asarray(errors, dtype=np.float64), np.asarray(freedoms, dtype=np.float64)
    if len(x) < 2 or not (np.isfinite(e) & (e > 0)).all():
        return Disagreement(math.nan, math.nan, math.nan)
    weights = (e.min() / e) ** 2  # relative: squares of tiny errors overflow
    whole = float(weights.sum())
    centre = float(weights @ x) / whole
    square = float((((x - centre) / e) ** 2).sum())
    between = float(e.min()) * math.sqrt(max(0.0, (square - len(x) + 1) / (whole - float(weights @ weights) / whole)))
    uncertain = float(((1 - weights / whole) ** 2 / v).sum())
    statistic, p_value = _welch_f(square, len(x), uncertain)
    return Disagreement(statistic, p_value, between)


def _welch_f(square: float, runs: int, uncertain: float) -> tuple[float, float]:
    from scipy.special import chdtrc, fdtrc

    if uncertain == 0:
        return square / (runs - 1), float(chdtrc(runs - 1, square))
    scale = 1 + 2 * (runs - 2) * uncertain / (runs**2 - 1)
    statistic = square / (runs - 1) / scale
    return statistic, float(fdtrc(runs - 1, (runs**2 - 1) / (3 * uncertain), statistic))


def difference(first: ArrayLike, second: ArrayLike) -> Contrast:
    """Mean of ``second``, shape (K_b,), minus that of ``first``, shape (K_a,), at least 3 runs in all.

    Raises:
        ValueError: fewer than 3 runs, or a value that is not finite.
    """
    a, b = _checked(first), _checked(second)
    if len(a) + len(b) < 3:
        raise ValueError("two single runs have no spread; hold them against their own errors.")
    value = float(b.mean() - a.mean())
    if min(len(a), len(b)) == 1:
        many = max(a, b, key=len)
        return Contrast.of(value, spread(many) * math.sqrt(1 + 1 / len(many)), len(many) - 1)
    errors = spread(a) / math.sqrt(len(a)), spread(b) / math.sqrt(len(b))
    return Contrast.of(value, math.hypot(*errors), _welch(errors, (len(a) - 1, len(b) - 1)))


def difference_of_two(
    values: tuple[float, float], errors: tuple[float, float], freedoms: tuple[float, float]
) -> Contrast:
    """One run minus another, held against the errors of their own numbers: of these two runs, not of their recipes."""
    return Contrast.of(values[1] - values[0], math.hypot(*errors), _welch(errors, freedoms))


def runs_needed(
    spreads: tuple[float, float], value: float, margin: float | None, level: float, *, more_than: int = 1
) -> int | None:
    """Runs of each recipe that would show a difference to be there, or to lie within a margin, whichever takes fewer.

    If spreads and difference stayed what they are, and without correction for other tests.

    Args:
        spreads: standard deviations over the runs of either recipe.
        value: the difference.
        margin: within which it would not matter; None: unknown.
        level: of either test.
        more_than: runs that there are already.

    Returns:
        None where it is more than 10,000.
    """
    spread = math.hypot(*spreads)
    targets = [(1 - level / 2, abs(value))]
    if margin is not None and abs(value) < margin:
        targets.append((1 - level, margin - abs(value)))
    found = [_fewest(spread, probability, distance) for probability, distance in targets if distance > 0]
    known = [runs for runs in found if runs is not None]
    return max(min(known), more_than + 1) if known else None


def _fewest(spread: float, probability: float, distance: float) -> int | None:
    """The fewest runs with Student's t times the error of the difference at most ``distance``, by bisection."""
    low, high = 2, _MOST_RUNS
    if _reach(spread, high, probability) > distance:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _reach(spread, middle, probability) <= distance else (middle + 1, high)
    return low


def _reach(spread: float, runs: int, probability: float) -> float:
    return student_quantile(2 * runs - 2, probability) * spread / math.sqrt(runs)


def _welch(errors: tuple[float, float], freedoms: tuple[float, float]) -> float:
    """Degrees of freedom of a difference of two numbers with estimated errors."""
    largest = max(errors)
    if largest == 0:
        return math.inf
    shares = [(error / largest) ** 2 for error in errors]
    parts = sum(share**2 / freedom for share, freedom in zip(shares, freedoms, strict=True))
    return sum(shares) ** 2 / parts if parts > 0 else math.inf


def _checked(values: ArrayLike) -> Values:
    x = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("one finite number of each run is needed, and at least one run.")
    return x

"""The noise of a series from its steps: slow changes cancel, outliers do not count.

For x[t] = slow part + independent noise of deviation s, the steps x[t+1] - x[t] have deviation √2 s, and the median of
their absolute values is √2 s · 0.6745 if the noise is Gaussian. Correlation r of the noise from row to row multiplies
the estimate by √(1 - r). Steps instead of values: von Neumann 1941 (Ann. Math. Stat. 12:367); the median absolute
deviation: Hampel 1974 (J. Am. Stat. Assoc. 69:383).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ebmdiag.numerics.scaling import Series, checked, to_unit_size

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""


def step_noise(x: ArrayLike) -> float:
    """s of a series, shape (rows,); NaN below two rows, 0 where more than half of the steps are 0.

    Raises:
        ValueError: a value is not finite.
    """
    values = checked(x)
    if len(values) < 2:
        return math.nan
    scaled, exponent = to_unit_size(values)
    return float(np.ldexp(np.median(np.abs(np.diff(scaled))) / (math.sqrt(2) * NORMAL_MEDIAN), exponent))


def median_spread(x: Series) -> float:
    """Standard deviation about 0 of a Gaussian with the median |x|, shape (rows,) with at least one row."""
    return float(np.median(np.abs(x)) / NORMAL_MEDIAN)

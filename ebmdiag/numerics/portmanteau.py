"""Is there any autocorrelation at all? Ljung and Box 1978, Biometrika 65:297.

Q = n (n + 2) sum_{k=1}^{h} rho_k² / (n - k),   chi-squared with h degrees of freedom for white noise.
"""

from __future__ import annotations

import numpy as np

from ebmdiag.numerics.scaling import Series


def ljung_box(rho: Series, rows: int) -> tuple[float, float]:
    """Q and its p-value.

    Args:
        rho: centred autocorrelation at lags 0 … h, shape (h + 1,), 1 <= h < rows.
        rows: length n of the series.

    Raises:
        ValueError: h is not between 1 and rows - 1.
    """
    from scipy.special import chdtrc

    count = len(rho) - 1
    if not 1 <= count < rows:
        raise ValueError(f"the number of lags must lie between 1 and {rows - 1}, but is {count}.")
    statistic = rows * (rows + 2) * float((rho[1:] ** 2 / (rows - np.arange(1, count + 1))).sum())
    return statistic, float(chdtrc(count, statistic))

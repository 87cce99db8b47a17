"""p-values after correction for their number: the share of false discoveries among what is kept (Benjamini and Hochberg
1995, J. R. Stat. Soc. B 57:289)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def adjusted(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values, shape (tests,); a test that could not be done (NaN) stays NaN and does not count.

    Example:
        >>> adjusted([0.01, float("nan"), 0.04]).tolist()
        [0.02, nan, 0.04]
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p_values, dtype=np.float64)
    found, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        found[known] = false_discovery_control(p[known], method="bh")
    return found

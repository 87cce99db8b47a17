"""Nested R-hat: do chains that began together still know it?

Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari and Gelman 2024 (Bayesian Analysis; arXiv:2110.13017): K
superchains of M chains each share their start, and each chain has D draws. With the mean of all draws of a
superchain k written x̄_k, and of a chain x̄_mk,

    B = Σ_k (x̄_k - x̄)² / (K - 1),   W = mean_k [ Σ_m (x̄_mk - x̄_k)² / (M - 1) + mean_m s²_mk ],   R = √(1 + B / W),

s²_mk the variance (divisor D - 1) of a chain's draws, 0 for D = 1. Once every chain has forgotten its start,
B estimates W / M for D = 1: then R is near √(1 + 1/M), not 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def nested_rhat(draws: ArrayLike) -> float:
    """R of draws of shape (K, M, D) or (K, M, D, coordinates); variances are summed over coordinates.

    NaN where nothing varies within superchains but the superchains agree; infinite where they do not.

    Raises:
        ValueError: fewer than two superchains, or fewer than two chains in each.
    """
    between, within = nested_variances(draws)
    if within == 0:
        return math.nan if between == 0 else math.inf
    return math.sqrt(1 + between / within)


def nested_variances(draws: ArrayLike) -> tuple[float, float]:
    """B and W of draws of shape (K, M, D) or (K, M, D, coordinates), summed over coordinates.

    R is 1 to the last bit long before B is 0, so B and W cannot be had from R.

    Raises:
        ValueError: fewer than two superchains, or fewer than two chains in each.
    """
    values = np.asarray(draws, dtype=np.float64)
    if values.ndim < 3 or values.shape[0] < 2 or values.shape[1] < 2:
        raise ValueError(f"draws must have shape (K, M, D) with K and M at least 2, but have {values.shape}")
    values = values.reshape(*values.shape[:3], -1)
    chains = values.mean(2)
    between = float(chains.mean(1).var(0, ddof=1).sum())
    within = float(chains.var(1, ddof=1).mean(0).sum())
    if values.shape[2] > 1:
        within += float(values.var(2, ddof=1).mean((0, 1)).sum())
    return between, within

"""From one iteration's raw energies to one row of a trace: the only place where U = F / T is computed.

Symbols: F is the network's output, T = ε²/2 the temperature (1 when ε = 0), U = F / T the energy.
Source: Nijkamp et al. 2020, arXiv:1903.12370, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ebmdiag.errors import UsageError


def temperature(epsilon: float) -> float:
    """The temperature T that turns the network's output F into the energy U = F / T.

    Args:
        epsilon: standard deviation ε of the Langevin noise in one step, at least 0.

    Returns:
        ε²/2, or 1.0 for ε = 0 (gradient descent, nothing to scale by).

    Raises:
        UsageError: ε is negative or not finite.
    """
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise UsageError(f"epsilon must be a finite number, at least 0, but is {epsilon}.")
    if epsilon == 0:
        return 1.0
    if epsilon**2 / 2 == 0 or not np.isfinite(epsilon**2):
        raise UsageError(f"epsilon = {epsilon} is out of range: epsilon^2 / 2 cannot be represented.")
    return epsilon**2 / 2


def iteration_row(
    step: int,
    *,
    energy_pos: ArrayLike,
    energy_neg: ArrayLike,
    gradient_norm: float,
    epsilon: float,
    learning_rate: float | None = None,
    **extra: float | None,
) -> dict[str, float | int | None]:
    """One row of a trace from what every training loop has at hand.

    Args:
        step: number of the iteration, from 1.
        energy_pos: network outputs F(x⁺) of the positives before the update, shape (n,).
        energy_neg: network outputs F(x⁻) of the negatives before the update, shape (m,).
        gradient_norm: mean over Langevin steps and chains of ‖∇F‖ (this is r_t).
        epsilon: ε of the Langevin noise; sets T.
        learning_rate: the rate that the optimizer applies.
        extra: further columns, by name.

    Returns:
        A mapping of column name to value: d_s_t, v_t and the energies in units of U.

    Raises:
        UsageError: an energy array is empty, or ε is negative.

    Example:
        >>> row = iteration_row(1, energy_pos=[0.0, 2.0], energy_neg=[0.0, 0.0], gradient_norm=0.5, epsilon=1.0)
        >>> row["d_s_t"], row["v_t"], row["r_t"]
        (2.0, 1.0, 0.5)
    """
    scale = temperature(epsilon)
    positive = _energies("energy_pos", energy_pos) / scale
    negative = _energies("energy_neg", energy_neg) / scale
    difference = float(positive.mean() - negative.mean())
    return {
        "step": step,
        "d_s_t": difference,
        "v_t": gradient_norm / scale,
        "r_t": gradient_norm,
        "energy_pos_mean": float(positive.mean()),
        "energy_pos_sd": _deviation(positive),
        "energy_neg_mean": float(negative.mean()),
        "energy_neg_sd": _deviation(negative),
        "learning_rate": learning_rate,
        "z_t": _standardized(difference, positive, negative),
        **extra,
    }


def _energies(name: str, values: ArrayLike) -> NDArray[np.float64]:
    detached: Any = values.detach().cpu().double() if hasattr(values, "detach") else values
    array = np.asarray(detached, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise UsageError(f"{name} must hold at least one energy, but is empty.")
    return array


def _deviation(energies: NDArray[np.float64]) -> float | None:
    """Standard deviation with divisor n - 1; None where it is undefined (one sample, overflow)."""
    if energies.size < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(float(energies.std(ddof=1)))


def _standardized(difference: float, positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float | None:
    """d in units of its sampling error; None where that error is 0 or undefined."""
    if min(positive.size, negative.size) < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        error = np.sqrt(positive.var(ddof=1) / positive.size + negative.var(ddof=1) / negative.size)
        return _finite(float(difference / error)) if error > 0 else None


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def finite_or_none(row: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same mapping with non-finite values as None: an undefined statistic is absent, never a number."""
    return {name: None if value is None else _finite(float(value)) for name, value in row.items()}

"""Partial autocorrelation, and the waves in the roots of an autoregression.

The recursion of Levinson 1947 and Durbin 1960 on the autocorrelations rho_0 … rho_K (divisor n at every lag) gives

    partial_k = (rho_k - sum_{j<k} phi_{k-1,j} rho_{k-j}) / v_{k-1},   v_k = v_{k-1} (1 - partial_k²),   v_0 = 1,
    phi_{k,j} = phi_{k-1,j} - partial_k phi_{k-1,k-j},                 phi_{k,k} = partial_k:

phi_k are the Yule-Walker coefficients of order k, always stationary; v_k is the share of the variance that the last k
values do not foretell. Beyond the order of an autoregression partial_k has standard error 1/√n (Quenouille 1949,
J. R. Stat. Soc. B 11:68). The recursion is that of numerics.autoregression, which chooses the order too.

The zeros z_i of z^p - phi_1 z^{p-1} - … - phi_p say what the series does: rho_k = sum_i A_i z_i^k with sum A_i = 1, so
a pair of modulus m and angle w is a wave of 2π / w rows that keeps m of its height from row to row, and makes

    height = |A| (1 + m) / (1 - m)

of a peak in the spectrum, in units of white noise of the same variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebmdiag.numerics.autoregression import levinson
from ebmdiag.numerics.scaling import Series


def partial_autocorrelation(rho: Series) -> Series:
    """partial_k at lags 0 … K from ``rho``, shape (K + 1,), positive semi-definite with rho_0 = 1.

    Shape (K + 1,); partial_0 is 1. NaN from the lag on at which nothing is left to foretell, or rho is NaN.
    """
    found = [1.0, *(float(phi[-1]) for phi, _ in levinson(rho) if len(phi))]
    return np.concatenate((found, np.full(len(rho) - len(found), np.nan)))[: len(rho)]


@dataclass(frozen=True)
class Wave:
    """A pair of complex roots (or a negative one, period 2): its period in rows, modulus, and height.

    ``period_error`` and ``modulus_error`` are standard errors from those of the coefficients (delta method).
    """

    period: float
    modulus: float
    height: float
    period_error: float
    modulus_error: float


def strongest_wave(phi: Series, rho: Series, rows: int) -> Wave | None:
    """The pair (or negative root) that makes the highest peak; None if all roots are positive, or there is none.

    Args:
        phi: coefficients, shape (p,).
        rho: autocorrelation at lags 0 … K >= p that they come from.
        rows: length of the series.
    """
    roots = np.asarray(np.roots(np.concatenate(([1.0], -phi))), dtype=np.complex128)
    swinging = np.flatnonzero((roots.imag > 0) | ((roots.imag == 0) & (roots.real < 0)))
    if not len(swinging):
        return None
    heights = _heights(roots, rho)
    root = roots[swinging[np.argmax(heights[swinging])]]
    height = float(heights[swinging].max())
    modulus_error, angle_error = _errors(root, phi, rho, rows)
    angle = float(np.angle(root))
    return Wave(
        2 * math.pi / angle,
        float(abs(root)),
        height,
        0.0 if root.imag == 0 else 2 * math.pi / angle**2 * angle_error,
        modulus_error,
    )


def _heights(roots: NDArray[np.complex128], rho: Series) -> Series:
    """|A| (1 + m) / (1 - m), both of a pair together (one alone for a real root), shape (p,)."""
    powers = np.vander(roots, len(roots), increasing=True).T
    shares = np.abs(np.linalg.lstsq(powers, rho[: len(roots)].astype(complex), rcond=None)[0])
    modulus = np.minimum(np.abs(roots), 1 - 1e-12)
    return np.asarray(shares * (1 + modulus) / (1 - modulus), dtype=np.float64)


def _errors(root: complex, phi: Series, rho: Series, rows: int) -> tuple[float, float]:
    """Standard errors of the modulus and the angle of a root.

    Cov(phi) ≈ v_p Γ^{-1} / n with Γ the matrix of rho_{|i-j|}; d root / d phi_j = root^{p-j} / P'(root).
    """
    order = len(phi)
    lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    noise = 1 - float(phi @ rho[1 : order + 1])
    covariance = noise * np.linalg.pinv(rho[lags], hermitian=True) / rows
    slope = np.polyval(np.polyder(np.concatenate(([1.0], -phi))), root)
    if slope == 0:
        return math.nan, math.nan
    gradient = root ** np.arange(order - 1, -1, -1) / slope
    relative = gradient / root  # d log root: its real part moves log m, its imaginary part the angle
    modulus = abs(root) * math.sqrt(max(float(relative.real @ covariance @ relative.real), 0.0))
    return modulus, math.sqrt(max(float(relative.imag @ covariance @ relative.imag), 0.0))

"""The law of samples on a planar grid: Gaussian kernel density, and what it costs.

    p(x) = 1/M Σ_i Normal(x; x_i, b² C),   b = 0.35 M^(-1/6),

C the samples' covariance (divisor M - 1) and M^(-1/6) Scott's factor for two dimensions (Scott 1992, Multivariate
Density Estimation), which is made for one mode and blurs rings: hence the 0.35.

**It is biased.** Even samples drawn exactly from q have KL(q || p) > 0: the kernel widens every mode, and finitely
many samples leave gaps. That floor is measured by drawing as many samples from q itself. They are drawn from the grid:
q is made four times as fine by cubic splines, a fine cell is chosen by its mass and a point uniformly in it, which
adds (h/4)²/12 to the variance of a mode, 0.2% for the rings.

The sum costs a matrix product instead of G² M exponentials. In units of the standard deviations, with correlation r,
f = b, a = 1 / (f² (1 - r²)), t = y₀ - y_i, u = x - x_i - r t and e = y - y₀ for rows y near y₀, the exponent is

    -½ a u² - ½ (e + t)² / f² - a r e (x_i + r t)  +  a r e x - ½ a r² e²:

a part of (i, x), parts of (i, y), a part of (x, y). Blocks of rows are kept so low that the mixed parts stay below
10, so nothing overflows and nothing cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ebmdiag.numerics.planar import Floats, compare

BANDWIDTH = 0.35  # times Scott's
MOST_SAMPLES = 2000
FLOOR_DRAWS = 8
LOWEST = math.log(1e-300)
"""The log density where no kernel reaches: underflow, not zero."""

_MIXED = 10.0
_REFINED = 4
_FINE_ENOUGH = 257


@dataclass(frozen=True)
class Floor:
    """KL and total variation of exact samples' kernel density from their own law.

    ``divergence`` and ``total_variation`` are means over :data:`FLOOR_DRAWS` sets of samples, ``spread`` the standard
    deviation of the divergence from one set to the next (divisor one less).
    """

    divergence: float
    total_variation: float
    spread: float


def kernel_density(samples: Floats, grid: Floats, factor: float = BANDWIDTH) -> Floats | None:
    """Log kernel density of samples, shape (M, 2), on the grid: (G, G), row = x1, column = x0.

    Nothing is normalized on the square. Values are at least :data:`LOWEST`. None where there is no such density:
    fewer than three samples, all on a line, or so far out that their variance overflows.
    """
    found = _standardized(samples)
    if found is None:
        return None
    states, mean, deviation, correlation = found
    width = factor * len(states) ** (-1 / 6)
    x, y = (grid[:, None] - mean).T / deviation[:, None]
    log_sum = np.concatenate(
        [_rows(x, part, states, correlation, width) for part in _blocks(x, y, states, correlation, width)]
    )
    area = 2 * math.pi * width**2 * math.sqrt(1 - correlation**2) * len(states)
    density: Floats = np.maximum(log_sum - math.log(area) - np.log(deviation).sum(), LOWEST)
    return density


def _standardized(samples: Floats) -> tuple[Floats, Floats, Floats, float] | None:
    """Samples in units of their deviations, with mean, deviations and correlation."""
    if len(samples) < 3:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()) or not deviation.min() > 1e-12 * deviation.max():
        return None
    states = (samples - mean) / deviation
    correlation = float(states[:, 0] @ states[:, 1]) / (len(states) - 1)
    return None if 1 - correlation**2 < 1e-12 else (states, mean, deviation, correlation)


def _blocks(x: Floats, y: Floats, states: Floats, correlation: float, width: float) -> list[Floats]:
    """The rows y in as many blocks as keep the mixed exponents below :data:`_MIXED`; at worst one row each."""
    reach = np.abs(x).max() + np.abs(states[:, 0]).max() + np.abs(y).max() + np.abs(states[:, 1]).max()
    slope = abs(correlation) / (width**2 * (1 - correlation**2))
    needed = math.ceil(min(len(y), slope * (y[-1] - y[0]) / 2 * reach / _MIXED))
    return np.array_split(y, max(1, needed))


def _rows(x: Floats, y: Floats, states: Floats, correlation: float, width: float) -> Floats:
    """Log of the sum of kernels for a block of rows, shape (rows, G)."""
    middle = (y[0] + y[-1]) / 2
    e, t = y - middle, middle - states[:, 1]
    shift = states[:, 0] + correlation * t
    a = 1 / (width**2 * (1 - correlation**2))
    across = np.exp(-0.5 * a * (x[None, :] - shift[:, None]) ** 2)
    along = np.exp(-0.5 * ((e[:, None] + t[None, :]) / width) ** 2 - a * correlation * np.outer(e, shift))
    rest = a * correlation * np.outer(e, x) - 0.5 * a * correlation**2 * e[:, None] ** 2
    log_sum: Floats = np.log(np.maximum(along @ across, np.finfo(np.float64).tiny)) + rest
    return log_sum


def draw_from_grid(log_density: Floats, grid: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Independent samples, shape (count, 2), of the density whose log is given on the grid, shape (G, G)."""
    edges, mass = _refined(log_density, grid)
    chosen = np.searchsorted(np.cumsum(mass), rng.random(count) * mass.sum(), side="right")
    row, column = np.unravel_index(np.minimum(chosen, mass.size - 1), (len(edges) - 1,) * 2)
    place = np.stack([column, row], axis=-1)
    samples: Floats = edges[place] + rng.random((count, 2)) * np.diff(edges)[place]
    return samples


def _refined(log_density: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """Edges of finer cells along an axis, and the mass of each cell, flat, by cubic splines."""
    from scipy.interpolate import RectBivariateSpline

    points = len(grid)
    fine = _REFINED if points <= _FINE_ENOUGH else 1
    edges = np.interp(np.linspace(0, points - 1, fine * (points - 1) + 1), np.arange(points), grid)
    middles, degree = (edges[1:] + edges[:-1]) / 2, min(3, points - 1)
    spline = RectBivariateSpline(grid, grid, np.exp(log_density - log_density.max()), kx=degree, ky=degree)
    area = np.outer(np.diff(edges), np.diff(edges))
    return edges, (area * np.maximum(spline(middles, middles), 0.0)).ravel()


def sampling_floor(log_true: Floats, grid: Floats, count: int, seed: int = 0) -> Floor | None:
    """What ``count`` exact samples of the truth score against it; the same seed gives the same numbers.

    None where so few samples have no kernel density.
    """
    rng = np.random.default_rng([seed, count])
    kernels = [kernel_density(draw_from_grid(log_true, grid, count, rng), grid) for _ in range(FLOOR_DRAWS)]
    found = [compare(grid, log_true, kernel) for kernel in kernels if kernel is not None]
    if len(found) < FLOOR_DRAWS:
        return None
    divergences = np.array([one.divergence for one in found])
    variation = float(np.mean([one.total_variation for one in found]))
    return Floor(float(divergences.mean()), variation, float(divergences.std(ddof=1)))

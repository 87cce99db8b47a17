r"""Two densities on the plane whose truth is known: four rings and eight Gaussians on a circle.

With r = \|x\|, sigma the width, phi and Phi the standard normal density and distribution function:

* rings:  q(x) = 1/Z * 1/(8 pi) * sum_{m=1..4} 1/m * Normal(r; m, sigma^2).
  In polar coordinates the area element is r dr dtheta, so ring m has mass
  1/4 * int_0^inf r/m * Normal(r; m, sigma^2) dr = 1/4 * [Phi(a) + phi(a)/a],  a = m/sigma,
  and Z is the sum of the four. The bracket is 1 up to terms of order exp(-a^2/2)/a^3: without Z the
  density misses 1 by 7e-14 for sigma = 0.15.
* eight Gaussians: q(x) = 1/8 * sum_{k=0..7} Normal(x; (cos(pi k/4), sin(pi k/4)), sigma^2 I).

Source: Nijkamp, Hill, Han, Zhu and Wu, AAAI 2020, arXiv 1903.12370, section 4.1 and its published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from ebmdiag.errors import UsageError

Array = NDArray[np.float64]
Numbers = NDArray[np.int8]

_WIDTHS_SHOWN = (
    6  # the square reaches six standard deviations past the outermost mode: at most 2e-9 of the mass is outside
)


@dataclass(frozen=True)
class Rings:
    """Four rings of radius 1, 2, 3, 4, each with a quarter of the mass.

    ``draw`` is exact for the stated density. A radius of ring m then has a density proportional to
    r * Normal(r; m, sigma^2), of mean m + sigma^2/m. The reference implementation draws the radius from
    Normal(m, sigma^2) instead, which lacks the factor r of the area element: its samples belong to a density with
    1/r in place of 1/m. For sigma = 0.15 the difference is 0.0225 in the mean radius of the innermost ring (0.15
    standard deviations) and 0.006 in the outermost; a few hundred samples of the inner ring show it.
    """

    sigma: float = 0.15
    name: ClassVar[str] = "rings"
    shape: ClassVar[tuple[int, ...]] = (2, 1, 1)
    size: ClassVar[None] = None
    radii: ClassVar[tuple[float, ...]] = (1.0, 2.0, 3.0, 4.0)
    mode_names: ClassVar[tuple[str, ...]] = ("ring 1", "ring 2", "ring 3", "ring 4")

    def __post_init__(self) -> None:
        _check_width(self.sigma)

    @property
    def extent(self) -> float:
        """Half the side of the square around the origin that holds practically all mass."""
        return self.radii[-1] + _WIDTHS_SHOWN * self.sigma

    def log_density(self, x: Array) -> Array:
        """Exact normalised log q at points of shape (..., 2): shape (...)."""
        radius = np.linalg.norm(_points(x), axis=-1)[..., None]
        rings = np.array(self.radii)
        log_terms = _log_normal(radius - rings, self.sigma) - np.log(rings)
        total: Array = logsumexp(log_terms, axis=-1) - math.log(8 * math.pi) - self._log_normaliser()
        return total

    def modes(self, points: Array) -> Numbers:
        """The place among ``mode_names`` of the ring nearest by radius, shape (..., 2) → (...)."""
        radius = np.linalg.norm(_points(points), axis=-1)[..., None]
        return _nearest(np.abs(radius - np.array(self.radii)))

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """``count`` independent points, shape (count, 2, 1, 1), float32."""
        _check_count(count)
        radius = torch.zeros(0, dtype=torch.float64)
        while len(radius) < count:
            radius = torch.cat([radius, self._radii(count - len(radius), generator)])
        angle = 2 * math.pi * torch.rand(count, dtype=torch.float64, generator=generator)
        return _states(radius * torch.cos(angle), radius * torch.sin(angle))

    def _radii(self, proposals: int, generator: torch.Generator) -> torch.Tensor:
        r"""Exact radii by rejection: at most ``proposals`` of them, on average 97% for sigma = 0.15.

        With r = m + sigma z, the target for ring m is (1 + z/a) phi(z) on z > -a. It lies below
        phi(z) + [z > 0] z/a phi(z): a normal of mass 1 and a Rayleigh of mass 1/(a sqrt(2 pi)), so each proposal is
        one or the other. Only z < 0 from the normal is ever refused, with probability \|z\|/a (always below -a).
        """
        ring = torch.tensor(self.radii, dtype=torch.float64)
        masses = torch.cat([torch.ones_like(ring), self.sigma / (ring * math.sqrt(2 * math.pi))])
        kind = _categories(masses, proposals, generator)
        z = torch.randn(proposals, dtype=torch.float64, generator=generator)
        uniform = torch.rand(proposals, dtype=torch.float64, generator=generator)
        centre = ring[kind % len(ring)]
        is_rayleigh = kind >= len(ring)
        z = torch.where(is_rayleigh, torch.sqrt(-2 * torch.log1p(-uniform)), z)
        accepted = is_rayleigh | (uniform < 1 + z * self.sigma / centre)
        return (centre + self.sigma * z)[accepted]

    def _log_normaliser(self) -> float:
        a = np.array(self.radii) / self.sigma
        # Phi(a) + phi(a)/a = 1 + (phi(a)/a - Phi(-a)): the excess is summed alone, so that no digit is lost.
        excess = np.exp(_log_normal(a, 1.0)) / a - ndtr(-a)
        return float(np.log1p(excess.mean()))


@dataclass(frozen=True)
class EightGaussians:
    """Eight Gaussians of standard deviation ``sigma``, evenly spaced on the unit circle, of equal mass."""

    sigma: float = 0.15
    name: ClassVar[str] = "gmm"
    shape: ClassVar[tuple[int, ...]] = (2, 1, 1)
    size: ClassVar[None] = None
    mode_names: ClassVar[tuple[str, ...]] = ("0°", "45°", "90°", "135°", "180°", "225°", "270°", "315°")

    def __post_init__(self) -> None:
        _check_width(self.sigma)

    @property
    def extent(self) -> float:
        """Half the side of the square around the origin that holds practically all mass."""
        return 1.0 + _WIDTHS_SHOWN * self.sigma

    @property
    def centres(self) -> Array:
        """The eight means, shape (8, 2)."""
        angle = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def log_density(self, x: Array) -> Array:
        """Exact normalised log q at points of shape (..., 2): shape (...)."""
        offset = _points(x)[..., None, :] - self.centres
        log_terms = _log_normal(offset, self.sigma).sum(axis=-1)
        total: Array = logsumexp(log_terms, axis=-1) - math.log(8)
        return total

    def modes(self, points: Array) -> Numbers:
        """The place among ``mode_names`` (angles) of the nearest centre, shape (..., 2) → (...)."""
        return _nearest(np.linalg.norm(_points(points)[..., None, :] - self.centres, axis=-1))

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """``count`` independent points, shape (count, 2, 1, 1), float32."""
        _check_count(count)
        which = torch.randint(8, (count,), generator=generator)
        noise = torch.randn(count, 2, dtype=torch.float64, generator=generator)
        return _states(*(torch.from_numpy(self.centres)[which] + self.sigma * noise).T)


def _categories(masses: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    edges = torch.cumsum(masses, 0)
    uniform = torch.rand(count, dtype=torch.float64, generator=generator) * edges[-1]
    # the product can round up to the last edge, which would be a category too many
    return torch.searchsorted(edges, uniform, right=True).clamp(max=len(edges) - 1)


def _nearest(distance: Array) -> Numbers:
    place: Numbers = distance.argmin(axis=-1).astype(np.int8)
    return place


def _log_normal(offset: Array, sigma: float) -> Array:
    log_peak = math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return -0.5 * (offset / sigma) ** 2 - log_peak


def _states(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([x, y], dim=1).to(torch.float32)[:, :, None, None]


def _points(x: Array) -> Array:
    points = np.asarray(x, dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != 2:
        raise UsageError(f"a density on the plane needs points of shape (..., 2), but got shape {points.shape}.")
    return points


def _check_width(sigma: float) -> None:
    if not (math.isfinite(sigma) and sigma > 0):
        raise UsageError(f"sigma must be a finite number above 0, but is {sigma}.")


def _check_count(count: int) -> None:
    if count < 0:
        raise UsageError(f"the number of points to draw must be at least 0, but is {count}.")

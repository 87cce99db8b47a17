"""Energies whose law is known exactly, with independent draws of it: what samplers are held against.

Each law is a net (its F is the potential itself: use it with scale 1), ``draw(count, generator)`` of exact states
(count, 2, 1, 1), and the mean and covariance where they are closed.
"""

import math

import numpy as np
import torch
from scipy.stats import ks_2samp
from torch import nn

from ebmdiag_trainers.data import Rings
from ebmdiag_trainers.energies import MixtureEnergy

PRECISION = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
MEANS, WIDTH = ((-1.0, 0.0), (1.0, 0.5), (0.0, -1.2)), 0.6


class QuadraticEnergy(nn.Module):
    """F = x·P x / 2: a correlated Gaussian."""

    def __init__(self, precision=PRECISION):
        super().__init__()
        self.register_buffer("precision", precision)

    def forward(self, x):
        flat = x.flatten(1)
        return (flat @ self.precision.to(x.dtype) * flat).sum(1) / 2


class RingsEnergy(nn.Module):
    """F = -log q of the four rings, differentiable."""

    def __init__(self):
        super().__init__()
        self.rings = Rings()

    def forward(self, x):
        radius = x.flatten(1).norm(dim=1)[:, None]
        ring = torch.tensor(self.rings.radii, dtype=x.dtype)
        terms = -((radius - ring) ** 2) / (2 * self.rings.sigma**2) - ring.log()
        return -torch.logsumexp(terms, dim=1)


def gaussian_of(covariance, count, generator):
    """Exact states of a centred Gaussian."""
    factor = torch.linalg.cholesky(covariance)
    z = torch.randn(count, len(covariance), generator=generator, dtype=torch.float64)
    return (z @ factor.T).reshape(count, -1, 1, 1)


def biased_covariance(step, precision=PRECISION):
    """Of Langevin and of the leapfrog: per mode 1 / (λ (1 - h²λ/4))."""
    values, vectors = torch.linalg.eigh(precision)
    return vectors @ torch.diag(1 / (values * (1 - step**2 * values / 4))) @ vectors.T


def draw_mixture(count, generator):
    """Exact states of :func:`mixture`."""
    which = torch.randint(len(MEANS), (count,), generator=generator)
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return (torch.tensor(MEANS, dtype=torch.float64)[which] + WIDTH * noise).reshape(count, 2, 1, 1)


def mixture():
    """Three Gaussians near enough to be crossed."""
    return MixtureEnergy(MEANS, WIDTH).double()


def draw_rings(count, generator):
    """Exact states of the rings."""
    return Rings().draw(count, generator).double()


def moment_distances(x, mean, covariance):
    """Mean and covariance of independent states against the truth, each in its standard errors.

    The error of a covariance is that of the mean of products, from the sample itself: no normality is assumed.
    """
    flat = x.flatten(1).double()
    centred = flat - torch.as_tensor(mean, dtype=torch.float64)
    found = [(centred, torch.zeros(flat.shape[1]))]
    products = centred[:, :, None] * centred[:, None, :]
    found.append((products.flatten(1), covariance.flatten()))
    return torch.cat([(v.mean(0) - t) / (v.std(0) / math.sqrt(len(v))) for v, t in found]).numpy()


def assert_law(x, mean, covariance, errors=4.5):
    """Mean and covariance within so many standard errors."""
    distances = moment_distances(x, mean, covariance)
    assert np.abs(distances).max() < errors, distances.round(1)


def assert_same_law(x, exact, level=1e-4):
    """Two-sample Kolmogorov-Smirnov tests of coordinates, radius and a sum; independent states on both sides."""
    for name, view in VIEWS.items():
        p = ks_2samp(view(x), view(exact)).pvalue
        assert p > level, f"{name}: p = {p:.2g}"


VIEWS = {
    "first": lambda x: x.flatten(1)[:, 0].numpy(),
    "second": lambda x: x.flatten(1)[:, 1].numpy(),
    "radius": lambda x: x.flatten(1).norm(dim=1).numpy(),
    "sum": lambda x: x.flatten(1).sum(1).numpy(),
}

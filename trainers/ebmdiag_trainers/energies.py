"""Energies with known answers, to train and to test with. Each maps states (B, *shape) to outputs F, (B,).

As for every net, U = F / T with T = ε²/2: a Gaussian of coefficient c_i has precision λ_i = c_i / T. The stationary
variance of the unadjusted Langevin chain on it is 1 / (λ (1 - ε²λ/4)), not 1/λ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class GaussianEnergy(nn.Module):
    """F = Σ c_i x_i² / 2, the coefficients c learned: the exactly solvable model of learning.

    Args:
        coefficients: their first values, repeated in turn up to ``coordinates``.
        coordinates: N; by default as many as there are coefficients.
    """

    def __init__(self, coefficients: Sequence[float] = (1.0,), coordinates: int | None = None) -> None:
        super().__init__()
        count = coordinates or len(coefficients)
        values = torch.tensor([float(coefficients[i % len(coefficients)]) for i in range(count)])
        self.coefficients = nn.Parameter(values)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F of states with N coordinates."""
        output: Tensor = (self.coefficients * x.flatten(1).square()).sum(1) / 2
        return output


class LaplaceEnergy(nn.Module):
    """F = Σ b_i |x_i|: a kink at 0, where automatic differentiation sees no curvature."""

    def __init__(self, coefficients: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.tensor([float(value) for value in coefficients]))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F of states with as many coordinates as coefficients."""
        output: Tensor = (self.coefficients * x.flatten(1).abs()).sum(1)
        return output


class MixtureEnergy(nn.Module):
    """F = -scale · log Σ_k exp(-‖x - μ_k‖² / (2 σ²)) / K: equal Gaussians; ``scale`` = T makes exp(-U) that mixture."""

    def __init__(self, means: Sequence[Sequence[float]], sigma: float, scale: float = 1.0) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.tensor([[float(value) for value in mean] for mean in means]))
        self.sigma, self.scale = float(sigma), float(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F of states with as many coordinates as a mean has."""
        distance = (x.flatten(1)[:, None, :] - self.means).square().sum(2)
        terms = torch.logsumexp(-distance / (2 * self.sigma**2), dim=1)
        output: Tensor = -self.scale * (terms - math.log(len(self.means)))
        return output


ENERGIES: Mapping[str, type[nn.Module]] = {
    energy.__name__: energy for energy in (GaussianEnergy, LaplaceEnergy, MixtureEnergy)
}

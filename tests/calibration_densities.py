"""Densities whose samples are exact, as nets: the truth that the second axis of the verdict is calibrated against.

Each is a module F = T U (T = ε²/2) on states of N coordinates, with exp(-U) the density, up to a constant, and draws
exact samples of it. ``mode`` tells where a state belongs, for densities with modes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebmdiag_trainers.data.toy import EightGaussians, Rings
from ebmdiag_trainers.sampling.measures import directions


class Density(nn.Module):
    """U of flat states, (B, N) → (B,), its exact samples, and the number of a state's mode."""

    modes = 1

    def __init__(self, coordinates: int) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.heat = nn.Parameter(torch.tensor(1.0))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.coordinates, 1, 1)

    def at(self, epsilon: float) -> Density:
        """As the output F of a net that is trained with ε."""
        with torch.no_grad():
            self.heat.fill_(epsilon**2 / 2)
        return self

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.heat * self.potential(x.flatten(1))
        return output

    def potential(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Exact samples, (count, N, 1, 1), float32."""
        return self.flat(count, generator).float().reshape(count, *self.shape)

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def mode(self, x: Tensor) -> Tensor:
        """(B, N) → (B,), from 0 to ``modes`` - 1."""
        return torch.zeros(len(x), dtype=torch.int64)


class Normal(Density):
    """Mean 0 and a covariance matrix, (N, N)."""

    def __init__(self, covariance: Tensor) -> None:
        super().__init__(len(covariance))
        self.register_buffer("precision", torch.linalg.inv(covariance.double()).float())
        self.register_buffer("root", torch.linalg.cholesky(covariance.double()))

    def potential(self, x: Tensor) -> Tensor:
        return ((x @ self.precision) * x).sum(1) / 2

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, self.coordinates, generator=generator, dtype=torch.float64) @ self.root.T


def correlated(coordinates: int = 4, rho: float = 0.8) -> Normal:
    """Corr(x_i, x_j) = rho^|i-j|."""
    places = torch.arange(coordinates)
    return Normal(rho ** (places[:, None] - places).abs().float())


def scales(deviations: Sequence[float]) -> Normal:
    """Independent coordinates of these deviations."""
    return Normal(torch.diag(torch.tensor(deviations).square()))


class Student(Density):
    """Student's t of ν degrees of freedom in N coordinates: exp(-U) = (1 + |x|²/ν)^(-(ν + N)/2)."""

    def __init__(self, coordinates: int = 3, freedom: float = 5.0) -> None:
        super().__init__(coordinates)
        self.freedom = freedom

    def potential(self, x: Tensor) -> Tensor:
        return (self.freedom + self.coordinates) / 2 * torch.log1p(x.square().sum(1) / self.freedom)

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        normal = torch.randn(count, self.coordinates, generator=generator, dtype=torch.float64)
        squares = torch.randn(count, int(self.freedom), generator=generator, dtype=torch.float64).square().sum(1)
        return normal / (squares / self.freedom).sqrt()[:, None]


class Banana(Density):
    """x ~ Normal(0, 1), y = bend (x² - 1) + width Normal(0, 1): a ridge; the map has Jacobian 1."""

    def __init__(self, bend: float = 1.0, width: float = 0.5) -> None:
        super().__init__(2)
        self.bend, self.width = bend, width

    def potential(self, x: Tensor) -> Tensor:
        off = (x[:, 1] - self.bend * (x[:, 0].square() - 1)) / self.width
        return (x[:, 0].square() + off.square()) / 2

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        return torch.stack((z[:, 0], self.bend * (z[:, 0].square() - 1) + self.width * z[:, 1]), 1)


class TwoModes(Density):
    """Unit normals at ± apart/2 along a direction, the first with this weight.

    Args:
        apart: distance of the modes, in deviations.
        weight: of the first.
        coordinates: N.
        hidden: the direction is orthogonal to the projections that tables record (N > 4); else coordinate 0.
    """

    modes = 2

    def __init__(self, apart: float, weight: float = 0.5, coordinates: int = 2, *, hidden: bool = False) -> None:
        super().__init__(coordinates)
        axis = _unseen(coordinates) if hidden else torch.eye(coordinates)[0]
        self.register_buffer("axis", axis.float())
        self.apart, self.weight = apart, weight
        self.lean = math.log(weight / (1 - weight)) / 2

    def potential(self, x: Tensor) -> Tensor:
        pull = self.apart / 2 * (x @ self.axis) + self.lean
        return x.square().sum(1) / 2 - torch.logaddexp(pull, -pull)

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        sign = torch.where(torch.rand(count, generator=generator) < self.weight, 1.0, -1.0).double()
        return self.placed(sign, generator)

    def placed(self, sign: Tensor, generator: torch.Generator) -> Tensor:
        """Exact samples of the modes named by ±1, (count,)."""
        normal = torch.randn(len(sign), self.coordinates, generator=generator, dtype=torch.float64)
        return normal + self.apart / 2 * sign[:, None] * self.axis.double()

    def mode(self, x: Tensor) -> Tensor:
        return (x @ self.axis.to(x.dtype) < 0).long()


def _unseen(coordinates: int) -> Tensor:
    """A unit vector orthogonal to the fixed directions."""
    seen = torch.linalg.qr(torch.from_numpy(directions(coordinates)))[0]
    even = torch.ones(coordinates, dtype=torch.float64)
    rest = even - seen @ (seen.T @ even)
    return rest / rest.norm()


class Toy(Density):
    """The project's planar densities."""

    def __init__(self, source: EightGaussians | Rings) -> None:
        super().__init__(2)
        self.source, self.modes = source, len(source.mode_names)
        if isinstance(source, Rings):
            self.register_buffer("radii", torch.tensor(source.radii))
        else:
            angles = torch.arange(8) * (2 * math.pi / 8)
            self.register_buffer("centres", torch.stack((angles.cos(), angles.sin()), 1))

    def potential(self, x: Tensor) -> Tensor:
        width = self.source.sigma
        if isinstance(self.source, Rings):
            off = (x.square().sum(1) + 1e-12).sqrt()[:, None] - self.radii
            return -torch.logsumexp(-off.square() / (2 * width**2) - self.radii.log(), 1)
        squares = (x[:, None, :] - self.centres).square().sum(2)
        return -torch.logsumexp(-squares / (2 * width**2), 1)

    def flat(self, count: int, generator: torch.Generator) -> Tensor:
        return self.source.draw(count, generator).flatten(1).double()

    def mode(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.source.modes(x.double().numpy())).long()

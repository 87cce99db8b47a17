"""Hamiltonian Monte Carlo: fresh momenta, n leapfrog steps, accepted or not (Duane et al. 1987; Neal 2011,
arXiv:1206.1901).

    p ← p - (h/2) ∇V(x);  x ← x + h p;  p ← p - (h/2) ∇V(x)        (n times)
    log r = H(x, p) - H(x', p'),   H = V + ‖p‖²/2.

With n = 1 the proposal and the ratio are those of MALA. Unadjusted, a Gaussian of precision λ gets the variance
1 / (λ (1 - h²λ/4)), whatever n is: the leapfrog keeps p² + λ (1 - h²λ/4) x² exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebmdiag_trainers.samplers.contract import Info, Sampler, State, StepSize, metropolis, normal
from ebmdiag_trainers.samplers.target import Point, Target, inner


def leapfrog(target: Target, point: Point, momentum: Tensor, step_size: StepSize, steps: int) -> tuple[Point, Tensor]:
    """Follow the Hamiltonian for ``steps`` steps; ``step_size`` shaped to multiply states."""
    for _ in range(steps):
        half = momentum - step_size / 2 * point.gradient
        point = target.point(point.x + step_size * half)
        momentum = half - step_size / 2 * point.gradient
    return point, momentum


def kinetic(momentum: Tensor) -> Tensor:
    """‖p‖²/2, (B,), float64."""
    return inner(momentum, momentum) / 2


@dataclass(frozen=True)
class HmcUnadjusted(Sampler):
    """HMC without the Metropolis correction: every trajectory is followed to its end.

    Attributes:
        leapfrog: n, leapfrog steps in one step of the sampler, at least 1.
    """

    leapfrog: int = 10
    exact: ClassVar[bool] = False

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One trajectory; ``noise`` is the momentum."""
        after, log_ratio = self._propose(target, state, generator, noise)
        return State(after, count=state.count + 1), Info.of_ratio(log_ratio)

    def _propose(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None
    ) -> tuple[Point, Tensor]:
        momentum = normal(state.x, generator) if noise is None else noise
        after, last = leapfrog(target, state.point, momentum, self.sized(state.x), self.leapfrog)
        return after, state.point.potential - after.potential + kinetic(momentum) - kinetic(last)


@dataclass(frozen=True)
class Hmc(HmcUnadjusted):
    """HMC with the Metropolis correction."""

    exact: ClassVar[bool] = True
    adjusted: ClassVar[bool] = True

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One trajectory, accepted or refused."""
        after, log_ratio = self._propose(target, state, generator, noise)
        kept, _ = metropolis(state.point, after, log_ratio, generator)
        return State(kept, count=state.count + 1), Info.of_ratio(log_ratio)

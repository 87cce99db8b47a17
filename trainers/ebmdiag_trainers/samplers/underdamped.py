"""Underdamped Langevin: momentum that friction forgets slowly, by splittings into kicks, drifts and noise.

    B: p ← p - (h/2) ∇V(x);   A: x ← x + (h/2) p;   O: p ← c p + √(1 - c²) z.

``baoab`` (Leimkuhler and Matthews 2013, Appl. Math. Res. eXpress 2013:34), c = exp(-γh): unadjusted, the positions of a
Gaussian have exactly the right variance. At full friction (γ = ∞) it is x' = x - (h²/2) ∇V + h (z + z')/2, each noise
used in two steps. ``obabo``, c = exp(-γh/2) in either half: the leapfrog's bias, 1 / (λ (1 - h²λ/4)); at full friction
it is the Langevin step without momentum.

Adjusted, a step is accepted with probability min(1, e^{-W}), W the work of the kicks and drifts, which is the change of
H = V + ‖p‖²/2 without what the noise did to ‖p‖²/2: noise keeps the normal law of p, so it costs nothing (Horowitz
1991, Phys. Lett. B 268:247 for obabo; Sivak, Chodera and Crooks 2013, arXiv:1107.2967). A refused step turns the
momentum round, else exp(-H) would not be invariant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ebmdiag_trainers.samplers.contract import Info, Sampler, State, StepSize, metropolis, normal
from ebmdiag_trainers.samplers.hamiltonian import kinetic
from ebmdiag_trainers.samplers.target import Point, Target, per_chain

SPLITTINGS = ("baoab", "obabo")


@dataclass(frozen=True)
class UnderdampedUnadjusted(Sampler):
    """A splitting as it is.

    Attributes:
        friction: γ, per unit of time, where one step lasts h; above 0, infinity forgets the momentum in each step.
        splitting: baoab or obabo.
    """

    friction: float = 1.0
    splitting: str = "baoab"
    exact: ClassVar[bool] = False

    def init(self, target: Target, x: Tensor, generator: torch.Generator) -> State:
        """Momenta from their normal law."""
        return State(target.point(x), normal(x, generator))

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One step; ``noise`` as for :meth:`propose`."""
        after, momentum, log_ratio = self.propose(target, state, generator, noise)
        return State(after, momentum, state.count + 1), Info.of_ratio(log_ratio)

    def propose(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[Point, Tensor, Tensor]:
        """Where a step leads: the point, its momentum and -W. ``noise``: z for baoab; (z, z'), stacked, for obabo."""
        assert state.momentum is not None
        h = self.sized(state.x)
        if self.splitting == "baoab":
            z = normal(state.x, generator) if noise is None else noise
            return self._baoab(target, state.point, state.momentum, h, z)
        first, last = (normal(state.x, generator), normal(state.x, generator)) if noise is None else noise
        kept = self._kept(state.x, 0.5)
        momentum = _refresh(state.momentum, kept, first)
        half = momentum - h / 2 * state.point.gradient
        after = target.point(state.x + h * half)
        end = half - h / 2 * after.gradient
        work = after.potential - state.point.potential + kinetic(end) - kinetic(momentum)
        return after, _refresh(end, kept, last), -work

    def _baoab(
        self, target: Target, point: Point, momentum: Tensor, h: StepSize, z: Tensor
    ) -> tuple[Point, Tensor, Tensor]:
        kicked = momentum - h / 2 * point.gradient
        fresh = _refresh(kicked, self._kept(point.x, 1.0), z)
        after = target.point(point.x + h / 2 * kicked + h / 2 * fresh)
        end = fresh - h / 2 * after.gradient
        heat = kinetic(fresh) - kinetic(kicked)
        work = after.potential - point.potential + kinetic(end) - kinetic(momentum) - heat
        return after, end, -work

    def _kept(self, x: Tensor, share: float) -> StepSize:
        """c = exp(-γ h share), shaped to multiply states."""
        if isinstance(self.step_size, Tensor):
            return per_chain(torch.exp(-self.friction * share * self.step_size.double()), x)
        return math.exp(-self.friction * share * self.step_size)


def _refresh(momentum: Tensor, kept: StepSize, z: Tensor) -> Tensor:
    return kept * momentum + (1 - kept**2) ** 0.5 * z


@dataclass(frozen=True)
class Underdamped(UnderdampedUnadjusted):
    """A splitting with the Metropolis correction."""

    exact: ClassVar[bool] = True
    adjusted: ClassVar[bool] = True

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One step, accepted or refused."""
        assert state.momentum is not None
        after, momentum, log_ratio = self.propose(target, state, generator, noise)
        kept, accepted = metropolis(state.point, after, log_ratio, generator)
        choose = per_chain(accepted, momentum).bool()
        turned = replace(state, point=kept, momentum=torch.where(choose, momentum, -state.momentum))
        return replace(turned, count=state.count + 1), Info.of_ratio(log_ratio)

"""Langevin steps without momentum, unadjusted and with Metropolis correction.

    x' = x - (h²/2) ∇V(x) + h z,   z ~ Normal(0, I).

Unadjusted, the law of the chain is biased by the step (a Gaussian of precision λ gets the variance
1 / (λ (1 - h²λ/4))). MALA accepts with the ratio of Roberts and Tweedie 1996 (Bernoulli 2:341), written so that the
Gaussian densities of the proposals cancel:

    log r = -[V' - V - (x' - x)·(g + g') / 2] + (h²/8) (‖g‖² - ‖g'‖²).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import Engine
from ebmdiag_trainers.samplers.contract import Info, Sampler, State, StepSize, metropolis, normal
from ebmdiag_trainers.samplers.target import Point, Target, inner


def langevin_proposal(target: Target, point: Point, step_size: StepSize, noise: Tensor) -> Point:
    """Where the step leads, evaluated; ``step_size`` shaped to multiply states."""
    return target.point(point.x - step_size**2 / 2 * point.gradient + step_size * noise)


def langevin_log_ratio(before: Point, after: Point, step_size: StepSize) -> Tensor:
    """log r of the step, (B,), float64; ``step_size`` one number, or (B,)."""
    slope = inner(after.x - before.x, before.gradient + after.gradient) / 2
    squares = inner(before.gradient, before.gradient) - inner(after.gradient, after.gradient)
    return -(after.potential - before.potential - slope) + step_size**2 / 8 * squares


@dataclass(frozen=True)
class Langevin(Sampler):
    """The unadjusted step of the paper. With an engine, steps of the training's own size run on it, many at once."""

    engine: Engine | None = None
    exact: ClassVar[bool] = False

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One step; the info says what Metropolis would have thought of it."""
        z = normal(state.x, generator) if noise is None else noise
        after = langevin_proposal(target, state.point, self.sized(state.x), z)
        info = Info.of_ratio(langevin_log_ratio(state.point, after, self.step_size))
        return State(after, count=state.count + 1), info

    def advance(self, target: Target, state: State, steps: int, generator: torch.Generator) -> tuple[State, Info]:
        """As one call of the engine where the step fits it: x' = x - ∇F + h z, that is h² / 2 = s.

        The acceptance is then the mean over the second half of the steps, which is what engines sum up.
        """
        if self.engine is None or steps < _WORTH_A_CALL or not self._fits(target):
            return super().advance(target, state, steps, generator)
        size = float(self.step_size)
        chain = self.engine(target.net, state.x, steps, size, generator, closed=True)  # type: ignore[arg-type]
        target.gradients += steps + 1  # x_0 … x_L; we evaluate x_0 before and x_L after it once more
        assert chain.sums.log_ratio is not None
        info = Info(chain.sums.log_ratio / steps, chain.sums.tail_acceptance / chain.sums.tail_transitions)
        return State(target.point(chain.end), count=state.count + steps), info

    def _fits(self, target: Target) -> bool:
        if isinstance(self.step_size, Tensor) or isinstance(target.scale, Tensor):
            return False
        return abs(temperature(self.step_size) / target.scale - 1) < 1e-9


_WORTH_A_CALL = 4  # steps; an engine sums the acceptance over transitions l with L // 2 <= l <= L - 2


@dataclass(frozen=True)
class Mala(Sampler):
    """The Metropolis-adjusted Langevin algorithm."""

    adjusted: ClassVar[bool] = True

    def step(
        self, target: Target, state: State, generator: torch.Generator, noise: Tensor | None = None
    ) -> tuple[State, Info]:
        """One proposal, accepted or refused."""
        z = normal(state.x, generator) if noise is None else noise
        after = langevin_proposal(target, state.point, self.sized(state.x), z)
        log_ratio = langevin_log_ratio(state.point, after, self.step_size)
        kept, _ = metropolis(state.point, after, log_ratio, generator)
        return State(kept, count=state.count + 1), Info.of_ratio(log_ratio)

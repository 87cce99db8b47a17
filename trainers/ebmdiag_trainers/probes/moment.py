"""What a probe is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ebmdiag.errors import UsageError
from ebmdiag.rows import temperature
from ebmdiag_trainers.engines import Engine
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.recipe import Probe


@dataclass(frozen=True)
class Moment:
    """One iteration at θ_t, before its update, seen through the first m chains of its batch.

    Attributes:
        net: the energy; a probe must leave it as it is.
        engine: runs Langevin steps.
        epsilon, temperature, steps: ε, T and L of the training.
        positives, starts, negatives: x⁺, x_0 and x⁻ = x_L, each of shape (m, *shape).
        generator: for noise, on the device; of this probe and this iteration alone.
        rng: the same, for NumPy.
        settings: the recipe's [probe].
    """

    net: nn.Module
    engine: Engine
    epsilon: float
    temperature: float
    steps: int
    positives: Tensor
    starts: Tensor
    negatives: Tensor
    generator: torch.Generator
    rng: np.random.Generator
    settings: Probe

    @classmethod
    def of(
        cls,
        net: nn.Module,
        positives: Tensor,
        starts: Tensor,
        *,
        epsilon: float,
        steps: int,
        seed: int = 0,
        settings: Probe | None = None,
    ) -> Self:
        """A moment of a net that was trained elsewhere: chains of ``steps`` steps are run from ``starts``.

        Args:
            net: maps (B, *shape) to F, (B,); U = F / (ε²/2).
            positives, starts: shape (n, *shape) and (m, *shape).
            epsilon: ε of the Langevin steps, above 0.
            steps: L.
            seed: all random numbers follow from it.
            settings: what a recipe's [probe] would say.

        Raises:
            UsageError: ε is not above 0, no step, or no states.
        """
        if not epsilon > 0 or steps < 1 or not len(positives) or not len(starts):
            raise UsageError(
                f"a moment needs epsilon above 0, at least 1 step, positives and starts, but got epsilon = {epsilon}, "
                f"{steps} steps, {len(positives)} positives and {len(starts)} starts."
            )
        generator = torch.Generator(starts.device).manual_seed(seed)
        return cls(
            net=net,
            engine=run_reference,
            epsilon=epsilon,
            temperature=temperature(epsilon),
            steps=steps,
            positives=positives,
            starts=starts,
            negatives=run_reference(net, starts, steps, epsilon, generator).end,
            generator=generator,
            rng=np.random.default_rng(seed),
            settings=settings or Probe(),
        )

    @property
    def coordinates(self) -> int:
        """N."""
        return self.starts[0].numel()

    def energy(self, x: Tensor) -> Tensor:
        """U at states, shape (B,), float64."""
        with torch.no_grad():
            energy: Tensor = self.net(x).double() / self.temperature
        return energy

    def gradient(self, x: Tensor) -> Tensor:
        """g = ∇U at states, shape (B, N), float64."""
        _, gradient = energy_and_gradient(self.net, x)
        return gradient.flatten(1).double() / self.temperature

    def run(self, start: Tensor, steps: int) -> Tensor:
        """Where chains end after ``steps`` Langevin steps from ``start``."""
        return self.engine(self.net, start, steps, self.epsilon, self.generator).end


ProbeFunction = Callable[[Moment], Mapping[str, float | None]]

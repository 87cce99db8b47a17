"""Finding a step size in the warm-up: dual averaging (Nesterov 2009; Hoffman and Gelman 2014, arXiv:1111.4246, 3.2).

With α the mean acceptance of all chains in a step and δ the one aimed at, after k steps

    H̄ ← (1 - 1/(k + t_0)) H̄ + (δ - α) / (k + t_0);   log h = μ - √k H̄ / γ;   log h̄ ← k^{-κ} log h + (1 - k^{-κ}) log h̄.

The warm-up runs on h, all that follows on h̄: the sampler is then fixed, as an invariant law needs it to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch

from ebmdiag_trainers.samplers.contract import Sampler, State
from ebmdiag_trainers.samplers.hamiltonian import Hmc
from ebmdiag_trainers.samplers.langevin import Mala
from ebmdiag_trainers.samplers.target import Target

_GAMMA, _T0, _KAPPA = 0.05, 10.0, 0.75
_OPTIMAL: dict[type[Sampler], float] = {Mala: 0.574, Hmc: 0.651}
_OTHER = 0.8


@dataclass(frozen=True)
class DualAveraging:
    """The running averages.

    Attributes:
        centre: μ, the log step that they are drawn to: ten times the first step.
        error: H̄.
        log_step, log_mean: log h and log h̄.
        count: k.
    """

    centre: float
    error: float
    log_step: float
    log_mean: float
    count: int = 0

    @classmethod
    def start(cls, step_size: float) -> Self:
        """Begin at a step size."""
        return cls(math.log(10 * step_size), 0.0, math.log(step_size), 0.0)

    def update(self, acceptance: float, aim: float) -> Self:
        """After one step with this mean acceptance."""
        count = self.count + 1
        share = 1 / (count + _T0)
        error = (1 - share) * self.error + share * (aim - acceptance)
        log_step = self.centre - math.sqrt(count) * error / _GAMMA
        weight = count**-_KAPPA
        mean = weight * log_step + (1 - weight) * self.log_mean
        return replace(self, error=error, log_step=log_step, log_mean=mean, count=count)


def aimed_acceptance(sampler: Sampler) -> float:
    """The acceptance at which a long path costs least: 0.574 for MALA (Roberts and Rosenthal 1998), 0.651 for HMC
    (Beskos et al. 2013, arXiv:1001.4460), both in high dimension; 0.8 where none is known."""
    base = getattr(sampler, "base", sampler)
    return _OPTIMAL.get(type(base), _OTHER)


def warm_up_step(
    sampler: Sampler, averages: DualAveraging, target: Target, state: State, generator: torch.Generator
) -> tuple[DualAveraging, State]:
    """One step of an adjusted sampler at the step size of now, and the averages after it."""
    moved, info = sampler.with_step_size(math.exp(averages.log_step)).step(target, state, generator)
    assert info.acceptance is not None
    return averages.update(float(info.acceptance.mean()), aimed_acceptance(sampler)), moved


def adapted(sampler: Sampler, averages: DualAveraging) -> Sampler:
    """The sampler with the step size that the warm-up found."""
    return sampler.with_step_size(math.exp(averages.log_mean)) if averages.count else sampler

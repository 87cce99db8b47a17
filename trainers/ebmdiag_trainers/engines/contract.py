"""What every engine takes and gives.

One Langevin step on the network's output F (Nijkamp et al. 2020, arXiv:1903.12370, section 2):

    x_{l+1} = x_l - G_l + ε z_l,    G_l = ∇F(x_l),    z_l ~ Normal(0, I),    l = 0 … L-1

With T = ε²/2 and U = F / T this is the unadjusted Langevin step of size ε²/2 on exp(-U). An engine returns where
the chains end and, per chain, sums along the path; every per-iteration statistic is computed from these, so that
engines are interchangeable. "Tail" sums run over the second half of the path: steps l ≥ L // 2 for sums over
single steps, and the transitions l → l+1 with L // 2 ≤ l ≤ L-2, where the gradient on both sides is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PathSums:
    """Sums along the path of each chain; tensors of shape (B,), float64, in units of F and x.

    Attributes:
        steps: L.
        tail_steps, tail_transitions: how many terms the tail sums have.
        first_energy, tail_first_energy: F(x_0), and F where the tail begins. (F at the end is not needed by any
            step and is left to the caller.)
        gradient_norm: Σ_l ‖G_l‖ over all steps.
        step_norm: Σ_l ‖x_{l+1} - x_l‖ over all steps.
        displacement_squared: ‖x_L - x_0‖².
        tail_gradient_squared: Σ ‖G_l‖² over the tail steps.
        tail_position_gradient: Σ x_l · G_l over the tail steps.
        tail_next_gradient_squared: Σ ‖G_{l+1}‖² over the tail transitions.
        tail_noise_gradient: Σ z_l · (G_{l+1} - G_l) over the tail transitions.
        tail_log_ratio, tail_log_ratio_squared: Σ and Σ of squares of the Metropolis log-ratio over the tail
            transitions (0 for ε = 0, where no such ratio exists).
        tail_ratio, tail_acceptance: Σ exp(log-ratio) and Σ min(1, exp(log-ratio)) over the tail transitions.
        log_ratio: Σ of the Metropolis log-ratio over all L transitions, the one into x_L too; None unless asked for
            (``closed``), since it takes one more gradient. It is the weight that a path gains (Carbone et al. 2023).
        virial_correction: what ‖G‖² is multiplied with in the virial: 1/2 for the unadjusted Langevin step, 0 for steps
            that leave exp(-U) invariant, NaN where no such identity is known.
    """

    steps: int
    tail_steps: int
    tail_transitions: int
    first_energy: Tensor
    tail_first_energy: Tensor
    gradient_norm: Tensor
    step_norm: Tensor
    displacement_squared: Tensor
    tail_gradient_squared: Tensor
    tail_position_gradient: Tensor
    tail_next_gradient_squared: Tensor
    tail_noise_gradient: Tensor
    tail_log_ratio: Tensor
    tail_log_ratio_squared: Tensor
    tail_ratio: Tensor
    tail_acceptance: Tensor
    log_ratio: Tensor | None = None
    virial_correction: float = 0.5

    @cached_property
    def means(self) -> Mapping[str, float]:
        """Mean of each sum over the chains, by its name: all of them in one operation and one transfer."""
        sums = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value for name, value in sums.items() if isinstance(value, Tensor)}
        return dict(zip(tensors, torch.stack(list(tensors.values())).mean(1).tolist(), strict=True))


SUMS = tuple(field.name for field in fields(PathSums) if field.type not in ("int", "float"))
"""Names of the tensors, in one order for all engines that keep them in a table."""


@dataclass(frozen=True)
class Chain:
    """Where the chains ended, shape (B, *shape), detached, and their path sums."""

    end: Tensor
    sums: PathSums


class Engine(Protocol):
    """Runs L steps from ``start``."""

    def __call__(
        self,
        net: nn.Module,
        start: Tensor,
        steps: int,
        epsilon: float,
        generator: torch.Generator,
        noise: Tensor | None = None,
        closed: bool = False,
    ) -> Chain:
        """Run the chains.

        Args:
            net: maps (B, *shape) to F, (B,).
            start: x_0, shape (B, *shape); not changed.
            steps: L, at least 1.
            epsilon: ε, at least 0.
            generator: source of the noise; only its state decides the result.
            noise: z_0 … z_{L-1}, shape (L, B, *shape), to be used instead (for tests).
            closed: also evaluate the gradient at x_L and fill ``log_ratio``; needs ε > 0. The chain, the use of the
                generator and all other sums are the same to the last bit.
        """
        ...


def check_chain(steps: int, epsilon: float, closed: bool) -> None:
    """Refuse what no engine can run.

    Raises:
        ValueError: no step at all, or a closed path without noise, which has no Metropolis ratio.
    """
    if steps < 1:
        raise ValueError(f"a chain needs at least 1 step, but got {steps}")
    if closed and epsilon == 0:
        raise ValueError("a closed path needs noise: at epsilon = 0 there is no Metropolis ratio")

"""Weights that make lagging chains exact: Jarzynski's equality along the training of an energy.

Carbone, Hua, Coste and Vanden-Eijnden 2023 (arXiv:2305.19414). A chain starts from a known law ρ_0 = exp(-U_0) / Z_0
and carries a log-weight A, 0 at first. Whenever its target changes from U to U', A grows by U(x) - U'(x); with every
unadjusted Langevin step x → x' on U it grows by the Metropolis log-ratio of that step. Then, however few the steps,

    E[e^A f(x)] = (Z / Z_0) E_p f   with p = exp(-U) / Z for the U of now,

so e^A weighs chains that lag behind the model into chains of the model, and ESS / n = (Σ e^A)² / (n Σ e^{2A}) says
how many of them still count. The identity needs a ρ_0 that is positive everywhere: Gaussian, not uniform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass
class PathWeights:
    """The log-weights of a bank.

    Attributes:
        log_weight: A of each chain, shape (size,), float64.
        energy: U of each chain under the parameters that it was last run with, shape (size,), float64.
    """

    log_weight: Tensor
    energy: Tensor

    @classmethod
    def of_gaussian_start(cls, chains: Tensor, scale: float) -> Self:
        """Weights of chains drawn from Normal(0, scale² I): U_0 = ‖x‖² / (2 scale²), log Z_0 = N log(2π scale²) / 2."""
        energy = chains.flatten(1).double().square().sum(1) / (2 * scale**2)
        return cls(torch.zeros_like(energy), energy)

    def advance(self, slots: Tensor, first: Tensor, log_ratio: Tensor, last: Tensor) -> Tensor:
        """Carry the chains of ``slots`` through one iteration, and hand their log-weights back, shape (B,).

        Args:
            slots: which chains.
            first, last: U at x_0 and x_L under the parameters of this iteration, shape (B,).
            log_ratio: Σ of the Metropolis log-ratio over all L steps, shape (B,).
        """
        weight = self.log_weight[slots] + self.energy[slots] - first + log_ratio
        self.log_weight[slots] = weight
        self.energy[slots] = last
        return weight


def effective_share(log_weight: Tensor) -> float:
    """ESS / n, between 1/n and 1."""
    twice = 2 * torch.logsumexp(log_weight, 0) - torch.logsumexp(2 * log_weight, 0)
    return float(twice.exp()) / len(log_weight)


def log_mean_weight(log_weight: Tensor) -> float:
    """Estimate of log(Z / Z_0)."""
    return float(torch.logsumexp(log_weight, 0)) - math.log(len(log_weight))

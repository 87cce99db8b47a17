"""All that one iteration leaves for a statistic to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ebmdiag_trainers.engines.contract import PathSums


@dataclass(frozen=True)
class Update:
    """What the optimizer's step did, in units of U and of the parameters.

    Attributes:
        predicted_drop: -∇_θ d · Δθ: how far d falls on this batch to first order (γ ‖∇_θ d‖² for plain SGD).
        positives_after, negatives_after: mean U of the same samples after the step.
        parameter_norm, gradient_norm: ‖θ‖ before the step, and ‖∇_θ d‖.
        rate: γ as the optimizer applied it.
        last_layer_before, last_layer_after: ‖w‖² of the last weight, before and after.
        last_layer_gradient: ‖∇_w d‖².
    """

    predicted_drop: float
    positives_after: float
    negatives_after: float
    parameter_norm: float
    gradient_norm: float
    rate: float
    last_layer_before: float
    last_layer_after: float
    last_layer_gradient: float

    @property
    def difference_after(self) -> float:
        """d on the same samples after the step."""
        return self.positives_after - self.negatives_after


@dataclass(frozen=True)
class Aftermath:
    """What the next iteration's budget of d needs to know of this one, in units of U.

    Attributes:
        difference: d before the update.
        positives, negatives: mean U of this iteration's samples after its update.
    """

    difference: float
    positives: float
    negatives: float


@dataclass(frozen=True)
class BankUse:
    """The persistent chains after this iteration.

    Attributes:
        mean_age: iterations since a chain was last used, averaged over the bank (since the start, if never).
        mean_visits: how often a chain has been used, on average.
        unvisited: share of chains never used.
    """

    mean_age: float
    mean_visits: float
    unvisited: float


@dataclass(frozen=True)
class Record:
    """One iteration, for functions ``statistic(record) -> float | None``.

    Attributes:
        step: number of the iteration, from 1.
        epsilon, temperature: ε and T of the Langevin steps.
        data_noise: standard deviation of the noise on the positives.
        coordinates: N, numbers in one state.
        positives, start, negatives: x⁺, x_0 and x⁻ = x_L, shape (B, *shape).
        energy_pos, energy_neg: F(x⁺) and F(x⁻) before the update, shape (B,), float64.
        difference: d in units of U.
        sums: path sums of the chains.
        update: what the optimizer did.
        bank: use of the persistent chains; None without a bank.
        before: what the last iteration left; None in the first.
        log_weights: of the chains of this iteration (ebmdiag_trainers.weights), shape (B,); None unless asked for.
    """

    step: int
    epsilon: float
    temperature: float
    data_noise: float
    coordinates: int
    positives: Tensor
    start: Tensor
    negatives: Tensor
    energy_pos: Tensor
    energy_neg: Tensor
    difference: float
    sums: PathSums
    update: Update
    bank: BankUse | None
    before: Aftermath | None = None
    log_weights: Tensor | None = None

    @cached_property
    def sampling_error(self) -> float:
        """√(Var U⁺/n + Var U⁻/m), the standard error of d; 0 where it is undefined."""
        if min(len(self.energy_pos), len(self.energy_neg)) < 2:
            return 0.0
        variance = self.energy_pos.var() / len(self.energy_pos) + self.energy_neg.var() / len(self.energy_neg)
        return math.sqrt(float(variance)) / self.temperature

"""The paper's two optimizers and the schedule of their rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.recipe import Optimizer


def rate_scale(optimizer: Optimizer, epsilon: float) -> float:
    """What the recipe's rate is multiplied by: ε²/2 for SGD (1 for ε = 0), 1 for Adam.

    The loss d is in units of U = F / (ε²/2); SGD's rate undoes that factor, Adam's step does not depend on it.
    """
    return temperature(epsilon) if optimizer.name == "sgd" else 1.0


def build_optimizer(optimizer: Optimizer, parameters: Iterable[nn.Parameter], epsilon: float) -> torch.optim.Optimizer:
    """SGD or Adam at the scaled starting rate."""
    rate = optimizer.learning_rate * rate_scale(optimizer, epsilon)
    if optimizer.name == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=(optimizer.beta1, optimizer.beta2))
    return torch.optim.SGD(parameters, lr=rate, momentum=optimizer.momentum)


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """The rate that the next step will use."""
    return float(optimizer.param_groups[0]["lr"])


def decay_rate(built: torch.optim.Optimizer, optimizer: Optimizer, epsilon: float) -> None:
    """One iteration's decay, down to the floor."""
    floor = optimizer.floor * rate_scale(optimizer, epsilon)
    for group in built.param_groups:
        group["lr"] = max(float(group["lr"]) * optimizer.decay, floor)

"""Energy and gradient of any net at given states."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def energy_and_gradient(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """F(x), shape (B,), and ∇F(x), of the shape of ``x``; both detached. The net's parameters get no gradient."""
    x = x.detach().requires_grad_()
    energy = net(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient

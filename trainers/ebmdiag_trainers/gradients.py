"""Energy and gradient of any net at given states."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def energy_and_gradient(net: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """F(x), shape (B,), and ∇F(x), of the shape of ``x``; both detached. The net's parameters get no gradient."""
    x = x.detach().requires_grad_()
    energy = net(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient

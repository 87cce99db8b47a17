"""What a sampler sees of a net: the potential V = F / s of each chain, with s = T τ, T = ε²/2.

Samplers leave exp(-V) invariant (or a biased law near it): exp(-U) at the temperature τ = 1, since U = F / T. V is kept
in float64, since Metropolis ratios are differences of it; how exact it is still depends on the net's own dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmdiag_trainers.gradients import energy_and_gradient


@dataclass(frozen=True)
class Point:
    """States x, (B, *shape), their potential V, (B,), float64, and ∇V, of the shape of x; all detached."""

    x: Tensor
    potential: Tensor
    gradient: Tensor


class Target:
    """The potential, and how often it has been evaluated.

    Args:
        net: maps (B, *shape) to F, (B,).
        scale: s = T τ, above 0; one number, or one for each chain, shape (B,).

    Attributes:
        gradients, energies: evaluations for each chain so far; a gradient brings the energy with it.
    """

    def __init__(self, net: Callable[[Tensor], Tensor], scale: float | Tensor) -> None:
        self.net, self.scale = net, scale
        self.gradients, self.energies = 0, 0

    def point(self, x: Tensor) -> Point:
        """V and ∇V at x."""
        self.gradients += 1
        output, gradient = energy_and_gradient(self.net, x)
        return Point(x.detach(), output.double() / self.scale, gradient / self._per_state(x))

    def potential(self, x: Tensor) -> Tensor:
        """V at x, (B,), float64."""
        self.energies += 1
        with torch.no_grad():
            output = self.net(x)
        return output.double() / self.scale

    def terms(self, x: Tensor, local: Callable[[Tensor], Tensor]) -> Tensor:
        """Terms of V at x, (B, K), float64, whose sum is V but for a constant; counts as one energy.

        Args:
            x: states, (B, *shape).
            local: maps them to terms of F, (B, K).
        """
        self.energies += 1
        with torch.no_grad():
            output = local(x)
        return output.double() / (self.scale[:, None] if isinstance(self.scale, Tensor) else self.scale)

    def _per_state(self, x: Tensor) -> float | Tensor:
        """The scale, shaped and typed to divide states."""
        if isinstance(self.scale, Tensor):
            return per_chain(self.scale, x)
        return self.scale


def per_chain(values: Tensor, x: Tensor) -> Tensor:
    """One number for each chain, (B,), shaped and typed to multiply states x, (B, *shape)."""
    return values.to(x.dtype).reshape(-1, *(1 for _ in x.shape[1:]))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of states, (B,), float64."""
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1)).double()
    return product

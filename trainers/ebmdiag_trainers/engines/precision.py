"""How many digits the products inside a net keep on a GPU: float32, TF32 (10 bits of mantissa) or bfloat16 (7 bits)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ebmdiag.errors import RecipeError
from ebmdiag.names import nearest

PRECISIONS = ("float32", "tf32", "bfloat16")
Switches = tuple[tuple[Any, str, Any, Any], ...]


def check_precision(name: str) -> None:
    """Refuse a precision that there is not.

    Raises:
        RecipeError: with the known names.
    """
    if name not in PRECISIONS:
        raise RecipeError(
            f"[langevin] precision: unknown precision '{name}'{nearest(name, PRECISIONS)} "
            f"Known: {', '.join(PRECISIONS)}."
        )


def switches() -> Switches:
    """Where PyTorch keeps TF32: (holder, attribute, value for off, value for on), for products and convolutions.

    PyTorch 2.9 gave these switches new names, and refuses to read the old ones where the new were used.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(convolutions, "conv"):
        return tuple((holder, "fp32_precision", "ieee", "tf32") for holder in (products, convolutions.conv))
    return tuple((holder, "allow_tf32", False, True) for holder in (products, convolutions))


def forbid_tf32(places: Switches | None = None) -> None:
    """Switch TF32 off for good: by default PyTorch lets convolutions round to it, without being asked."""
    for holder, name, off, _ in switches() if places is None else places:
        setattr(holder, name, off)


@contextmanager
def tf32(allowed: bool, places: Switches | None = None) -> Iterator[None]:
    """TF32 switched on or off, and put back afterwards to what it was. A captured graph keeps what held then."""
    places = switches() if places is None else places
    before = [getattr(holder, name) for holder, name, _, _ in places]
    try:
        for holder, name, off, on in places:
            setattr(holder, name, on if allowed else off)
        yield
    finally:
        for (holder, name, _, _), value in zip(places, before, strict=True):
            setattr(holder, name, value)


def energy_and_gradient_in(precision: str) -> Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]:
    """F(x), (B,), and ∇F(x), both detached and of the dtype of ``x``; the net's products in this precision.

    Only the net computes in it: states, moves and sums keep their dtype. Under bfloat16 the weights are cast anew at
    each call: a cached cast would go stale when the weights change under a captured graph.
    """

    def evaluate(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        rounding = torch.autocast(x.device.type, torch.bfloat16, precision == "bfloat16", cache_enabled=False)
        with tf32(precision == "tf32"):
            with rounding:
                energy = net(x).to(x.dtype)
            (gradient,) = torch.autograd.grad(energy.sum(), x)
        return energy.detach(), gradient

    return evaluate

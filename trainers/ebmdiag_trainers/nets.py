"""The three energies of Nijkamp et al. 2020 (arXiv:1903.12370), and any other net by its name.

A net is a ``torch.nn.Module`` that maps states of shape (B, *shape) to outputs F of shape (B,); low F is likely.
Parameters carry the names of the paper's reference implementation, so its published state dicts load unchanged.
The activation is a leaky ReLU of negative slope 0.05 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ebmdiag.errors import RecipeError
from ebmdiag.names import nearest
from ebmdiag_trainers.energies import ENERGIES
from ebmdiag_trainers.named import import_named

NEGATIVE_SLOPE = 0.05


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(NEGATIVE_SLOPE)


class ToyNet(nn.Module):
    """Five 1x1 convolutions, widths 32, 64, 64, 64, 1: a small perceptron for states of (channels, 1, 1)."""

    def __init__(self, channels: int = 2, width: int = 32) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width, 2 * width, 1)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Conv2d(inside, outside, 1), _activation()]
        self.f = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F, shape (B,), of states (B, channels, 1, 1)."""
        output: Tensor = self.f(x)
        return output.flatten()


class VanillaNet(nn.Module):
    """Five convolutions that halve the resolution three times: the net of section 4.2, for 32x32 images."""

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1),
            _activation(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            _activation(),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            _activation(),
            nn.Conv2d(4 * width, 8 * width, 4, 2, 1),
            _activation(),
            nn.Conv2d(8 * width, 1, 4, 1, 0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F, shape (B,), of images (B, channels, 32, 32)."""
        output: Tensor = self.f(x)
        return output.flatten()


class NonLocalBlock(nn.Module):
    """Residual self-attention over pixels: Wang et al. 2018, arXiv:1711.07971, the embedded Gaussian form.

    Half the channels inside; keys and values are pooled by 2; the output convolution starts at zero, so that
    the block starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = channels // 2
        self.g = nn.Sequential(nn.Conv2d(channels, self.inner, 1), nn.MaxPool2d(2))
        self.W = nn.Conv2d(self.inner, channels, 1)
        self.theta = nn.Conv2d(channels, self.inner, 1)
        self.phi = nn.Sequential(nn.Conv2d(channels, self.inner, 1), nn.MaxPool2d(2))
        nn.init.zeros_(self.W.weight)
        assert self.W.bias is not None
        nn.init.zeros_(self.W.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of the shape of ``x``: (B, channels, H, W)."""
        values = self.g(x).flatten(2).transpose(1, 2)
        queries = self.theta(x).flatten(2).transpose(1, 2)
        keys = self.phi(x).flatten(2)
        attention = torch.softmax(queries @ keys, dim=-1)
        mixed = (attention @ values).transpose(1, 2).reshape(x.shape[0], self.inner, *x.shape[2:])
        output: Tensor = self.W(mixed) + x
        return output


class NonlocalNet(nn.Module):
    """Three convolutions with pooling and two non-local blocks: the net of section 4.3, for 32x32 images."""

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1),
            _activation(),
            nn.MaxPool2d(2),
            NonLocalBlock(width),
            nn.Conv2d(width, 2 * width, 3, 1, 1),
            _activation(),
            nn.MaxPool2d(2),
            NonLocalBlock(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, 1, 1),
            _activation(),
            nn.MaxPool2d(2),
        )
        self.fc = nn.Sequential(nn.Linear(4 * width * 16, 8 * width), _activation(), nn.Linear(8 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs F, shape (B,), of images (B, channels, 32, 32)."""
        output: Tensor = self.fc(self.convs(x).flatten(1))
        return output.flatten()


NETS: Mapping[str, type[nn.Module]] = {net.__name__: net for net in (ToyNet, VanillaNet, NonlocalNet)}


def build_net(factory: str, arguments: Mapping[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """Make a net and check that it maps (B, *shape) to (B,) with a gradient.

    Args:
        factory: ``ToyNet``, ``VanillaNet``, ``NonlocalNet``, or ``module:factory`` (the current folder is
            searched too). Naming a module runs its code.
        arguments: keyword arguments of the factory.
        shape: one state.

    Raises:
        RecipeError: unknown name, refused arguments, or a net of another signature.
        EbmdiagError: the module cannot be imported.
    """
    make = _factory(factory)
    try:
        net = make(**arguments)
    except Exception as error:  # whatever a factory makes of its arguments
        raise RecipeError(f"[net] {factory} does not take these arguments: {error}.") from error
    if not isinstance(net, nn.Module):
        raise RecipeError(f"[net] {factory} must return a torch.nn.Module, but returned {type(net).__name__}.")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise RecipeError(f"[net] {factory} has no parameters to learn.")
    _check_signature(net, factory, shape)
    return net


def _factory(name: str) -> Any:
    if ":" not in name:
        known = {**NETS, **ENERGIES}
        if name not in known:
            raise RecipeError(
                f"[net] factory: unknown net '{name}'{nearest(name, known)} "
                f"Known: {', '.join(known)}, or your own as 'module:factory'."
            )
        return known[name]
    return import_named(name, "[net] factory")


def _check_signature(net: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    x = torch.zeros(2, *shape, requires_grad=True)
    try:
        output = net(x)
    except Exception as error:  # whatever a net makes of a state that it was not built for
        first = (str(error).splitlines() or [""])[0]
        raise RecipeError(f"[net] {name} cannot take states of shape {shape}: {first}") from error
    if not isinstance(output, Tensor) or output.shape != (2,):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise RecipeError(f"[net] {name} must map (B, *{shape}) to (B,), but for B = 2 it gave {found}.")
    if not output.requires_grad or torch.autograd.grad(output.sum(), x, allow_unused=True)[0] is None:
        raise RecipeError(f"[net] {name} must be differentiable with respect to its input.")

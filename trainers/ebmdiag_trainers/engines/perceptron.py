"""Is a net a small perceptron, and what are its weights? Never by its name: by its parts and by what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

WIDEST = 512
"""Features of a layer, at most: beyond this one step is long enough for an ordinary matrix product."""
MOST_COORDINATES = 64

_RESHAPING = ("flatten", "squeeze", "reshape", "view")
_PARTS = (nn.Linear, nn.Conv2d, nn.LeakyReLU, nn.ReLU, nn.Flatten, nn.Identity)


class UnfitError(ValueError):
    """This engine cannot run this net, or these states; the message says why."""


@dataclass(frozen=True)
class Layer:
    """A linear map and the slope of the activation after it for negative arguments (1: there is none)."""

    linear: nn.Linear | nn.Conv2d
    slope: float

    def weight(self) -> NDArray[np.float32]:
        """Shape (outputs, inputs)."""
        return np.asarray(self.linear.weight.detach().flatten(1).numpy())

    def bias(self) -> NDArray[np.float32]:
        """Shape (outputs,)."""
        if self.linear.bias is None:
            return np.zeros(len(self.linear.weight), dtype=np.float32)
        return np.asarray(self.linear.bias.detach().numpy())


@dataclass(frozen=True)
class Perceptron:
    """Layers from the state to F; the last has one output and no activation."""

    layers: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of features, from the state's coordinates to 1."""
        return (*(layer.linear.weight.shape[1] for layer in self.layers), 1)

    def __call__(self, x: Tensor) -> Tensor:
        """F of states (B, *shape), shape (B,), with a graph; four times faster than 1x1 convolutions compute it."""
        for layer in self.layers:
            x = functional.linear(x.flatten(1), layer.linear.weight.flatten(1), layer.linear.bias)
            if layer.slope != 1:
                x = functional.leaky_relu(x, layer.slope)
        return x.flatten()


_KNOWN: WeakKeyDictionary[nn.Module, tuple[Perceptron, list[nn.Module]]] = WeakKeyDictionary()
"""What was read before, and the parts that the net had then."""


def perceptron_of(net: nn.Module) -> Perceptron:
    """:func:`layers_of` a net whose weights the CPU can read at once.

    Raises:
        UnfitError: the net is not a plain perceptron of float32 weights on the CPU; the message says why.
    """
    perceptron = layers_of(net)
    for layer in perceptron.layers:
        if layer.linear.weight.dtype != torch.float32 or not layer.linear.weight.is_cpu:
            raise UnfitError("its weights are not float32 numbers on the CPU")
    return perceptron


def layers_of(net: nn.Module) -> Perceptron:
    """The net's layers, by reference, on any device: its weights are read when they are asked for.

    The forward pass is traced symbolically, so that whatever it does beside its layers is seen.

    Raises:
        UnfitError: the net is not a plain perceptron; the message says why.
    """
    modules = list(net.modules())
    if any(map(_is_changed, modules)):
        _refuse_changed_parts(net)
    parts = modules[1:]  # not the net itself, which would never be forgotten then
    if net not in _KNOWN or _KNOWN[net][1] != parts:
        _KNOWN[net] = _read(net), parts
    return _KNOWN[net][0]


def _is_changed(module: nn.Module) -> bool:
    """Hooks, parametrizations and methods that were replaced change what a part computes."""
    own = module.__dict__
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in own
        or "parametrizations" in own["_modules"]
    )


def _refuse_changed_parts(net: nn.Module) -> None:
    for name, module in net.named_modules():
        if _is_changed(module):
            whose = f"its part '{name}'" if name else "the net itself"
            raise UnfitError(f"{whose} has a hook, a parametrization or a forward that was put in its place")


def _read(net: nn.Module) -> Perceptron:
    layers: list[Layer] = []
    for part in _parts(net):
        if type(part) in (nn.Linear, nn.Conv2d):
            layers.append(Layer(_checked_linear(part), 1.0))
        elif type(part) in (nn.LeakyReLU, nn.ReLU):
            if not layers or layers[-1].slope != 1.0:
                raise UnfitError("an activation does not follow a linear layer")
            layers[-1] = Layer(layers[-1].linear, _slope(part))
    _check_chain(layers)
    return Perceptron(tuple(layers))


def _parts(net: nn.Module) -> Iterator[nn.Module]:
    """The parts in the order of the forward pass, each fed by the one before and by nothing else."""
    try:
        graph = fx.Tracer().trace(net)
    except Exception as error:  # whatever a forward makes of a symbol in place of numbers
        raise UnfitError("its forward pass cannot be followed symbolically") from error
    before: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder" and before is None:
            before = node
            continue
        if node.all_input_nodes != [before]:
            raise UnfitError(f"its forward pass is not a plain sequence of layers (at '{node.name}')")
        before = node
        if node.op == "call_module":
            part = net.get_submodule(str(node.target))
            if type(part) not in _PARTS:
                raise UnfitError(f"its part '{node.target}' is a {type(part).__name__}")
            yield part
        elif node.op != "output" and not _reshapes(node):
            raise UnfitError(f"its forward pass does more than call its layers (at '{node.name}')")


def _reshapes(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in _RESHAPING
    return node.op == "call_function" and node.target in [getattr(torch, name, None) for name in _RESHAPING]


def _checked_linear(part: nn.Module) -> nn.Linear | nn.Conv2d:
    assert isinstance(part, nn.Linear | nn.Conv2d)
    if isinstance(part, nn.Conv2d):
        plain = part.kernel_size == part.stride == (1, 1) and part.groups == 1 and part.padding in ((0, 0), 0, "valid")
        if not plain:
            raise UnfitError("a convolution of it looks beyond one pixel")
    return part


def _slope(part: nn.Module) -> float:
    slope = float(part.negative_slope) if isinstance(part, nn.LeakyReLU) else 0.0
    if not 0 <= slope <= 1:
        raise UnfitError(f"a leaky ReLU of it has the slope {slope}, not one between 0 and 1")
    return slope


def _check_chain(layers: list[Layer]) -> None:
    if len(layers) < 2:
        raise UnfitError("it has no hidden layer")
    sizes = [tuple(layer.linear.weight.shape[:2]) for layer in layers]
    if any(before[0] != after[1] for before, after in pairwise(sizes)):
        raise UnfitError("its layers do not follow on each other")
    if sizes[-1][0] != 1 or layers[-1].slope != 1.0:
        raise UnfitError("it does not end in one linear output")
    if sizes[0][1] > MOST_COORDINATES:
        raise UnfitError(f"its states have {sizes[0][1]} coordinates, more than {MOST_COORDINATES}")
    widest = max(size[0] for size in sizes)
    if widest > WIDEST:
        raise UnfitError(f"a layer of it has {widest} features, more than {WIDEST}")

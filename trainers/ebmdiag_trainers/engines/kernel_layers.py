"""A small perceptron as the arguments of the Triton kernel; nothing here needs Triton."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ebmdiag_trainers.engines.perceptron import Perceptron, UnfitError, layers_of

MOST_FEATURES = 64
"""Features of a layer, at most: beyond this the weights no longer fit beside each other on the chip."""
MOST_HIDDEN = 4


@dataclass(frozen=True)
class KernelLayers:
    """Four hidden layers and an output; where there are fewer, the first is repeated (and not read)."""

    perceptron: Perceptron

    @classmethod
    def of(cls, net: nn.Module) -> KernelLayers:
        """The net's layers, by reference, on any device.

        Raises:
            UnfitError: the net is not a perceptron of the kernel's size; the message says why.
        """
        layers = cls(layers_of(net))
        widest = max(layers.perceptron.widths)
        if layers.hidden > MOST_HIDDEN:
            raise UnfitError(f"it has {layers.hidden} hidden layers, more than {MOST_HIDDEN}")
        if widest > MOST_FEATURES:
            raise UnfitError(f"a layer of it has {widest} features, more than {MOST_FEATURES}")
        return layers

    @property
    def hidden(self) -> int:
        """How many hidden layers."""
        return len(self.perceptron.layers) - 1

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of the four hidden layers."""
        return self._filled(self.perceptron.widths[1:-1])

    @property
    def slopes(self) -> tuple[float, ...]:
        """Slopes of the four activations for negative arguments."""
        return self._filled([layer.slope for layer in self.perceptron.layers[:-1]])

    def tensors(self) -> list[Tensor]:
        """Weight and bias of the four hidden layers and of the output, as they are now."""
        pairs = []
        for layer in self.perceptron.layers:
            weight, bias = layer.linear.weight.detach(), layer.linear.bias
            shift = weight.new_zeros(len(weight)) if bias is None else bias.detach()
            pairs.append((weight.flatten(1).contiguous(), shift.contiguous()))
        return [tensor for pair in (*self._filled(pairs[:-1]), pairs[-1]) for tensor in pair]

    def check_states(self, start: Tensor, device: str) -> None:
        """Refuse states that the kernel cannot take.

        Args:
            start: x_0.
            device: type of the device that the kernel runs on.

        Raises:
            UnfitError: the message says why.
        """
        if start.device.type != device:
            raise UnfitError(f"the Triton engine takes states on a {device.upper()} device, not on {start.device}")
        if start.dtype != torch.float32:
            raise UnfitError(f"the Triton engine takes states of float32, not {start.dtype}")
        coordinates = self.perceptron.widths[0]
        if start.ndim < 2 or start[0].numel() != coordinates:
            raise UnfitError(f"the net takes states of {coordinates} coordinates, but got {tuple(start.shape)}")
        for layer in self.perceptron.layers:
            if layer.linear.weight.dtype != torch.float32 or layer.linear.weight.device != start.device:
                raise UnfitError(f"its weights are not float32 numbers on {start.device}")

    def _filled(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return (*values, *[values[0]] * (MOST_HIDDEN - len(values)))

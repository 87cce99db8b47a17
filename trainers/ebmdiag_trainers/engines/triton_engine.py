"""The Triton engine: all steps of a small perceptron in one launch of one kernel, on a CUDA device.

One int64 a call is drawn from the generator and is the key of all the call's noise; so the generator's state decides
the result, and its state after a call does not depend on the number of steps. The seed never leaves the device, and
nothing is read back before the chain has ended: a call does not synchronize.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import triton
from torch import Tensor, nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import Chain, PathSums, check_chain
from ebmdiag_trainers.engines.perceptron import Perceptron, UnfitError, _read, _refuse_changed_parts
from ebmdiag_trainers.engines.precision import check_precision
from ebmdiag_trainers.engines.triton_kernel import SUMS, langevin

MOST_FEATURES = 64
"""Features of a layer, at most: beyond this the weights no longer fit beside each other on the chip."""
MOST_HIDDEN = 4
INTERPRETED = not isinstance(langevin, triton.runtime.JITFunction)
"""Whether Triton was imported with ``TRITON_INTERPRET=1``: then kernels run in Python, on the CPU."""

_LEAST_SIDE = 16  # of a matrix product
_WAVES = 2


def run_triton(
    net: nn.Module,
    start: Tensor,
    steps: int,
    epsilon: float,
    generator: torch.Generator,
    noise: Tensor | None = None,
    closed: bool = False,
    *,
    precision: str = "float32",
    block: int | None = None,
) -> Chain:
    """Run L Langevin steps; see :class:`~ebmdiag_trainers.engines.contract.Engine`.

    The stream of noise is not that of the reference engine; it does not depend on ``block``.

    Args:
        precision: of the products inside the net, one of ``PRECISIONS``; outside it nothing is rounded.
        block: chains of one program: 16, 32 or 64; by default by the number of chains.

    Raises:
        UnfitError: the net is not a perceptron of the kernel's size, or the states are not float32 on a CUDA device.
        RecipeError: no such precision.
    """
    check_chain(steps, epsilon, closed)
    check_precision(precision)
    layers = _Layers.of(net)
    layers.check(start)
    states = start.detach().flatten(1).contiguous()
    chains, coordinates = states.shape
    end = torch.empty_like(states)
    table = torch.empty(len(SUMS), chains, dtype=torch.float64, device=states.device)
    block = block or block_of(chains, states.device)
    langevin[(-(-chains // block),)](
        states,
        end,
        table,
        states if noise is None else noise.detach().to(torch.float32).flatten(2).contiguous(),
        _seed(states.device, generator if noise is None else None),
        torch.full((1,), 1 / temperature(epsilon), dtype=torch.float64, device=states.device),
        *layers.tensors(),
        *layers.slopes,
        chains,
        coordinates,
        *layers.widths,
        steps,
        steps // 2,
        epsilon,
        HIDDEN=layers.hidden,
        D=padded(coordinates),
        **{f"W{i}": padded(width) for i, width in enumerate(layers.widths, 1)},
        TOP=padded(layers.widths[layers.hidden - 1]),
        BLOCK=block,
        GIVEN=noise is not None,
        NOISY=epsilon > 0,
        PRECISION=precision,
        INTERPRETED=INTERPRETED,
    )
    return Chain(end.reshape(start.shape), _path_sums(table, steps, closed))


def padded(count: int) -> int:
    """The side of a matrix product that holds so many features: a power of two, at least 16."""
    return max(_LEAST_SIDE, 1 << (count - 1).bit_length())


def block_of(chains: int, device: torch.device) -> int:
    """Chains of one program: few, so that all processors have work, until there are more programs than these take."""
    if device.type != "cuda":
        return _LEAST_SIDE
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return next((size for size in (16, 32) if chains <= _WAVES * processors * size), 64)


def _seed(device: torch.device, generator: torch.Generator | None) -> Tensor:
    """One int64 on the device."""
    if generator is None:
        return torch.zeros(1, dtype=torch.int64, device=device)
    return torch.randint(0, 2**63 - 1, (1,), dtype=torch.int64, device=device, generator=generator)


def _path_sums(table: Tensor, steps: int, closed: bool) -> PathSums:
    sums: dict[str, Any] = dict(zip(SUMS, table, strict=True))
    if not closed:
        sums["log_ratio"] = None
    tail = steps // 2
    return PathSums(steps=steps, tail_steps=steps - tail, tail_transitions=steps - 1 - tail, **sums)


_KNOWN: WeakKeyDictionary[nn.Module, Perceptron] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Layers:
    """A perceptron as the kernel's arguments; layers that it does not have repeat its first."""

    perceptron: Perceptron

    @classmethod
    def of(cls, net: nn.Module) -> _Layers:
        """The net's layers, by reference, on any device."""
        _refuse_changed_parts(net)
        if net not in _KNOWN:
            _KNOWN[net] = _read(net)
        return cls(_KNOWN[net])

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

    def _filled(self, values: Sequence[Any]) -> tuple[Any, ...]:
        return (*values, *[values[0]] * (MOST_HIDDEN - len(values)))

    def tensors(self) -> list[Tensor]:
        """Weight and bias of the four hidden layers and of the output."""
        pairs = []
        for layer in self.perceptron.layers:
            weight, bias = layer.linear.weight.detach(), layer.linear.bias
            shift = weight.new_zeros(len(weight)) if bias is None else bias.detach()
            pairs.append((weight.flatten(1).contiguous(), shift.contiguous()))
        return [tensor for pair in (*self._filled(pairs[:-1]), pairs[-1]) for tensor in pair]

    def check(self, start: Tensor) -> None:
        """Refuse what the kernel cannot take.

        Raises:
            UnfitError: the message says why.
        """
        if self.hidden > MOST_HIDDEN:
            raise UnfitError(f"it has {self.hidden} hidden layers, more than {MOST_HIDDEN}")
        if max(self.perceptron.widths) > MOST_FEATURES:
            raise UnfitError(f"a layer of it has {max(self.perceptron.widths)} features, more than {MOST_FEATURES}")
        if start.device.type != ("cpu" if INTERPRETED else "cuda"):
            raise UnfitError(f"the Triton engine takes states on a CUDA device, not on {start.device}")
        if start.dtype != torch.float32:
            raise UnfitError(f"the Triton engine takes states of float32, not {start.dtype}")
        if start.ndim < 2 or start[0].numel() != self.perceptron.widths[0]:
            raise UnfitError(
                f"the net takes states of {self.perceptron.widths[0]} coordinates, but got {tuple(start.shape)}"
            )
        for layer in self.perceptron.layers:
            weight = layer.linear.weight
            if weight.dtype != torch.float32 or weight.device != start.device:
                raise UnfitError(f"its weights are not float32 numbers on {start.device}")

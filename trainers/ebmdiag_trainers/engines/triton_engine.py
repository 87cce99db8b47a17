"""The Triton engine: all steps of a small perceptron in one launch of one kernel, on a CUDA device.

One int64 a call is drawn from the generator and is the key of all the call's noise; so the generator's state decides
the result, and its state after a call does not depend on the number of steps. The seed never leaves the device, and
nothing is read back before the chain has ended: a call does not synchronize.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor, nn

from ebmdiag.rows import temperature
from ebmdiag_trainers.engines.contract import SUMS, Chain, PathSums, check_chain
from ebmdiag_trainers.engines.kernel_layers import KernelLayers
from ebmdiag_trainers.engines.precision import check_precision
from ebmdiag_trainers.engines.triton_kernel import langevin

INTERPRETED = not isinstance(langevin, triton.runtime.JITFunction)
"""Whether Triton was imported with ``TRITON_INTERPRET=1``: then kernels run in Python, on the CPU."""

_LEAST_SIDE = 16  # of a matrix product
_WAVES = 2
_WARPS = 8  # with 4, compiled for compute capability 9.0, it takes nearly twice the registers a thread


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
    layers = KernelLayers.of(net)
    layers.check_states(start, "cpu" if INTERPRETED else "cuda")
    states = start.detach().flatten(1).contiguous()
    chains, coordinates = states.shape
    end = torch.empty_like(states)
    table = torch.empty(len(SUMS), chains, dtype=torch.float64, device=states.device)
    block = block or block_of(chains, states.device)
    with torch.cuda.device_of(states):  # type: ignore[no-untyped-call]  # Triton launches on the current device
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
            BLOCK=block,
            GIVEN=noise is not None,
            NOISY=epsilon > 0,
            PRECISION=precision,
            INTERPRETED=INTERPRETED,
            num_warps=_WARPS,
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

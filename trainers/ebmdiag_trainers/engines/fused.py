"""The fused engine: all steps of a small perceptron, path sums included, in compiled code on the CPU's cores.

Chains are dealt into blocks of at most 64, whatever the number of threads; each chain's numbers are its own, so one
thread or many give the same bits. The noise of a chunk of steps is drawn from the generator at once. Between chunks,
a few hundredths of a second long, Python sees to signals.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ebmdiag_trainers.engines.agreement import agreeing
from ebmdiag_trainers.engines.contract import Chain, PathSums, check_chain
from ebmdiag_trainers.engines.fused_kernel import LANES, ROWS, SUMS, advance
from ebmdiag_trainers.engines.perceptron import Perceptron, UnfitError, perceptron_of
from ebmdiag_trainers.engines.reference import run_reference

BLOCK = 8 * LANES
_CHUNK_NOISE = 2**20  # numbers: 4 MB
_CHUNK_WORK = 2**31  # multiplications: some 40 ms of one core
_TRIALS, _TOLERANCE = 32, 1e-4


def run_fused(
    net: nn.Module,
    start: Tensor,
    steps: int,
    epsilon: float,
    generator: torch.Generator,
    noise: Tensor | None = None,
    closed: bool = False,
    *,
    threads: int | None = None,
    lean: bool = False,
) -> Chain:
    """Run L Langevin steps; see :class:`~ebmdiag_trainers.engines.contract.Engine`.

    The stream of noise is not that of the reference engine.

    Args:
        threads: how many, by default :func:`available_threads`; they do not change the result.
        lean: sum gradient norms only, for benchmarks.

    Raises:
        UnfitError: the net is not a small perceptron, or the states are not float32 on the CPU.
    """
    check_chain(steps, epsilon, closed)
    perceptron = perceptron_of(net)
    _check_states(start, perceptron)
    packed = _Packed.of(perceptron)
    states = start.detach().flatten(1).numpy()
    blocks = [_Block.of(packed, states, begin, end) for begin, end in pairwise(_bounds(len(states)))]
    threads = min(threads or available_threads(), len(blocks))
    shares = [blocks[first::threads] for first in range(threads)]
    with ThreadPoolExecutor(max(threads - 1, 1)) as pool:  # starts threads only when they are given work
        for first, chunk in _noise(start, steps, perceptron, generator, noise):

            def run(share: Sequence[_Block], first: int = first, chunk: NDArray[np.float32] = chunk) -> None:
                for block in share:
                    block.advance(first, steps, epsilon, closed, lean, chunk)

            others = [pool.submit(run, share) for share in shares[1:]]
            run(shares[0])
            for other in others:
                other.result()
    end = torch.from_numpy(np.concatenate([block.states() for block in blocks])).reshape(start.shape)
    return Chain(end, _path_sums(np.concatenate([block.sums for block in blocks], axis=1), start, end, steps, closed))


def check_agreement(net: nn.Module, shape: tuple[int, ...]) -> None:
    """Compare one step with the reference engine at random states, near and far.

    At a kink of F rounding decides which of two gradients is found; so a few states may differ in what comes from
    gradients, but none in its energy.

    Raises:
        UnfitError: the engines do not agree: the net computes something other than its layers say.
    """
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 10.0):
        start = scale * torch.randn(_TRIALS, *shape, generator=generator)
        expected = run_reference(net, start, 1, 0.0, generator)
        found = run_fused(net, start, 1, 0.0, generator)
        slopes = (
            agreeing(found.end, expected.end, _TOLERANCE)
            & agreeing(found.sums.gradient_norm, expected.sums.gradient_norm, _TOLERANCE)
            & agreeing(found.sums.tail_position_gradient, expected.sums.tail_position_gradient, _TOLERANCE)
        )
        energies = agreeing(found.sums.first_energy, expected.sums.first_energy, _TOLERANCE)
        if not bool(energies.all()) or int(slopes.sum()) < _TRIALS - 2:
            raise UnfitError("what it computes is not what its layers say")


def available_threads() -> int:
    """The cores that this process may use; ``OMP_NUM_THREADS`` caps them, as it caps PyTorch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores


def _check_states(start: Tensor, perceptron: Perceptron) -> None:
    if start.dtype != torch.float32 or start.device.type != "cpu":
        raise UnfitError(f"the fused engine takes states of float32 on the CPU, not {start.dtype} on {start.device}")
    if start.ndim < 2 or start[0].numel() != perceptron.widths[0]:
        raise UnfitError(f"the net takes states of {perceptron.widths[0]} coordinates, but got {tuple(start.shape)}")


def _noise(
    start: Tensor, steps: int, perceptron: Perceptron, generator: torch.Generator, given: Tensor | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Number of the first step, and noise of shape (steps, coordinates, chains), chunk by chunk."""
    chains, coordinates = len(start), perceptron.widths[0]
    work = 2 * chains * sum(inputs * outputs for inputs, outputs in pairwise(perceptron.widths))
    length = max(1, min(_CHUNK_NOISE // (chains * coordinates), _CHUNK_WORK // work))
    for first in range(0, steps, length):
        count = min(length, steps - first)
        if given is None:
            chunk = torch.randn(count, coordinates, chains, generator=generator)
        else:
            chunk = given[first : first + count].flatten(2).transpose(1, 2).to(torch.float32).contiguous()
        yield first, chunk.numpy()


def _bounds(chains: int) -> list[int]:
    """Where blocks begin, and where the last one ends: as few as can be, and as even as whole vectors allow."""
    groups = -(-chains // LANES)
    blocks = -(-groups * LANES // BLOCK)
    return [min(chains, LANES * (groups * block // blocks)) for block in range(blocks + 1)]


def _padded(count: int, unit: int) -> int:
    return -(-count // unit) * unit


@dataclass(frozen=True)
class _Packed:
    """A perceptron's weights as the kernel reads them, and where everything lies; see ``fused_kernel``."""

    weights: NDArray[np.float32]
    slopes: NDArray[np.float32]
    matrices: tuple[tuple[int, int, int], ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, perceptron: Perceptron) -> _Packed:
        pieces: list[NDArray[np.float32]] = []
        matrices: list[tuple[int, int, int]] = []
        end = 0
        for layer in perceptron.layers:
            weight, bias = layer.weight(), layer.bias()
            outputs, inputs = weight.shape
            ahead = np.zeros((inputs, _padded(outputs, ROWS)), np.float32)
            back = np.zeros((outputs, _padded(inputs, ROWS)), np.float32)
            shift = np.zeros(_padded(outputs, ROWS), np.float32)
            ahead[:, :outputs], back[:, :inputs], shift[:outputs] = weight.T, weight, bias
            pieces += [ahead.ravel(), back.ravel(), shift]
            matrices.append((end, end + ahead.size, end + ahead.size + back.size))
            end += ahead.size + back.size + shift.size
        slopes = np.array([layer.slope for layer in perceptron.layers], np.float32)
        return cls(np.concatenate(pieces), slopes, tuple(matrices), perceptron.widths)

    def layout(self, lanes: int) -> tuple[NDArray[np.int64], int]:
        """The kernel's table for blocks of ``lanes`` chains, and where the features end in the block's memory."""
        rows, place = [], 0
        for (inputs, outputs), matrices in zip(pairwise(self.widths), self.matrices, strict=True):
            out = place + _padded(inputs, ROWS) * lanes
            rows.append((inputs, outputs, place, out, *matrices))
            place = out
        return np.array(rows, np.int64), place + ROWS * lanes


@dataclass(frozen=True)
class _Block:
    """Some of the chains: their memory and their sums."""

    packed: _Packed
    layout: NDArray[np.int64]
    lanes: int
    begin: int
    places: tuple[int, int, int]
    work: NDArray[np.float32]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, packed: _Packed, states: NDArray[np.float32], begin: int, end: int) -> _Block:
        own = states[begin:end]
        lanes = _padded(len(own), LANES)
        layout, ones = packed.layout(lanes)
        gradient = ones + lanes
        before = gradient + _padded(packed.widths[0], ROWS) * lanes
        work = np.zeros(before + (packed.widths[0] + 1) * lanes, np.float32)
        work[: packed.widths[0] * lanes].reshape(-1, lanes)[:, : len(own)] = own.T
        work[ones : ones + lanes] = 1
        return cls(
            packed, layout, lanes, begin, (ones, gradient, before), work, np.zeros((len(SUMS), len(own)), np.float64)
        )

    def advance(
        self, first: int, steps: int, epsilon: float, closed: bool, lean: bool, noise: NDArray[np.float32]
    ) -> None:
        packed = self.packed
        net = (self.work, packed.weights, self.layout, packed.slopes, self.lanes, *self.places)
        advance(*net, first, steps, epsilon, closed, lean, noise, self.begin, self.sums)

    def states(self) -> NDArray[np.float32]:
        coordinates, count = self.packed.widths[0], self.sums.shape[1]
        return self.work[: coordinates * self.lanes].reshape(-1, self.lanes)[:, :count].T


def _path_sums(sums: NDArray[np.float64], start: Tensor, end: Tensor, steps: int, closed: bool) -> PathSums:
    found = dict(zip(SUMS, torch.from_numpy(sums), strict=True))
    log_ratio = found.pop("log_ratio")
    tail = steps // 2
    return PathSums(
        steps=steps,
        tail_steps=steps - tail,
        tail_transitions=steps - 1 - tail,
        displacement_squared=(end - start.detach()).flatten(1).double().square().sum(1),
        log_ratio=log_ratio if closed else None,
        **found,
    )

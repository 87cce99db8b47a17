"""The image engine: any net on the CPU, made faster for states that are large, such as images.

For any net: its parameters are frozen during the chain, so that no graph is built for their gradients; convolutions
get the memory layout that the CPU's library is fastest with (channels last); freed memory is kept by the process, so
that each step does not ask the system for the same pages again. The net itself is not touched: it is called with
other tensors in place of its parameters.

For the two image nets of the paper, energy and gradient are written out (``image_nets``), and the batch is dealt to
the threads in parts of a few chains, each of which a single thread computes. No thread waits for another inside a
step, so a busy machine costs what it takes and no more.

The noise is the reference engine's: the same generator gives the same chain, but for rounding.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ebmdiag_trainers.engines.contract import Chain, PathSums, check_chain
from ebmdiag_trainers.engines.image_nets import Evaluate, written_out
from ebmdiag_trainers.engines.perceptron import UnfitError
from ebmdiag_trainers.engines.reference import Point, Sums, draw_noise
from ebmdiag_trainers.gradients import energy_and_gradient
from ebmdiag_trainers.untouched import copy_buffers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precisions that the CPU has, and what the net computes in."""

MOST_CHAINS = 50
"""Of one part: convolutions are as fast as for a hundred, on half the memory."""
_LEAST_CHAINS = 4
_AHEAD = 4  # steps whose noise is drawn at once, and after which the parts wait for each other
LEAST_COORDINATES = 1000
"""Of a state of three axes for which this engine is chosen by itself."""
_TRIALS = 8
_ALIKE = 1e-4


def run_image(
    net: nn.Module,
    start: Tensor,
    steps: int,
    epsilon: float,
    generator: torch.Generator,
    noise: Tensor | None = None,
    closed: bool = False,
    *,
    precision: str = "float32",
) -> Chain:
    """Run L Langevin steps; see :class:`~ebmdiag_trainers.engines.contract.Engine`.

    Args:
        precision: ``float32`` or ``bfloat16``, of what is computed inside the net; states, noise and sums keep theirs.

    Raises:
        UnfitError: the states are not on the CPU, or there is no such precision there.
    """
    check_chain(steps, epsilon, closed)
    _check_states(start, precision)
    keep_freed_memory()
    evaluate = written_out(net, start, DTYPES[precision])
    source = _noise(start.detach(), steps, generator, noise)
    if evaluate is not None:
        return _run_parts(evaluate, start.detach(), steps, epsilon, source, closed)
    path = _Path(by_autograd(net, start, precision), start.detach(), steps, epsilon, closed)
    for block in source:
        path.advance(block)
    return path.finish()


def _check_states(start: Tensor, precision: str) -> None:
    if start.device.type != "cpu":
        raise UnfitError(f"the image engine takes states on the CPU, not on {start.device}")
    if precision not in DTYPES:
        raise UnfitError(f"the CPU has no precision '{precision}'; take one of {', '.join(DTYPES)}")


def _noise(start: Tensor, steps: int, generator: torch.Generator, given: Tensor | None) -> Iterator[Sequence[Tensor]]:
    """Noise of a few steps at a time, step by step."""
    for first in range(0, steps, _AHEAD):
        last = min(first + _AHEAD, steps)
        if given is None:
            yield [draw_noise(start, generator) for _ in range(first, last)]
        else:
            yield list(given[first:last])


class _Path:
    """Chains on their way: where they are, and their sums so far."""

    def __init__(self, evaluate: Evaluate, start: Tensor, steps: int, epsilon: float, closed: bool) -> None:
        self.evaluate, self.start, self.steps, self.epsilon, self.closed = evaluate, start, steps, epsilon, closed
        self.sums = Sums(steps, start, epsilon, closed)
        self.x, self.step = start, 0
        self.point: Point | None = None

    def advance(self, noise: Sequence[Tensor]) -> None:
        """One step for each tensor of noise."""
        point = self.point
        if point is None:
            point = Point.of(self.x, *self.evaluate(self.x))
        for z in noise:
            move = self.epsilon * z - point.gradient
            self.x = point.x + move
            self.sums.add_step(self.step, point, move)
            if self.step < self.steps - 1 or self.closed:
                after = Point.of(self.x, *self.evaluate(self.x))
                self.sums.add_transition(self.step, point, after, move, z)
                point = after
            self.step += 1
        self.point = point

    def finish(self) -> Chain:
        """Where the chains are, and what was summed up."""
        return Chain(self.x, self.sums.finish(self.x - self.start))


def by_autograd(net: nn.Module, start: Tensor, precision: str = "float32") -> Evaluate:
    """Energy and gradient of any net, by automatic differentiation, its parameters frozen."""
    layout = _layout_of(net, start, precision)
    frozen = _frozen(net, layout)

    def call(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            output: Tensor = functional_call(net, frozen, (x,))
        return output.to(x.dtype)

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        energy, gradient = energy_and_gradient(call, _laid_out(x, layout))
        return energy, gradient.contiguous()

    return evaluate


def _frozen(net: nn.Module, layout: torch.memory_format) -> dict[str, Tensor]:
    return {name: _laid_out(parameter.detach(), layout) for name, parameter in net.named_parameters()}


def _laid_out(x: Tensor, layout: torch.memory_format) -> Tensor:
    return x.contiguous(memory_format=layout) if x.ndim == 4 else x


_LAYOUTS: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], torch.memory_format]] = WeakKeyDictionary()


def _layout_of(net: nn.Module, start: Tensor, precision: str) -> torch.memory_format:
    """Channels last, unless the net cannot compute in it: ``view`` refuses to merge axes that are not in order.

    Tried once for each net and shape, on two states, with copies of its buffers and of PyTorch's generator.
    """
    if start.ndim != 4 or not any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in net.modules()):
        return torch.contiguous_format
    known = _LAYOUTS.setdefault(net, {})
    shape = tuple(start.shape[1:])
    if shape not in known:
        known[shape] = (
            torch.channels_last if _takes_channels_last(net, start[:2], precision) else torch.contiguous_format
        )
    return known[shape]


def _takes_channels_last(net: nn.Module, x: Tensor, precision: str) -> bool:
    tensors = _frozen(net, torch.channels_last) | copy_buffers(net)

    def call(states: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            output: Tensor = functional_call(net, tensors, (states,))
        return output

    with torch.random.fork_rng(devices=[]):
        try:
            energy_and_gradient(call, _laid_out(x, torch.channels_last))
        except RuntimeError:  # if it has another reason, it comes again in the chain, and is seen there
            return False
    return True


def _run_parts(
    evaluate: Evaluate,
    start: Tensor,
    steps: int,
    epsilon: float,
    source: Iterator[Sequence[Tensor]],
    closed: bool,
) -> Chain:
    """Deal the chains to as many threads as PyTorch has; each computes whole parts alone."""
    threads = torch.get_num_threads()
    bounds = list(pairwise(part_bounds(len(start), threads)))
    paths = [_Path(evaluate, start[begin:end], steps, epsilon, closed) for begin, end in bounds]
    with _one_thread_each(threads), _pool(min(threads, len(paths))) as pool:
        ahead = next(source, None)
        while ahead is not None:
            block = ahead
            running = [
                pool.submit(_advance, path, [z[begin:end] for z in block])
                for path, (begin, end) in zip(paths, bounds, strict=True)
            ]
            ahead = next(source, None)
            for future in running:
                future.result()
    return _joined([path.finish() for path in paths])


def _advance(path: _Path, noise: Sequence[Tensor]) -> None:
    with torch.no_grad():
        path.advance(noise)


def part_bounds(chains: int, threads: int) -> list[int]:
    """Where parts begin, and where the last one ends: one for each thread if that is enough, as even as can be."""
    size = max(_LEAST_CHAINS, min(MOST_CHAINS, -(-chains // threads)))
    parts = -(-chains // size)
    return [chains * part // parts for part in range(parts + 1)]


@contextmanager
def _one_thread_each(threads: int) -> Iterator[None]:
    """PyTorch and its libraries compute on one thread for each caller; afterwards on ``threads`` again."""
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are gone afterwards; after an error or an interrupt, what has not begun is dropped."""
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _joined(chains: Sequence[Chain]) -> Chain:
    """Chains that were run in parts as one."""
    first = chains[0].sums
    sums: dict[str, Any] = {}
    for field in fields(PathSums):
        values = [getattr(chain.sums, field.name) for chain in chains]
        sums[field.name] = torch.cat(values) if isinstance(values[0], Tensor) else getattr(first, field.name)
    return Chain(torch.cat([chain.end for chain in chains]), PathSums(**sums))


_TRIM = -1, 2**30  # glibc's M_TRIM_THRESHOLD, bytes
_MAP = -3, 2**25  # glibc's M_MMAP_THRESHOLD, bytes; it takes no more


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the process, up to 1 GiB, from now on; whether it does.

    By default it hands blocks of megabytes back to the system and asks for them again at each operation; filling in
    the pages anew costs as much as the operation. Other C libraries are left as they are.
    """
    mallopt: Callable[[int, int], int] | None = (
        getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    )
    return mallopt is not None and mallopt(*_TRIM) == 1 and mallopt(*_MAP) == 1


@dataclass(frozen=True)
class Disagreement:
    """How far two ways to compute F and its gradient are apart, in units of their size; of the median chain."""

    energy: float
    gradient: float


def compare(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> Disagreement:
    """Compare F, (B,), and gradients, (B, *shape).

    The median over chains: at a kink of F rounding decides which of two gradients a chain finds.
    """
    (energy, gradient), (true_energy, true_gradient) = found, expected
    tiny = torch.finfo(energy.dtype).tiny
    apart = (energy - true_energy).abs().median() / true_energy.abs().max().clamp(min=tiny)
    sizes = true_gradient.flatten(1).norm(dim=1).clamp(min=tiny)
    slopes = (gradient - true_gradient).flatten(1).norm(dim=1) / sizes
    return Disagreement(float(apart), float(slopes.median()))


def check_agreement(net: nn.Module, shape: tuple[int, ...]) -> None:
    """Compare energies and gradients with those that plain automatic differentiation finds, near and far.

    The parameters of a net that is written out are shaken first, so that what is zero at the beginning takes part;
    it is not to be used afterwards. Call it inside ``torch.random.fork_rng``.

    Raises:
        UnfitError: they are not the same but for rounding.
    """
    if written_out(net, torch.zeros(1, *shape), torch.float32) is not None:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    for scale in (0.1, 1.0):
        x = scale * torch.randn(_TRIALS, *shape)
        state = torch.get_rng_state()
        expected = energy_and_gradient(net, x)
        torch.set_rng_state(state)
        found = written_out(net, x, torch.float32) or by_autograd(net, x)
        apart = compare(found(x), expected)
        if not (apart.energy < _ALIKE and apart.gradient < _ALIKE):  # nor if one is not a number
            raise UnfitError(
                f"its energies and gradients differ from those of {type(net).__name__} (by "
                f"{apart.energy:.1g} and {apart.gradient:.1g} of their size)"
            )

"""How fast are the engines? A Langevin step, and a whole iteration of ``rings``, against a plain training loop.

Run: make bench, or python benchmarks/engines.py [repetitions [cpu]]. Takes some two minutes on two idle cores.
``OMP_NUM_THREADS`` should not be set: the plain loop is also timed on the threads that PyTorch takes by default.
With JAX installed, its jitted scan of the same chain has a row. With ``cpu``, for a machine that others use too, cases
on one thread are timed by the processor's clock, the others not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jax_chain import jax_case
from timing import interleaved, machine, spread, table
from torch import Tensor, nn

from ebmdiag.metadata import TraceMetadata
from ebmdiag.writer import TraceWriter
from ebmdiag_trainers.data import load_dataset
from ebmdiag_trainers.engines.contract import Chain
from ebmdiag_trainers.engines.fused import run_fused
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.nets import ToyNet
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.training import Algorithm, iterate

EPSILON, BATCH, STEPS, BANK = 0.125, 100, 500, 10_000
TURN = 10  # iterations of ours for one of the plain loop
DEFAULT_THREADS = torch.get_num_threads()
PLAIN, PLAIN_ONE = f"plain loop, {DEFAULT_THREADS} threads", "plain loop, 1 thread"
JAX = "JAX, jitted scan, all threads"
REFERENCE, FUSED_ONE, FUSED_TWO = "reference", "fused, 1 thread", "fused, 2 threads"


def plain_net() -> nn.Sequential:
    """The rings' net, as algorithm 1 of the paper asks for it: 1x1 convolutions and leaky ReLU."""
    widths = (2, 32, 64, 64, 64)
    parts: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        parts += [nn.Conv2d(inside, outside, 1), nn.LeakyReLU(0.05)]
    return nn.Sequential(*parts, nn.Conv2d(64, 1, 1))


def plain_chain(net: nn.Module, start: Tensor, steps: int) -> tuple[Tensor, float]:
    """L steps, and the mean gradient norm, which is all that a plain loop looks at."""
    x, norm = start.clone().requires_grad_(), 0.0
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        x.data += EPSILON * torch.randn_like(x) - gradient
        norm += float(gradient.flatten(1).norm(dim=1).mean())
    return x.detach(), norm / steps


class PlainLoop:
    """Algorithm 1 written straight down: no trace, no statistics but d and r."""

    def __init__(self) -> None:
        self.net, self.data = plain_net(), load_dataset("rings")
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1 * EPSILON**2 / 2)
        self.bank = 2 * torch.rand(BANK, 2, 1, 1) - 1
        self.generator = torch.Generator().manual_seed(0)

    def iterate(self) -> float:
        """One iteration."""
        positives = self.data.draw(BATCH, self.generator)
        slots = torch.randperm(BANK)[:BATCH]
        negatives, _ = plain_chain(self.net, self.bank[slots], STEPS)
        self.bank[slots] = negatives
        difference = (self.net(positives).mean() - self.net(negatives).mean()) / (EPSILON**2 / 2)
        self.optimizer.zero_grad()
        torch.autograd.backward(difference)
        self.optimizer.step()
        return difference.item()


def on_threads(count: int, case: Callable[[], object]) -> Callable[[], object]:
    """The case with PyTorch held to so many threads."""

    def run() -> object:
        torch.set_num_threads(count)
        return case()

    return run


class Ours:
    """Our training loop on rings, trace and all; remembers how long the chains of each iteration took."""

    def __init__(self, engine: Callable[..., Chain], clock: Callable[[], float], folder: Path) -> None:
        recipe = load_recipe("rings", ["langevin.engine=fused"])
        self.chains: list[float] = []
        self.clock = clock
        algorithm = Algorithm.of(recipe, load_dataset("rings"), torch.device("cpu"))
        self.algorithm = replace(algorithm, engine=partial(self._timed, engine))
        self.state = algorithm.initial_state()
        metadata = TraceMetadata.create(epsilon=EPSILON, producer="benchmark")
        # every 100 rows, as always, but not whenever 5 seconds have passed while others had their turn
        self.writer = TraceWriter(folder / "trace.parquet", metadata=metadata, flush_seconds=1e9)
        self.writer.__enter__()

    def _timed(self, engine: Callable[..., Chain], *arguments: object, **more: object) -> Chain:
        begun = self.clock()
        chain = engine(*arguments, **more)
        self.chains.append(self.clock() - begun)
        return chain

    def iterate(self) -> None:
        """One turn: iterations and their rows."""
        for _ in range(TURN):
            self.state, info = iterate(self.algorithm, self.state)
            self.writer.append(info.row)

    def close(self) -> None:
        """Compact the trace."""
        self.writer.__exit__(None, None, None)


def chosen(cases: dict[str, Callable[[], object]], clock: Callable[[], float]) -> dict[str, Callable[[], object]]:
    """All cases by the wall's clock; by the processor's, those on one thread."""
    return cases if clock is time.perf_counter else {name: cases[name] for name in cases if "threads" not in name}


def time_steps(repetitions: int, clock: Callable[[], float]) -> None:
    """Print microseconds of a Langevin step."""
    shapes = [(batch, steps) for batch in (10, 100, 1000) for steps in (50, 500)]
    columns = []
    for batch, steps in shapes:
        net, generator = load_net(), torch.Generator().manual_seed(1)
        start = torch.randn(batch, 2, 1, 1, generator=generator)
        ours = (net, start, steps, EPSILON, generator)
        plain = partial(plain_chain, net.f, start, steps)
        cases = {
            PLAIN: on_threads(DEFAULT_THREADS, plain),
            PLAIN_ONE: on_threads(1, plain),
            REFERENCE: on_threads(1, partial(run_reference, *ours)),
            FUSED_ONE: on_threads(1, partial(run_fused, *ours, threads=1)),
            FUSED_TWO: on_threads(1, partial(run_fused, *ours, threads=2)),
        }
        jax = jax_case(net, start, steps, EPSILON)
        if jax is not None:
            cases[JAX] = jax
        count = max(3, repetitions * 50 // steps if batch < 1000 else 3)
        seconds = interleaved(chosen(cases, clock), count, clock)
        columns.append([spread(values, 1e-6 * steps) for values in seconds.values()])
    head = ["microseconds a step", *(f"{batch} chains, L = {steps}" for batch, steps in shapes)]
    print(table(head, [[name, *(column[i] for column in columns)] for i, name in enumerate(seconds)]))


def time_widths(repetitions: int, clock: Callable[[], float]) -> None:
    """Print the fused engine's cost against the width of the net, and its share of the rate of matrix products."""
    rows, size = [], 512
    a, b = torch.randn(size, size), torch.randn(size, size)
    for width in (8, 16, 32, 64):
        net = ToyNet(width=width)
        start, generator = torch.randn(BATCH, 2, 1, 1), torch.Generator().manual_seed(1)
        weights = sum(parameter.numel() for parameter in net.parameters() if parameter.ndim > 1)
        chain = partial(run_fused, net, start, STEPS, EPSILON, generator, threads=1)
        cases = {"chain": on_threads(1, chain), "product": on_threads(1, partial(torch.mm, a, b))}
        seconds = interleaved(cases, repetitions, clock)
        rate = 2 * size**3 / np.median(seconds["product"])
        needed = 4 * weights * BATCH / rate  # forward and backward, a multiplication and an addition each
        step = seconds["chain"] / STEPS
        rows.append(
            [str(width), f"{weights:,}", spread(step, 1e-6), spread(100 * needed / step), f"{rate / 1e9:.0f}e9"]
        )
    head = ["ToyNet's width", "weights", "µs a step, 1 thread", "% of the rate of products", "that rate, 1/s"]
    print(table(head, rows))


def load_net() -> nn.Module:
    """The rings' net with the weights that its seed gives."""
    recipe = load_recipe("rings")
    return Algorithm.of(recipe, load_dataset("rings"), torch.device("cpu")).initial_state().net


def time_iterations(repetitions: int, clock: Callable[[], float], folder: Path) -> None:
    """Print milliseconds of an iteration of rings, the gain over the plain loop, and what is not chains."""
    runs = {
        name: Ours(engine, clock, folder / name)
        for name, engine in (
            (FUSED_ONE, partial(run_fused, threads=1)),
            (FUSED_TWO, partial(run_fused, threads=2)),
        )
    }
    plain = PlainLoop()
    cases = {
        PLAIN: on_threads(DEFAULT_THREADS, plain.iterate),
        PLAIN_ONE: on_threads(1, plain.iterate),
        **{name: on_threads(1, run.iterate) for name, run in runs.items()},
    }
    seconds = interleaved(chosen(cases, clock), repetitions, clock)
    for name in {*runs} & {*seconds}:
        seconds[name] = seconds[name] / TURN
    rows = []
    for name, values in seconds.items():
        rest = ""
        if name in runs:
            chains = np.array(runs[name].chains[-repetitions * TURN :]).reshape(repetitions, TURN).mean(1)
            rest = f"{spread(1 - chains / values, 0.01)} %"
        gains = [spread(seconds[base] / values) if base in seconds else "" for base in (PLAIN, PLAIN_ONE)]
        rows.append([name, spread(values, 1e-3), *gains, rest])
    head = ["an iteration of rings", "milliseconds", f"faster than {PLAIN}", f"than {PLAIN_ONE}", "not chains"]
    print(table(head, rows))
    for run in runs.values():
        run.close()


def main() -> None:
    """Print the tables, of one run."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    clock = time.process_time if "cpu" in sys.argv[2:] else time.perf_counter
    print(f"{clock.__name__}; {machine()}; medians (least to greatest) of interleaved repetitions\n")
    with tempfile.TemporaryDirectory() as folder:
        time_iterations(repetitions, clock, Path(folder))
    print()
    time_steps(repetitions, clock)
    print()
    time_widths(repetitions, clock)


if __name__ == "__main__":
    main()

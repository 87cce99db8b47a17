"""How fast is the image engine, and what does bfloat16 change? A Langevin step of the paper's two image nets.

Run: python benchmarks/images.py [repetitions] [VanillaNet, NonlocalNet or bias]. Takes some four minutes on two cores.
``OMP_NUM_THREADS`` should not be set. Each case has a process of its own, since an engine may change how a process
keeps its memory; they take turns.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
import torch
from timing import interleaved, machine, spread, table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ebmdiag_trainers.engines.image import run_image
from ebmdiag_trainers.engines.reference import run_reference
from ebmdiag_trainers.nets import NETS, NonlocalNet, VanillaNet
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.training import Algorithm, iterate

BATCH, STEPS, EPSILON, SHAPE = 100, 4, 0.01, (3, 32, 32)
RECIPES = {"VanillaNet": "flowers", "NonlocalNet": "flowers-convergent"}


class SubVanilla(VanillaNet):
    """The same net under another type: it is computed as any other net."""


class SubNonlocal(NonlocalNet):
    """The same net under another type: it is computed as any other net."""


SUBCLASSES: dict[str, type[nn.Module]] = {"VanillaNet": SubVanilla, "NonlocalNet": SubNonlocal}


def plain(net: nn.Module, start: Tensor, steps: int, epsilon: float, generator: torch.Generator) -> float:
    """L steps as one writes them down, and the mean gradient norm, which is all that is looked at."""
    x, norm = start.clone().requires_grad_(), 0.0
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        x.data += epsilon * torch.randn(x.shape, generator=generator) - gradient
        norm += float(gradient.flatten(1).norm(dim=1).mean())
    return norm / steps


CASES: dict[str, tuple[bool, Callable[..., object]]] = {
    "plain loop": (False, plain),
    "reference": (False, run_reference),
    "image": (False, run_image),
    "image, bfloat16": (False, partial(run_image, precision="bfloat16")),
    "image, as any net": (True, run_image),
    "image, as any net, bfloat16": (True, partial(run_image, precision="bfloat16")),
}


def serve(name: str, case: str, pipe: Connection) -> None:
    """In a process of its own: run a few steps whenever asked, and tell the processor time that they took."""
    other, run = CASES[case]
    torch.manual_seed(0)
    net = (SUBCLASSES if other else NETS)[name]()
    generator = torch.Generator().manual_seed(1)
    start = 2 * torch.rand(BATCH, *SHAPE, generator=generator) - 1
    while pipe.recv():
        begun = time.process_time()
        run(net, start, STEPS, EPSILON, generator)
        pipe.send(time.process_time() - begun)


class Worker:
    """A case in a process of its own; remembers the processor time of each turn."""

    def __init__(self, name: str, case: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(name, case, theirs), daemon=True)
        self.process.start()
        self.busy: list[float] = []

    def __call__(self) -> None:
        """One turn."""
        self.pipe.send(True)
        self.busy.append(self.pipe.recv())

    def close(self) -> None:
        """End the process."""
        self.pipe.send(False)
        self.process.join()


def operations(net: nn.Module) -> int:
    """Multiplications and additions of one step, forward and back to the image, as PyTorch counts them."""
    x = torch.zeros(BATCH, *SHAPE, requires_grad=True)
    net.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(net(x).sum())
    return int(counter.get_total_flops())


def fastest(dtype: torch.dtype) -> float:
    """Operations in a second of one core, in the best case that was found: a wide convolution, channels last."""
    x = torch.randn(25, 256, 8, 8).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    with torch.no_grad():
        for _ in range(10):
            begun = time.process_time()
            torch.conv2d(x, weight, None, 1, 1)
            seconds.append(time.process_time() - begun)
    torch.set_num_threads(threads)
    return 2 * 25 * 64 * 256 * 256 * 9 / min(seconds)


def time_steps(name: str, repetitions: int) -> None:
    """Print milliseconds of a Langevin step."""
    workers = {case: Worker(name, case) for case in CASES}
    seconds = interleaved(workers, repetitions)
    for worker in workers.values():
        worker.close()
    busy = {case: np.array(worker.busy[1:]) for case, worker in workers.items()}
    work = operations(NETS[name]())
    rates = {False: fastest(torch.float32), True: fastest(torch.bfloat16)}
    rows = []
    for case in CASES:
        share = work * STEPS / rates["bfloat16" in case] / busy[case]
        gains = [spread(times["plain loop"] / times[case]) for times in (seconds, busy)]
        times = [spread(times[case], 1e-3 * STEPS) for times in (seconds, busy)]
        rows.append([case, times[0], gains[0], times[1], gains[1], spread(100 * share) + " %"])
    limits = " and ".join(f"{1e3 * work / rates[low]:.0f} ms in {'bfloat16' if low else 'float32'}" for low in rates)
    print(f"{name}: {work / 1e9:.2f}e9 operations a step, for one core at least {limits}\n")
    head = [f"{BATCH} chains", "ms a step", "faster than plain", "processor ms", "fewer than plain", "of the limit"]
    print(table(head, rows), end="\n\n")


class SmoothImages:
    """Blurred noise: images to train on for a moment, without a download."""

    shape, size, name = SHAPE, 500, "smooth"

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise of 4x4 pixels, enlarged, on [-1, 1]."""
        coarse = 2 * torch.rand(count, 3, 4, 4, generator=generator) - 1
        return nn.functional.interpolate(coarse, SHAPE[1:], mode="bilinear")


def trained(name: str, iterations: int) -> tuple[nn.Module, float, Tensor]:
    """A net after some iterations, its recipe's epsilon, and states: half positives, half short-run samples."""
    settings = ["training.batch=50", "langevin.steps=20"]
    if name == "NonlocalNet":
        settings += ["langevin.start=uniform", "optimizer.name=adam", "optimizer.learning_rate=1e-4"]
        settings += ["optimizer.floor=0"]
    recipe = load_recipe(RECIPES[name], [*settings, f"training.iterations={max(1, iterations)}"])
    algorithm = Algorithm.of(recipe, SmoothImages(), torch.device("cpu"))
    state = algorithm.initial_state()
    negatives = 2 * torch.rand(50, *SHAPE, generator=state.chain_generator) - 1
    for _ in range(iterations):
        state, info = iterate(algorithm, state)
        negatives = info.negatives
    positives = algorithm.draw_positives(50, state.data_generator)
    return state.net, recipe.langevin.epsilon, torch.cat([positives, negatives])


def bias(name: str, iterations: int) -> list[str]:
    """What bfloat16 changes: a row of the table."""
    net, epsilon, x = trained(name, iterations)
    first, path = {}, {}
    for precision in ("float32", "bfloat16"):
        first[precision] = run_image(net, x, 1, 0.0, torch.Generator(), precision=precision)
        path[precision] = run_image(net, x, 20, epsilon, torch.Generator().manual_seed(1), precision=precision)
    exact, rounded = ((x - first[precision].end).flatten(1).double() for precision in first)
    error = (rounded - exact).norm(dim=1) / exact.norm(dim=1)
    cosine = nn.functional.cosine_similarity(exact, rounded)
    whole = float((rounded.mean(0) - exact.mean(0)).norm() / exact.mean(0).norm())
    sums = {precision: chain.sums for precision, chain in path.items()}
    r = {precision: float(one.gradient_norm.mean()) for precision, one in sums.items()}
    accepted = [float(one.tail_acceptance.mean()) / one.tail_transitions for one in sums.values()]
    ends = {precision: net(chain.end).detach().double().mean() for precision, chain in path.items()}
    heat = epsilon**2 / 2
    moved = float(ends["bfloat16"] - ends["float32"]) / heat
    return [
        f"{name}, {iterations} iterations",
        f"{100 * float(error.median()):.2g} % (up to {100 * float(error.max()):.2g} %)",
        f"{float(cosine.median()):.4f} (from {float(cosine.min()):.4f})",
        f"{100 * whole:.2g} %",
        f"{100 * (r['bfloat16'] / r['float32'] - 1):+.2g} %",
        f"{moved:+.2g} ({float(net(x).detach().std()) / heat:.2g})",
        f"{accepted[0]:.2f}, {accepted[1]:.2f}",
    ]


def main() -> None:
    """Print all tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    print(f"{machine()}; medians (least to greatest) of interleaved repetitions of {STEPS} steps\n")
    parts = sys.argv[2:] or [*RECIPES, "bias"]
    for name in RECIPES.keys() & set(parts):
        time_steps(name, repetitions)
    if "bias" not in parts:
        return
    head = ["bfloat16", "gradient: error", "cosine", "error of its mean", "r", "mean U(x_20) (sd of U)", "acceptance"]
    print(table(head, [bias(name, iterations) for name in RECIPES for iterations in (0, 20)]))


if __name__ == "__main__":
    main()

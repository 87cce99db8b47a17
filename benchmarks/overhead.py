"""What do the statistics cost that every run records? A whole iteration with them, against one with d and r only.

Run: python benchmarks/overhead.py [repetitions]. ToyNet runs at its full L on the fused engine. An iteration of the
image nets takes minutes at theirs (L = 500 and 150): they run 2 and 8 steps on the reference engine, and the time of
an iteration at full length follows from the straight line through both. All is timed by the processor's clock, which
others who use the machine disturb less.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from timing import interleaved, machine, spread, table
from torch import Tensor, nn

from ebmdiag.rows import iteration_row, temperature
from ebmdiag_trainers.data import load_dataset
from ebmdiag_trainers.engines import output_of
from ebmdiag_trainers.engines.contract import Chain
from ebmdiag_trainers.engines.fused import run_blocks
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.starts import draw_start
from ebmdiag_trainers.training import Algorithm, State, iterate

SHORT, LONG = 2, 8
BATCH = 32  # images in one iteration, not 100: the dearest operations cost a little more of the time then


class NoiseImages:
    """States of an image's shape: what they show does not matter to the clock."""

    shape, size, name = (3, 32, 32), 500, "noise"

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform noise on [-1, 1]."""
        return 2 * torch.rand(count, *self.shape, generator=generator) - 1


@dataclass
class Lean:
    """The same algorithm with d and r only."""

    algorithm: Algorithm
    state: State

    def iterate(self) -> dict[str, float | int | None]:
        """One iteration; the row of d and r."""
        algorithm, state, recipe = self.algorithm, self.state, self.algorithm.recipe
        langevin, batch = recipe.langevin, recipe.training.batch
        positives = algorithm.draw_positives(batch, state.data_generator)
        start = draw_start(langevin, state.bank, batch, algorithm.dataset.shape, state.chain_generator)
        run = self._fused if langevin.engine == "fused" else _lean_reference
        negatives, norm = run(state.net, start.states, langevin.steps, langevin.epsilon, state.chain_generator)
        output = output_of(langevin.engine, state.net)
        energy_pos, energy_neg = output(positives), output(negatives)
        row = iteration_row(
            state.step, energy_pos=energy_pos, energy_neg=energy_neg, gradient_norm=norm, epsilon=langevin.epsilon
        )
        if state.bank is not None and start.slots is not None:
            state.bank.store(start.slots, negatives, state.step)
        state.optimizer.zero_grad()
        torch.autograd.backward((energy_pos.mean() - energy_neg.mean()) / temperature(langevin.epsilon))
        state.optimizer.step()
        state.step += 1
        return row

    def _fused(
        self, net: nn.Module, start: Tensor, steps: int, epsilon: float, generator: torch.Generator
    ) -> tuple[Tensor, float]:
        chain: Chain = run_blocks(net, start, steps, epsilon, generator, lean=True)
        return chain.end, float(chain.sums.gradient_norm.mean()) / steps


def _lean_reference(
    net: nn.Module, start: Tensor, steps: int, epsilon: float, generator: torch.Generator
) -> tuple[Tensor, float]:
    x, norm = start, torch.zeros(len(start), dtype=torch.float64)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        norm += torch.linalg.vecdot(gradient.flatten(1), gradient.flatten(1)).sqrt()
        x = x.detach() + epsilon * torch.randn(x.shape, generator=generator) - gradient
    return x, float(norm.mean()) / steps


def pair(algorithm: Algorithm, turn: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Some iterations with all statistics, and as many with d and r only."""
    state, lean = algorithm.initial_state(), Lean(algorithm, algorithm.initial_state())

    def full() -> None:
        for _ in range(turn):
            iterate(algorithm, state)

    def bare() -> None:
        for _ in range(turn):
            lean.iterate()

    return full, bare


def toy_ratio(repetitions: int) -> np.ndarray:
    """Full over lean, for rings as it is."""
    algorithm = Algorithm.of(load_recipe("rings"), load_dataset("rings"), torch.device("cpu"))
    assert algorithm.recipe.langevin.engine == "fused"
    full, bare = pair(algorithm, 10)
    seconds = interleaved({"full": full, "lean": bare}, repetitions, time.process_time)
    return seconds["full"] / seconds["lean"]


def image_ratio(recipe_name: str, repetitions: int) -> tuple[float, int]:
    """Full over lean at the recipe's L, from the least times at two short lengths; and that L."""
    settings = [
        f"training.batch={BATCH}",
        "langevin.engine=reference",
        "optimizer.floor=0",
        "optimizer.learning_rate=1e-9",
    ]
    recipe = load_recipe(recipe_name, settings)
    cases = {}
    for steps in (SHORT, LONG):
        short = replace(recipe, langevin=replace(recipe.langevin, steps=steps))
        algorithm = Algorithm.of(short, NoiseImages(), torch.device("cpu"))
        cases["full", steps], cases["lean", steps] = pair(algorithm, 1)
    names = {f"{kind} {steps}": case for (kind, steps), case in cases.items()}
    seconds = interleaved(names, repetitions, time.process_time)
    whole = {}
    for kind in ("full", "lean"):
        short, long = seconds[f"{kind} {SHORT}"].min(), seconds[f"{kind} {LONG}"].min()
        whole[kind] = long + (long - short) / (LONG - SHORT) * (recipe.langevin.steps - LONG)
    return whole["full"] / whole["lean"], recipe.langevin.steps


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.set_num_threads(1)
    print(f"{machine()}; medians (least to greatest) of interleaved repetitions\n")
    rows = [["ToyNet, fused", "500", spread(100 * (toy_ratio(repetitions) - 1)) + " %"]]
    for name, net in (("flowers", "VanillaNet"), ("flowers-convergent", "NonlocalNet")):
        ratio, steps = image_ratio(name, repetitions)
        rows.append([f"{net}, reference", f"{steps}, from {SHORT} and {LONG}", f"{100 * (ratio - 1):.2g} %"])
    print(table(["net, engine", "L", "the statistics add"], rows))


if __name__ == "__main__":
    main()

"""What do the statistics cost that every run records? A whole iteration with them, against one with d and r only.

Run: python benchmarks/overhead.py [repetitions]. ToyNet runs whole iterations on the fused engine, with and without. An
iteration of the image nets takes minutes: there the parts are timed, on the engine that a run takes by itself. All is
timed by the processor's clock, which others who use the machine disturb less.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from timing import interleaved, machine, spread, table
from torch import Tensor

from ebmdiag.rows import iteration_row, temperature
from ebmdiag_trainers.data import load_dataset
from ebmdiag_trainers.engines import output_of
from ebmdiag_trainers.engines.contract import Chain
from ebmdiag_trainers.engines.fused import run_fused
from ebmdiag_trainers.engines.reference import Point, Sums
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.starts import draw_start
from ebmdiag_trainers.training import Algorithm, State, iterate

LONG, SUMS = 6, 40  # steps timed
BATCH, EPSILON = 100, 0.01
CLOCK = time.process_time


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
        chain: Chain = run_fused(
            state.net, start.states, langevin.steps, langevin.epsilon, state.chain_generator, lean=True
        )
        negatives, norm = chain.end, float(chain.sums.gradient_norm.mean()) / langevin.steps
        if state.bank is not None and start.slots is not None:
            state.bank.store(start.slots, negatives, state.step)
        return self.update(positives, negatives, norm)

    def update(self, positives: Tensor, negatives: Tensor, norm: float = 0.0) -> dict[str, float | int | None]:
        """The optimizer's step, and the row of d and r."""
        state, langevin = self.state, self.algorithm.recipe.langevin
        output = output_of(langevin.engine, state.net)
        energy_pos, energy_neg = output(positives), output(negatives)
        row = iteration_row(
            state.step, energy_pos=energy_pos, energy_neg=energy_neg, gradient_norm=norm, epsilon=langevin.epsilon
        )
        state.optimizer.zero_grad()
        torch.autograd.backward((energy_pos.mean() - energy_neg.mean()) / temperature(langevin.epsilon))
        state.optimizer.step()
        state.step += 1
        return row


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
    seconds = interleaved({"full": full, "lean": bare}, repetitions, CLOCK)
    return seconds["full"] / seconds["lean"]


def image_share(recipe_name: str, repetitions: int) -> tuple[float, str]:
    """What the statistics take of an iteration at the recipe's L, in units of the rest; and the engine's name.

    A difference of whole iterations drowns in the machine's noise, so the parts are timed by themselves: a step of the
    engine with its sums, the sums of a step alone (half the steps lie in the tail and have the dear ones), the update
    with and without its record.
    """
    recipe = load_recipe(recipe_name, [f"training.batch={BATCH}", "optimizer.floor=0", "optimizer.learning_rate=1e-9"])
    recipe = replace(recipe, langevin=replace(recipe.langevin, steps=LONG))
    algorithm = Algorithm.of(recipe, NoiseImages(), torch.device("cpu"))
    full, lean = algorithm.initial_state(), Lean(algorithm, algorithm.initial_state())
    sample = algorithm.sample(full)
    length = load_recipe(recipe_name).langevin.steps
    cases = {
        "step": lambda: algorithm.engine(full.net, sample.start.states, LONG, EPSILON, full.chain_generator),
        "early sums": partial(sums_of_steps, sample.start.states, False),
        "late sums": partial(sums_of_steps, sample.start.states, True),
        "update": lambda: algorithm.update(full, sample),
        "lean update": lambda: lean.update(sample.positives, sample.chain.end),
    }
    seconds = {name: float(np.median(values)) for name, values in interleaved(cases, repetitions, CLOCK).items()}
    sums = (seconds["early sums"] + seconds["late sums"]) / 2 / SUMS
    added = length * sums + seconds["update"] - seconds["lean update"]
    bare = length * (seconds["step"] / LONG - sums) + seconds["lean update"]
    return added / bare, algorithm.recipe.langevin.engine


def sums_of_steps(states: Tensor, late: bool) -> Sums:
    """The sums of some steps, beyond the norm of the gradient that r needs; ``late``: in the tail of the path."""
    sums = Sums(4 * SUMS, states, EPSILON, closed=False)
    energy = torch.zeros(len(states))
    for number in range(SUMS):
        step = 3 * SUMS + number if late else number + 1
        square = torch.linalg.vecdot(states.flatten(1), states.flatten(1))
        point = Point(states, energy, states, square)
        sums.add_step(step, point, states)
        sums.add_transition(step, point, point, states, states)
    return sums


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.set_num_threads(1)
    print(f"{machine()}; medians (least to greatest) of interleaved repetitions\n")
    rows = [["ToyNet, fused", "500", spread(100 * (toy_ratio(repetitions) - 1)) + " %"]]
    for name, net in (("flowers", "VanillaNet"), ("flowers-convergent", "NonlocalNet")):
        share, engine = image_share(name, repetitions)
        rows.append([f"{net}, {engine}", str(load_recipe(name).langevin.steps), f"{100 * share:.2g} %, from its parts"])
    print(table(["net, engine", "L", "the statistics add"], rows))


if __name__ == "__main__":
    main()

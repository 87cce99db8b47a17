"""What the samplers cost and what they give: evaluations, seconds and effective samples, on trained nets.

Run: python benchmarks/samplers.py [docs/samplers.md]. With a path, the page is written there. About ten minutes on one
free core. The net of the rings is trained first. With EBMDIAG_TEST_DATA set, a VanillaNet and a NonlocalNet are trained
on real flowers for a short while too, and only what a step costs is measured on them: chains on 3,072 coordinates do
not mix in a benchmark's time.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from timing import machine, table
from torch import Tensor, nn

from ebmdiag.numerics.planar import compare, mode_weights, quadrature
from ebmdiag.numerics.planar_kernel import draw_from_grid, kernel_density, sampling_floor
from ebmdiag.numerics.ranks import ranked
from ebmdiag.rows import temperature
from ebmdiag_trainers.data import load_dataset
from ebmdiag_trainers.engines.fused import run_fused
from ebmdiag_trainers.recipe import load_recipe
from ebmdiag_trainers.samplers import Sampler, SamplerOptions, State, Target, build_sampler
from ebmdiag_trainers.samplers.adaptation import DualAveraging, adapted, warm_up_step
from ebmdiag_trainers.training import Algorithm, run

ITERATIONS, CHAINS, BUDGET, DRAWS, WARM_UP = 5_000, 200, 12_000, 1_000, 400
GRID = np.linspace(-8, 8, 321)
SEED = 0

CASES: dict[str, SamplerOptions] = {
    "langevin, ε": SamplerOptions(),
    "langevin, ε / 2": SamplerOptions(step_size=0.0625),
    "mala": SamplerOptions(name="mala"),
    "hmc, 10 leapfrogs": SamplerOptions(name="hmc"),
    "hmc-unadjusted, 10 leapfrogs": SamplerOptions(name="hmc-unadjusted"),
    "underdamped, γ = 1": SamplerOptions(name="underdamped"),
    "underdamped-unadjusted, γ = 1": SamplerOptions(name="underdamped-unadjusted"),
    "gibbs, width 1": SamplerOptions(name="gibbs", step_size=1.0),
    "mala, temperatures 1, 2, 4, 8": SamplerOptions(name="mala", temperatures=(1.0, 2.0, 4.0, 8.0)),
    "hmc, temperatures 1, 2, 4, 8": SamplerOptions(name="hmc", temperatures=(1.0, 2.0, 4.0, 8.0)),
}


@dataclass(frozen=True)
class Model:
    """A trained planar energy, and its density by quadrature: the truth that samplers are held against."""

    net: nn.Module
    epsilon: float
    log_density: np.ndarray
    modes: np.ndarray
    energy: np.ndarray

    @property
    def mean_energy(self) -> float:
        """E U under exp(-U)."""
        return float(np.sum(quadrature(GRID) * np.exp(self.log_density) * self.energy))


def train_rings(iterations: int = ITERATIONS) -> Model:
    """The recipe ``rings`` for so many iterations."""
    recipe = load_recipe("rings", [f"training.iterations={iterations}", f"training.seed={SEED}"])
    dataset = load_dataset("rings")
    algorithm = Algorithm.of(recipe, dataset, torch.device("cpu"))
    state = algorithm.initial_state()
    for _ in run(algorithm, state):
        pass
    points = np.stack(np.meshgrid(GRID, GRID), axis=-1)
    states = torch.as_tensor(points.reshape(-1, 2, 1, 1), dtype=torch.float32)
    heat = temperature(recipe.langevin.epsilon)
    with torch.no_grad():
        energy = state.net(states).double().numpy().reshape(len(GRID), -1) / heat
    log_density = compare(GRID, -energy, -energy).log_model
    return Model(state.net, recipe.langevin.epsilon, log_density, dataset.modes(points), energy)


@dataclass(frozen=True)
class Outcome:
    """One sampler on the model: per chain and step, and what came out."""

    step_size: float
    acceptance: float
    gradients: float
    energies: float
    seconds: float
    steps: int
    size: float
    slowest: str
    bias: float
    bias_error: float
    mode_error: float
    variation: float


def measure(options: SamplerOptions, model: Model, *, engine: bool = False) -> Outcome:
    """Chains that begin as exact draws of the model, warmed up, then run for the budget of evaluations."""
    heat = temperature(model.epsilon)
    sampler = build_sampler(
        options, epsilon=model.epsilon, net=model.net, shape=(2, 1, 1), engine=run_fused if engine else None
    )
    generator = torch.Generator().manual_seed(SEED)
    target = Target(model.net, heat)
    start = draw_from_grid(model.log_density, GRID, CHAINS, np.random.default_rng(SEED))
    state = sampler.init(target, torch.as_tensor(start, dtype=torch.float32).reshape(-1, 2, 1, 1), generator)
    sampler, state = _warmed(sampler, target, state, generator)
    cost = _cost_of_a_step(sampler, target, state, generator)
    steps = max(DRAWS, int(BUDGET / cost) // DRAWS * DRAWS)
    thin = steps // DRAWS
    target.gradients = target.energies = 0
    begun, draws, energies, acceptance = time.perf_counter(), [], [], []
    for _ in range(DRAWS):
        state, info = sampler.advance(target, state, thin, generator)
        seen = sampler.visible(state)
        draws.append(seen.x.reshape(-1, 2).double().numpy())
        energies.append(seen.point.potential.numpy())
        acceptance.append(np.nan if info.acceptance is None else float(info.acceptance.mean()))
    seconds = time.perf_counter() - begun
    return _outcome(
        sampler, target, np.stack(draws, 1), np.stack(energies, 1), float(np.mean(acceptance)), seconds, steps, model
    )


def _warmed(sampler: Sampler, target: Target, state: State, generator: torch.Generator) -> tuple[Sampler, State]:
    if not sampler.adjusted:
        return sampler, sampler.advance(target, state, WARM_UP, generator)[0]
    averages = DualAveraging.start(float(sampler.step_size))
    for _ in range(WARM_UP):
        averages, state = warm_up_step(sampler, averages, target, state, generator)
    return adapted(sampler, averages), state


def _cost_of_a_step(sampler: Sampler, target: Target, state: State, generator: torch.Generator) -> float:
    """Evaluations of one chain in a step, in gradients; an energy alone costs about a third of a gradient."""
    target.gradients = target.energies = 0
    sampler.advance(target, state, 8, generator)
    return (target.gradients + target.energies / 3) / 8


def _outcome(
    sampler: Sampler,
    target: Target,
    x: np.ndarray,
    energy: np.ndarray,
    acceptance: float,
    seconds: float,
    steps: int,
    model: Model,
) -> Outcome:
    quantities = {"U": energy, "x0": x[..., 0], "x1": x[..., 1], "radius": np.linalg.norm(x, axis=-1)}
    found = {name: ranked(values) for name, values in quantities.items()}
    sizes = {name: float(one.bulk.value or np.nan) for name, one in found.items()}
    slowest = min(sizes, key=lambda name: sizes[name])
    pooled = x.reshape(-1, 2)
    taken = pooled[:: max(1, len(pooled) // 20_000)]
    log_law = kernel_density(taken, GRID)
    assert log_law is not None
    nearest = np.clip(np.rint((pooled - GRID[0]) / (GRID[1] - GRID[0])).astype(int), 0, len(GRID) - 1)
    counts = np.bincount(model.modes[nearest[:, 1], nearest[:, 0]], minlength=4) / len(pooled)
    truth = mode_weights(model.log_density, model.modes, quadrature(GRID), 4)
    return Outcome(
        step_size=float(sampler.step_size),
        acceptance=acceptance,
        gradients=target.gradients / steps,
        energies=target.energies / steps,
        seconds=seconds,
        steps=steps,
        size=sizes[slowest],
        slowest=slowest,
        bias=float(energy.mean()) - model.mean_energy,
        bias_error=float(found["U"].mean_error.value or np.nan),
        mode_error=float(np.abs(counts - truth).max()),
        variation=compare(GRID, model.log_density, log_law).total_variation,
    )


def planar_rows(model: Model) -> list[list[str]]:
    """The table of cost and of result on the net of the rings."""
    rows = []
    for name, options in CASES.items():
        rows.append(_row(name, measure(options, model)))
        if name == "langevin, ε":
            rows.append(_row("langevin, ε, compiled", measure(options, model, engine=True)))
    return rows


def _row(name: str, one: Outcome) -> list[str]:
    evaluations = one.steps * (one.gradients + one.energies / 3)
    acceptance = "–" if np.isnan(one.acceptance) else f"{one.acceptance:.2f}"
    return [
        name,
        f"{one.step_size:.3g}",
        acceptance,
        f"{one.gradients:.3g} + {one.energies:.3g}",
        f"{1e6 * one.seconds / one.steps:.0f}",
        f"{one.size:.0f} ({one.slowest})",
        f"{one.size / one.seconds:.0f}",
        f"{1e3 * one.size / CHAINS / evaluations:.2g}",
        f"{one.bias:+.3f} ± {one.bias_error:.3f}",
        f"{one.variation:.3f}",
        f"{one.mode_error:.3f}",
    ]


PLANAR_HEAD = [
    "sampler",
    "step",
    "acceptance",
    "gradients + energies a step",
    "µs a step",
    "effective size (of)",
    "per second",
    "per chain and 1,000 gradients",
    "mean U less the exact one",
    "TV",
    "worst mode weight",
]


def image_nets() -> dict[str, tuple[nn.Module, float, Tensor]]:
    """Nets trained a short while on real flowers, their ε, and 16 states to begin at."""
    data = os.environ.get("EBMDIAG_TEST_DATA")
    if not data:
        return {}
    dataset = load_dataset("flowers", path=Path(data) / "data" / "102flowers.tgz")
    found = {}
    short = ["training.iterations=30", "training.batch=16", "langevin.steps=20", "long_run.every=0"]
    for name, rate in (("flowers", 1e-4), ("flowers-convergent", 1e-3)):  # SGD at its full rate needs its full L
        recipe = load_recipe(name, [*short, f"optimizer.learning_rate={rate}"])
        algorithm = Algorithm.of(recipe, dataset, torch.device("cpu"))
        state = algorithm.initial_state()
        for _ in run(algorithm, state):
            pass
        start = algorithm.draw_positives(16, torch.Generator().manual_seed(1))
        found[recipe.net.factory] = (state.net, recipe.langevin.epsilon, start)
    return found


IMAGE_CASES: dict[str, tuple[SamplerOptions, int]] = {
    "langevin": (SamplerOptions(), 20),
    "mala": (SamplerOptions(name="mala"), 20),
    "hmc, 10 leapfrogs": (SamplerOptions(name="hmc"), 3),
    "underdamped": (SamplerOptions(name="underdamped"), 20),
    "gibbs": (SamplerOptions(name="gibbs", step_size=0.05), 1),
    "gibbs-blocked": (SamplerOptions(name="gibbs-blocked", step_size=0.05), 1),
}


def image_rows() -> list[list[str]]:
    """What a step costs 16 chains of images; for Gibbs, where a step is a sweep over 3,072 coordinates, 2 chains."""
    rows = []
    for net_name, (net, epsilon, start) in image_nets().items():
        for name, (options, steps) in IMAGE_CASES.items():
            if net_name == "NonlocalNet" and name.startswith("gibbs"):
                continue  # an hour a sweep, and attention leaves nothing to block
            few = start[:2] if name.startswith("gibbs") else start
            sampler = build_sampler(options, epsilon=epsilon, net=net, shape=few.shape[1:])
            target, generator = Target(net, temperature(epsilon)), torch.Generator().manual_seed(0)
            state = sampler.init(target, few, generator)
            target.gradients = target.energies = 0
            begun = time.perf_counter()
            _, info = sampler.advance(target, state, steps, generator)
            seconds = (time.perf_counter() - begun) / steps / len(few)
            acceptance = "–" if info.acceptance is None else f"{float(info.acceptance.mean()):.2f}"
            cost = f"{target.gradients / steps:.4g} + {target.energies / steps:.5g}"
            rows.append([net_name, name, acceptance, cost, f"{1e3 * seconds:.3g}"])
    return rows


IMAGE_HEAD = ["net", "sampler", "acceptance at ε", "gradients + energies a step", "ms a step and chain"]


def measured(model: Model) -> dict[str, str]:
    """The parts of the page that are measured, by the name of their markers."""
    here = machine()
    floor = sampling_floor(model.log_density, GRID, 20_000)
    planar = table(PLANAR_HEAD, planar_rows(model))
    said = "unknown" if floor is None else f"{floor.total_variation:.3f}"
    setting = (
        f"{ITERATIONS:,} iterations; {CHAINS} chains; warm-up {WARM_UP} steps; {BUDGET:,} gradients a chain; a kernel "
        f"density of 20,000 exact draws has TV {said}. {here}."
    )
    print(setting, planar, sep="\n\n", flush=True)
    images = image_rows()
    return {
        "planar": f"{setting}\n\n{planar}",
        "images": table(IMAGE_HEAD, images) if images else "EBMDIAG_TEST_DATA was unset: not measured.",
    }


def write(path: Path, parts: dict[str, str]) -> None:
    """Put each part between its markers in the page."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, print, and write into the page if one is named."""
    torch.set_num_threads(1)
    parts = measured(train_rings())
    print(parts["images"])
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]), parts)


if __name__ == "__main__":
    main()

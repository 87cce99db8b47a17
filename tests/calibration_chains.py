"""Chains of known truth: the collection for the second axis. Labels come from the laws, never from the rules.

A family is a model exp(-U) with exact samples (calibration_densities), the training's short run of L steps, data, and
long chains. With p the model and q_L the law of the short runs, the distance between them is

    Δ = max over marginals m of TV(m(q_L), m(p)),

m: the energy, up to six coordinates, the place along the line of two modes, the mode; from 20,000 samples of each
in 20 cells of equal mass under p (a cell for each mode). A shift by a quarter of a deviation makes 0.1, by half 0.2:

    converged        Δ <= 0.1
    short-run only   Δ >= 0.2      (and between them, none)

The model is exp(-U) itself, not what an unadjusted chain with a large step makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calibration_axis2 import Chain
from calibration_densities import Density, TwoModes
from gaussian_runs import one_torch_thread
from torch import Tensor

from ebmdiag.chains import ChainFiles
from ebmdiag.result import Result
from ebmdiag.rows import temperature
from ebmdiag.runfolder import RunFolder
from ebmdiag_analyses.convergence import Options, analyse
from ebmdiag_trainers.samplers import SamplerOptions, Target, build_sampler
from ebmdiag_trainers.sampling import Plan, ShortRun, record
from ebmdiag_trainers.starts import noise

SAME, OTHER = 0.1, 0.2
EXACT, CELLS, MARGINALS = 20_000, 20, 6
SEEDS = 3
Law = Callable[[Density, int, torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class Chained:
    """One situation; see the module.

    Attributes:
        epsilon, steps_short, start, scale: of the short run; ``scale`` of its noise.
        data: ``short`` (learning has balanced: data and short runs are one law), ``model``, or a law.
        sampler, step, steps, thin, chains, copies, init: of the long run; ``step`` 0: ε.
        bank: law of the persistent chains.
        labelled: False where short runs hardly move: their law is that of their starts, whatever the model is.
    """

    name: str
    density: Callable[[], Density]
    group: str
    epsilon: float = 0.3
    steps_short: int = 200
    start: str = "gaussian"
    scale: float = 1.0
    data: str | Law = "short"
    sampler: str = "mala"
    step: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 4000
    thin: int = 10
    chains: int = 128
    copies: int = 2
    init: str = "data"
    bank: Law | None = None
    labelled: bool = True

    def model(self) -> Density:
        return self.density().at(self.epsilon)

    def short_law(self, count: int, generator: torch.Generator) -> Tensor:
        """Ends of short runs, (count, N, 1, 1): from noise, from the bank, or from data given as a law."""
        model = self.model()
        if self.start == "gaussian":
            x = noise("gaussian", count, model.shape, self.scale, generator)
        else:
            x = self._given(model, count, generator)
        sampler = build_sampler(SamplerOptions(), epsilon=self.epsilon, net=model, shape=model.shape)
        target = Target(model, temperature(self.epsilon))
        return sampler.advance(target, sampler.init(target, x, generator), self.steps_short, generator)[0].x

    def data_law(self, count: int, generator: torch.Generator) -> Tensor:
        if self.data == "short":
            return self.short_law(count, generator)
        if self.data == "model":
            return self.model().draw(count, generator)
        assert callable(self.data)
        return self.data(self.model(), count, generator)

    def _given(self, model: Density, count: int, generator: torch.Generator) -> Tensor:
        law = self.bank if self.start == "persistent" else self.data
        if law == "model":
            return model.draw(count, generator)
        assert callable(law)
        return law(model, count, generator)


@dataclass(frozen=True)
class Drawn:
    """Data of a family, as a trainer sees them."""

    family: Chained
    name: str = "known law"
    size: None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.family.model().shape

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return self.family.data_law(count, generator) if count else torch.empty(0, *self.shape)


def plan_of(family: Chained, seed: int) -> Plan:
    """All of one run of chains."""
    model = family.model()
    generator = torch.Generator().manual_seed(1_000_003 + seed)
    bank = None if family.bank is None else family.bank(model, 4 * family.chains, generator)
    return Plan(
        net=model,
        shape=model.shape,
        epsilon=family.epsilon,
        steps=family.steps,
        thin=family.thin,
        chains=family.chains,
        options=SamplerOptions(name=family.sampler, step_size=family.step, **family.options),
        init=family.init,
        copies=family.copies,
        short=ShortRun(family.steps_short, family.start, SamplerOptions()),
        dataset=Drawn(family),
        noise=("gaussian", family.scale),
        bank=bank,
        seed=seed,
        training_step=1,
    )


def recorded(family: Chained, number: int, seed: int, folder: Path) -> RunFolder:
    """The table of one run of chains, made unless it is there."""
    run = RunFolder.of(folder / f"{number:02d}_{seed}.parquet")
    files = ChainFiles.of(run.chains / "long.parquet")
    if not files.samples.exists():
        files.table.parent.mkdir(parents=True, exist_ok=True)
        with one_torch_thread():
            record(plan_of(family, seed), files, force=True)
    return run


def analysed(run: RunFolder) -> Result:
    """What the analysis computes, with its own options."""
    return analyse(run, Options())


def distance(family: Chained) -> float:
    """Δ of short runs and model."""
    generator = torch.Generator().manual_seed(7)
    model = family.model()
    with one_torch_thread(), torch.no_grad():
        exact = model.flat(EXACT, generator)
    with one_torch_thread():
        ends = family.short_law(EXACT, generator).flatten(1).double()
    pairs = zip(_marginals(model, exact), _marginals(model, ends), strict=True)
    continuous = max(_between(p, q) for p, q in pairs)
    counts = [np.bincount(model.mode(x).numpy(), minlength=model.modes) / EXACT for x in (exact, ends)]
    return max(continuous, float(np.abs(counts[0] - counts[1]).sum() / 2))


def _marginals(model: Density, x: Tensor) -> Iterator[np.ndarray]:
    yield model.potential(x.float()).detach().numpy()
    yield from x[:, :MARGINALS].T.numpy()
    if isinstance(model, TwoModes):
        yield (x @ model.axis.double()).numpy()


def _between(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation over cells of equal mass under p."""
    edges = np.quantile(p, np.linspace(0, 1, CELLS + 1)[1:-1])
    shares = [np.bincount(np.searchsorted(edges, values), minlength=CELLS) / len(values) for values in (p, q)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


_KNOWN: dict[str, float] = {}


def distance_of(family: Chained) -> float:
    """Δ, computed once."""
    if family.name not in _KNOWN:
        _KNOWN[family.name] = round(distance(family), 4)
    return _KNOWN[family.name]


def label(family: Chained) -> str:
    """What is true of a family; empty where that is not said."""
    if not family.labelled:
        return ""
    delta = distance_of(family)
    return "converged" if delta <= SAME else "short-run only" if delta >= OTHER else ""


def made(families: Sequence[Chained], half: int, folder: Path) -> list[Chain]:
    """All tables of one half, 0 or 1, run and analysed; seeds of its own."""
    seeds = range(SEEDS * half, SEEDS * (half + 1))
    return [
        Chain(
            family.name,
            family.group,
            label(family),
            distance_of(family),
            seed,
            analysed(recorded(family, number, seed, folder)),
        )
        for number, family in enumerate(families)
        for seed in seeds
    ]

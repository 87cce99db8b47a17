"""The one training loop: algorithm 1 of Nijkamp et al. 2020 (arXiv:1903.12370).

    x⁺ ~ data (+ noise);  x⁻ = L Langevin steps from the start;  d = mean U(x⁺) - mean U(x⁻);  θ ← θ - γ ∇_θ d

The state is all that the next iteration needs; the info is what becomes a row. A run is a generator of both:
it never sees a file. Storing, drawing and telling are the observers' job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ebmdiag.errors import DivergenceError, RecipeError
from ebmdiag.rows import iteration_row, temperature
from ebmdiag_trainers.bank import Bank
from ebmdiag_trainers.data import Dataset
from ebmdiag_trainers.engines import Chain, Engine, choose_engine, output_of
from ebmdiag_trainers.engines.perceptron import Perceptron
from ebmdiag_trainers.engines.selection import with_engine
from ebmdiag_trainers.nets import build_net
from ebmdiag_trainers.observables import ObservableFunction, mean_gradient_norm, observe, own_observables
from ebmdiag_trainers.optimizers import build_optimizer, decay_rate
from ebmdiag_trainers.probes import Probing
from ebmdiag_trainers.recipe import Recipe
from ebmdiag_trainers.record import Aftermath, Record
from ebmdiag_trainers.samplers.engine import sampler_engine
from ebmdiag_trainers.samplers.options import SamplerOptions
from ebmdiag_trainers.starts import Start, draw_start, new_bank
from ebmdiag_trainers.untouched import copy_buffers, put_back
from ebmdiag_trainers.updating import step_on

Row = dict[str, float | int | None]


@dataclass
class State:
    """All that the next iteration needs. Iterating changes it in place.

    Attributes:
        step: iterations done.
        net, optimizer: with their parameters and moments.
        bank: persistent chains, or None.
        data_generator: draws positives (CPU).
        chain_generator: draws starts and Langevin noise (on the device).
        last: what the last iteration left for the budget of d; None before the first.
    """

    step: int
    net: nn.Module
    optimizer: torch.optim.Optimizer
    bank: Bank | None
    data_generator: torch.Generator
    chain_generator: torch.Generator
    last: Aftermath | None = None

    def generator_states(self) -> tuple[Tensor, ...]:
        """A copy of all generators' states; PyTorch's own too, which a net with dropout draws from."""
        return self.data_generator.get_state(), self.chain_generator.get_state(), torch.get_rng_state()

    def set_generator_states(self, states: tuple[Tensor, ...]) -> None:
        """Put the generators back."""
        self.data_generator.set_state(states[0])
        self.chain_generator.set_state(states[1])
        torch.set_rng_state(states[2])


@dataclass(frozen=True)
class Sample:
    """The sampling half of an iteration: positives x⁺, where the chains started, where they ended, and the probes."""

    positives: Tensor
    start: Start
    chain: Chain
    probed: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Info:
    """What one iteration tells: its row of the trace, and the short-run samples x⁻, shape (B, *shape)."""

    row: Row
    negatives: Tensor = field(repr=False)


@dataclass(frozen=True)
class Algorithm:
    """A recipe made ready to run: its data set and engine are at hand."""

    recipe: Recipe
    dataset: Dataset
    device: torch.device
    engine: Engine
    own: Mapping[str, ObservableFunction] = field(default_factory=dict)
    probing: Probing = field(default_factory=Probing)

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset, device: torch.device) -> Algorithm:
        """Choose the engine, the probes and the user's own statistics that the recipe names."""
        own, probing = own_observables(recipe.trace.statistics), Probing.of(recipe)
        twice = sorted({*own} & {*probing.own})
        if twice:
            raise RecipeError(f"'{twice[0]}' is named in [trace] statistics and in [probe] statistics; rename one.")
        resolved = with_engine(recipe, dataset.shape, device)
        engine = _chain_runner(resolved, dataset.shape)
        return cls(resolved, dataset, device, engine, own, probing)

    def initial_state(self) -> State:
        """The state before the first iteration; everything follows from the recipe's seed.

        PyTorch's default generator is seeded as well, for nets that draw from it.
        """
        recipe = self.recipe
        seeds = np.random.SeedSequence(recipe.training.seed).generate_state(3, np.uint64)
        torch.default_generator.manual_seed(int(seeds[0] >> 1))
        net = build_net(recipe.net.factory, recipe.net.arguments, self.dataset.shape).to(self.device)
        chain_generator = torch.Generator(self.device).manual_seed(int(seeds[2] >> 1))
        return State(
            step=0,
            net=net,
            optimizer=build_optimizer(recipe.optimizer, net.parameters(), recipe.langevin.epsilon),
            bank=new_bank(
                recipe.langevin,
                self.dataset.size,
                self.dataset.shape,
                recipe.training.batch,
                chain_generator,
                weighted=self.probing.weighted,
            ),
            data_generator=torch.Generator().manual_seed(int(seeds[1] >> 1)),
            chain_generator=chain_generator,
        )

    def draw_positives(self, count: int, generator: torch.Generator) -> Tensor:
        """Data with the recipe's noise added, shape (count, *shape), on the device."""
        positives = self.dataset.draw(count, generator)
        if self.recipe.data.noise > 0:
            positives = positives + self.recipe.data.noise * torch.randn(positives.shape, generator=generator)
        return positives.to(self.device)

    def sample(self, state: State) -> Sample:
        """Draw positives, run the chains and the probes: the long half, which changes nothing but the generators."""
        batch, langevin = self.recipe.training.batch, self.recipe.langevin
        positives = self.draw_positives(batch, state.data_generator)
        if langevin.start == "data":
            start = Start(self.draw_positives(batch, state.data_generator))
        else:
            start = draw_start(langevin, state.bank, batch, self.dataset.shape, state.chain_generator)
        chain = self.engine(
            state.net,
            start.states,
            langevin.steps,
            langevin.epsilon,
            state.chain_generator,
            closed=self.probing.weighted,
        )
        probed = self.probing.measure(
            self.recipe, state.step + 1, state.net, self.engine, (positives, start.states, chain.end)
        )
        return Sample(positives, start, chain, probed)

    def update(self, state: State, sample: Sample) -> Info:
        """Store the chains, take one optimizer step on d, and say what happened: the short half.

        Raises:
            DivergenceError: d is not finite or beyond the recipe's limit; the parameters are not updated.
        """
        recipe, step = self.recipe, state.step + 1
        heat = temperature(recipe.langevin.epsilon)
        positives, negatives = sample.positives, sample.chain.end
        output, drawn = output_of(recipe.langevin.engine, state.net), torch.get_rng_state()
        if isinstance(output, Perceptron):  # rows cannot touch each other: one pass for both
            both = output(torch.cat([positives, negatives]))
            energy_pos, energy_neg = both[: len(positives)], both[len(positives) :]
        else:
            energy_pos, energy_neg = output(positives), output(negatives)
        row = iteration_row(
            step,
            energy_pos=energy_pos,
            energy_neg=energy_neg,
            gradient_norm=mean_gradient_norm(sample.chain.sums),
            epsilon=recipe.langevin.epsilon,
        )
        self._refuse_divergence(row)
        log_weights = self._store(state, sample, energy_neg.detach().double() / heat, step)
        loss = (energy_pos.mean() - energy_neg.mean()) / heat
        update = step_on(loss, state.net, state.optimizer, positives, negatives, heat, output, drawn)
        decay_rate(state.optimizer, recipe.optimizer, recipe.langevin.epsilon)
        state.step = step
        record = Record(
            step=step,
            epsilon=recipe.langevin.epsilon,
            temperature=heat,
            data_noise=recipe.data.noise,
            coordinates=math.prod(self.dataset.shape),
            positives=positives,
            start=sample.start.states,
            negatives=negatives,
            energy_pos=energy_pos.detach().double(),
            energy_neg=energy_neg.detach().double(),
            difference=float(row["d_s_t"] or 0.0),
            sums=sample.chain.sums,
            update=update,
            bank=state.bank.use(step) if state.bank is not None else None,
            before=state.last,
            log_weights=log_weights,
        )
        state.last = Aftermath(record.difference, update.positives_after, update.negatives_after)
        observed = observe(record, self.own)
        return Info({**row, "learning_rate": update.rate, **observed, **sample.probed}, negatives)

    def _store(self, state: State, sample: Sample, energy: Tensor, step: int) -> Tensor | None:
        """Put the chains back into the bank; their log-weights, if it carries any."""
        bank, slots, sums = state.bank, sample.start.slots, sample.chain.sums
        if bank is None or slots is None:
            return None
        bank.store(slots, sample.chain.end, step)
        if bank.weights is None:
            return None
        assert sums.log_ratio is not None
        heat = temperature(self.recipe.langevin.epsilon)
        return bank.weights.advance(slots, sums.first_energy / heat, sums.log_ratio, energy)

    def _refuse_divergence(self, row: Row) -> None:
        limit = self.recipe.training.divergence_limit
        for name in ("d_s_t", "r_t"):
            value = row[name]
            assert value is not None
            if not math.isfinite(value):
                raise DivergenceError(f"{name} became {value} at iteration {row['step']}. {_ADVICE}")
            if name == "d_s_t" and abs(value) > limit:
                raise DivergenceError(
                    f"d_s_t = {value:.4g} at iteration {row['step']} is beyond training.divergence_limit = {limit:g}. "
                    f"{_ADVICE}"
                )


def _chain_runner(recipe: Recipe, shape: tuple[int, ...]) -> Engine:
    """What runs the L steps: an engine for plain Langevin, else the sampler that the recipe names."""
    langevin = recipe.langevin
    if langevin.is_plain:
        return choose_engine(langevin.engine, langevin.precision)
    return sampler_engine(SamplerOptions.of_recipe(langevin), shape)


_ADVICE = "Learning diverged: try a smaller optimizer.learning_rate, more data.noise, or a smaller langevin.epsilon."


def iterate(algorithm: Algorithm, state: State) -> tuple[State, Info]:
    """One iteration; the state is changed in place and handed back."""
    return state, algorithm.update(state, algorithm.sample(state))


def run(
    algorithm: Algorithm,
    state: State,
    interruptible: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[tuple[State, Info]]:
    """Iterate up to the recipe's number of iterations.

    Sampling runs inside ``interruptible()``. When it is broken off there, the state is put back to where the
    iteration began, so that it can be saved and resumed exactly.

    Raises:
        DivergenceError: see :meth:`Algorithm.update`; the state is that before the iteration.
    """
    while state.step < algorithm.recipe.training.iterations:
        generators, buffers = state.generator_states(), copy_buffers(state.net)
        try:
            with interruptible():
                sample = algorithm.sample(state)
            info = algorithm.update(state, sample)
        except BaseException:
            state.set_generator_states(generators)
            put_back(state.net, buffers)
            raise
        yield state, info

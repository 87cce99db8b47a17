"""Long chains of the net as it is now and then in training, beside the training and without touching it.

Nijkamp et al. 2020 (arXiv:1903.12370) run 100,000 steps from data every 10,000 iterations: whether such chains still
look like data says what d and r cannot. The recipe's [long_run] asks for these and for a cheap probe in between. Both
use the training's sampler and step; their random numbers follow from the training's seed, the iteration and the kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from ebmdiag.chains import ChainFiles
from ebmdiag.errors import CheckpointError, DivergenceError, UsageError
from ebmdiag.runfolder import RunFolder
from ebmdiag_trainers.recipe import LongRun
from ebmdiag_trainers.samplers import SamplerOptions
from ebmdiag_trainers.sampling.asking import short_run, training_plan
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.sampling.recording import Recording, saved_place
from ebmdiag_trainers.sampling.telling import telling
from ebmdiag_trainers.training import Algorithm, Info, State
from ebmdiag_trainers.untouched import untouched


@dataclass(frozen=True)
class Kind:
    """A long run or a cheap probe: how often, how long, how many chains."""

    name: str
    every: int
    steps: int
    chains: int

    def is_due(self, step: int) -> bool:
        """Whether it belongs to the net of this iteration."""
        return self.every > 0 and step > 0 and step % self.every == 0


def kinds_of(settings: LongRun) -> tuple[Kind, ...]:
    """What the recipe asks for, the cheap one first."""
    probe = Kind("probe", settings.probe_every, settings.probe_steps, settings.probe_chains)
    return tuple(kind for kind in (probe, Kind("long", settings.every, settings.steps, settings.chains)) if kind.every)


def long_run_plan(algorithm: Algorithm, state: State, kind: Kind) -> Plan:
    """The chains of the net of now.

    Raises:
        UsageError, RecipeError: the recipe's [long_run] does not fit the data, the bank or the sampler.
    """
    recipe, settings = algorithm.recipe, algorithm.recipe.long_run
    thin = -(-kind.steps // settings.draws)
    return training_plan(
        recipe,
        net=state.net,
        shape=algorithm.dataset.shape,
        device=algorithm.device,
        dataset=algorithm.dataset,
        bank=None if state.bank is None else state.bank.chains,
        steps=-(-kind.steps // thin) * thin,
        thin=thin,
        chains=kind.chains,
        copies=settings.copies,
        init=settings.init,
        options=SamplerOptions.of_recipe(recipe.langevin),
        short=short_run(recipe),
        seed=_seed(recipe.training.seed, state.step, kind.name),
        training_step=state.step,
        dtype=next(state.net.parameters()).dtype,
    )


def _seed(training: int, step: int, kind: str) -> int:
    seeds = np.random.SeedSequence([training, step, zlib.crc32(kind.encode())])
    return int(seeds.generate_state(1, np.uint64)[0] >> 1)


def check_long_runs(algorithm: Algorithm, state: State) -> None:
    """Find out before the training, and not after hours of it, that a long run cannot be.

    Raises:
        UsageError: the recipe's [long_run] does not fit the data, the bank or the sampler; the message says how.
    """
    with untouched(state.net):
        for kind in kinds_of(algorithm.recipe.long_run):
            if kind.every > algorithm.recipe.training.iterations:
                continue
            try:
                long_run_plan(algorithm, state, kind)
            except UsageError as error:
                keys = "long_run.chains" if kind.name == "long" else "long_run.probe_chains"
                raise UsageError(f"[long_run] of every {kind.every} iterations ({keys}): {error}") from error


class LongRunObserver:
    """Runs the chains after an iteration at which they are due.

    Args:
        place: of the run; tables go to its ``chains/step_XXXXXXXXXX-long.parquet`` and ``…-probe.parquet``.
        algorithm: with data, device and engine.
        interruptible: inside of it a signal may break the chains off.
        save: keeps the training's state, before a long run makes it wait.
        quiet: no progress.
        say: tells a person.
    """

    def __init__(
        self,
        place: RunFolder,
        algorithm: Algorithm,
        *,
        interruptible: Callable[[], AbstractContextManager[object]],
        save: Callable[[State], None],
        quiet: bool,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._algorithm = place.chains, algorithm
        self._interruptible, self._save = interruptible, save
        self._quiet, self._say = quiet, say
        self._kinds = kinds_of(algorithm.recipe.long_run)

    def tell(self, state: State, info: Info) -> None:
        """After an iteration."""
        self.catch_up(state)

    def catch_up(self, state: State) -> None:
        """Run what is due at this iteration and is not done: also what was broken off.

        Raises:
            KeyboardInterrupt: broken off by a signal; what was done is saved.
        """
        for kind in self._kinds:
            if kind.is_due(state.step):
                if kind.name == "long":
                    self._save(state)
                with untouched(state.net):
                    self._run(kind, state)

    def finish(self, state: State) -> None:
        """Nothing: each table is closed when its chains end."""

    def _run(self, kind: Kind, state: State) -> None:
        plan = long_run_plan(self._algorithm, state, kind)
        files = ChainFiles.of(self._folder / f"step_{state.step:010d}-{kind.name}.parquet")
        recording = self._opened(plan, files)
        if recording is None:
            return
        label = f"{kind.name} run at iteration {state.step}"
        quiet = self._quiet or kind.name == "probe"
        if not quiet:
            click.echo(err=True)  # the bar of the training stays above
        try:
            with telling(recording, quiet=quiet, label=label, unit=f"{label}: step") as told:
                recording.record(self._interruptible, told)
        except DivergenceError as error:
            self._say(f"{label}: {error} The training goes on; the draws before are kept in {files.table}.")

    def _opened(self, plan: Plan, files: ChainFiles) -> Recording | None:
        """Where to go on; None if these chains have ended. Chains of another net or plan are replaced."""
        if not files.state.exists():
            return Recording.new(plan, files, force=True)
        try:
            saved = saved_place(plan, files)
        except (UsageError, CheckpointError) as error:
            self._say(f"{_short(files.table)} is made anew: {error}")
            return Recording.new(plan, files, force=True)
        if files.table.exists():
            return None
        return Recording(plan, files, saved.cursor, rows=saved.rows)


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"

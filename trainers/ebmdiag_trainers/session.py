"""One sitting of a run: open its folder, start or resume, hang the observers on the loop, close well.

The trace's writer owns the folder (it holds the lock); everything else is written while it is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w
import torch

from ebmdiag.errors import CheckpointError, DivergenceError, RecipeError, UsageError
from ebmdiag.files import write_bytes
from ebmdiag.metadata import TraceMetadata
from ebmdiag.runfolder import RunFolder
from ebmdiag.trace import read_trace
from ebmdiag.writer import TraceWriter
from ebmdiag_trainers.checkpoints import Checkpoint, checkpoint_paths, load_checkpoint, restore
from ebmdiag_trainers.environment import describe_device, git_commit, versions
from ebmdiag_trainers.interrupts import Interrupts
from ebmdiag_trainers.long_run import LongRunObserver, check_long_runs
from ebmdiag_trainers.observers import (
    CheckpointObserver,
    Observer,
    PictureObserver,
    ProgressObserver,
    TraceObserver,
)
from ebmdiag_trainers.recipe import TABLES, Recipe
from ebmdiag_trainers.training import Algorithm, State, run

PRODUCER = "ebmdiag train"
_MAY_CHANGE = {("training", "iterations"), ("data", "path")}
_BESIDE = ("trace", "long_run")  # what is written, and what is looked at meanwhile: no other training


@dataclass(frozen=True)
class Session:
    """What is to be done, and how much of it is said."""

    algorithm: Algorithm
    place: RunFolder
    force: bool = False
    resume: bool = False
    quiet: bool = False
    say: Callable[[str], None] = print

    def train(self) -> State:
        """Run to the recipe's last iteration.

        Raises:
            OutputExistsError: the run is there already.
            DivergenceError: d became non-finite; trace and state up to it are saved.
            KeyboardInterrupt: interrupted; trace and state are saved.
        """
        state = self._open_state()
        check_long_runs(self.algorithm, state)
        writer = self._open_writer()
        with Interrupts() as interrupts, writer:  # a signal while the writer closes waits until it has
            self._describe(writer.metadata)
            self._loop(state, writer, interrupts)
        return state

    def _open_state(self) -> State:
        state = self.algorithm.initial_state()
        paths = checkpoint_paths(self.place.checkpoints) if self.resume else []
        if self.resume and not paths and not self.place.exists():
            raise UsageError(f"--resume: there is no run at {self.place.trace}; leave --resume out to start one.")
        recorded = read_trace(self.place.trace, ["d_s_t"]) if self.resume and self.place.exists() else None
        if recorded is not None:
            if recorded.metadata.producer != PRODUCER:
                raise UsageError(
                    f"--resume: {self.place.trace} was written by {recorded.metadata.producer}, not by us."
                )
            refuse_other_recipe(recorded.metadata.recipe, self.algorithm.recipe, self.place.trace)
        if paths:
            checkpoint = load_checkpoint(paths[-1])
            refuse_other_recipe(checkpoint.recipe, self.algorithm.recipe, paths[-1])
            self._refuse_other_data(checkpoint)
            self._refuse_gap(checkpoint, int(recorded.steps[-1]) if recorded is not None and len(recorded) else 0)
            restore(state, checkpoint)
            self.say(f"resuming after iteration {state.step}")
        return state

    def _open_writer(self) -> TraceWriter:
        recipe = self.algorithm.recipe
        metadata = TraceMetadata.create(
            epsilon=recipe.langevin.epsilon,
            producer=PRODUCER,
            recipe=recipe.to_tables(),
            seed=recipe.training.seed,
            versions=versions(),
            device=describe_device(self.algorithm.device),
            git_commit=git_commit(),
        )
        return TraceWriter(
            self.place.trace,
            metadata=metadata,
            extra=(*self.algorithm.own, *self.algorithm.probing.own),
            flush_rows=recipe.trace.flush_rows,
            flush_seconds=recipe.trace.flush_seconds,
            force=self.force,
            resume=self.resume,
        )

    def _refuse_gap(self, checkpoint: Checkpoint, last_step: int) -> None:
        if checkpoint.step > last_step:
            raise CheckpointError(
                f"the newest checkpoint in {self.place.checkpoints} is of iteration {checkpoint.step}, but the trace "
                f"ends at {last_step}; delete checkpoints that are newer than the trace, then resume."
            )

    def _fingerprint(self) -> str | None:
        return getattr(self.algorithm.dataset, "fingerprint", None)

    def _refuse_other_data(self, checkpoint: Checkpoint) -> None:
        before = checkpoint.recipe.get("data_fingerprint")
        if before != self._fingerprint():
            raise RecipeError(
                "--resume: the data are not those that the run was begun with; name the same with --data, "
                "or start another run with --out."
            )

    def _describe(self, metadata: TraceMetadata) -> None:
        write_bytes(self.place.recipe, tomli_w.dumps(self.algorithm.recipe.to_tables()).encode())
        facts = {
            "versions": metadata.versions,
            "device": metadata.device,
            "git_commit": metadata.git_commit,
            "started_at": metadata.started_at,
            "threads": torch.get_num_threads(),
        }
        write_bytes(self.place.environment, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())

    def _loop(self, state: State, writer: TraceWriter, interrupts: Interrupts) -> None:
        recipe = self.algorithm.recipe
        with ProgressObserver(recipe.training.iterations, state.step, self.quiet) as progress:
            checkpoints = CheckpointObserver(self.place.checkpoints, recipe, self._fingerprint(), writer.flush)
            long_runs = LongRunObserver(
                self.place,
                self.algorithm,
                interruptible=interrupts.allowed,
                save=checkpoints.save,
                quiet=self.quiet,
                say=self.say,
            )
            observers: list[Observer] = [
                TraceObserver(writer),
                checkpoints,
                PictureObserver(self.place, self.algorithm),
                progress,
                long_runs,
            ]
            try:
                long_runs.catch_up(state)  # what was broken off comes first
                for _, info in run(self.algorithm, state, interrupts.allowed):
                    for observer in observers:
                        observer.tell(state, info)
            except DivergenceError as error:
                writer.metadata = writer.metadata.with_state("diverged", str(error))
                _finish(observers, state)
                raise
            except KeyboardInterrupt:
                _finish(observers, state)
                raise
            _finish(observers, state)


def _finish(observers: list[Observer], state: State) -> None:
    for observer in observers:
        observer.finish(state)


def _defaults(table: str) -> dict[str, Any]:
    """Values of the keys that may be left out; ``engine`` was the reference before there was a choice."""
    known = {item.name: item.default for item in fields(TABLES[table]) if item.default not in (MISSING, None, ())}
    return known | ({"engine": "reference"} if table == "langevin" else {})


def refuse_other_recipe(saved: dict[str, Any], recipe: Recipe, path: Path) -> None:
    """Resume only what was begun; more iterations, or a moved data file, are no other recipe.

    Raises:
        CheckpointError: the checkpoint's recipe is not readable as one.
        RecipeError: a key differs.
    """
    now = recipe.to_tables()
    for table, values in now.items():
        if not isinstance(values, dict):
            continue
        before = saved.get(table, {})
        if not isinstance(before, dict):
            raise CheckpointError(f"{path}: its recipe has no table [{table}].")
        before = {**_defaults(table), **before}  # an older ebmdiag may not have known a key
        for key in sorted({*values, *before}):
            fixed = key == "statistics" if table in _BESIDE else (table, key) not in _MAY_CHANGE
            if fixed and values.get(key) != before.get(key):
                raise RecipeError(
                    f"--resume: {table}.{key} is {values.get(key)!r}, but the run was begun with {before.get(key)!r}; "
                    "leave it as it was, or start another run with --out."
                )

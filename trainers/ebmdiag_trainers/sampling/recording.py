"""One sitting of a run of chains: open its table or go on with it, write as it goes, close well.

The rows come first, then the place that they lead to: a kill in between costs rows that are made again, and never
leaves a place without its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ebmdiag.chains import ChainFiles, ChainsMetadata, ChainWriter, write_samples
from ebmdiag.errors import DivergenceError, UsageError
from ebmdiag_trainers.sampling.cursor import Cursor
from ebmdiag_trainers.sampling.describing import last_facts, metadata_of
from ebmdiag_trainers.sampling.pictures import Pictures
from ebmdiag_trainers.sampling.plan import Plan
from ebmdiag_trainers.sampling.running import Recorded, first_of, run, steps_done
from ebmdiag_trainers.sampling.samples import samples_of
from ebmdiag_trainers.sampling.state import Saved, load_state, refuse_other_plan, save_state
from ebmdiag_trainers.untouched import untouched

SAVE_SECONDS = 10.0
"""Between two savings of rows and place."""

Interruptible = Callable[[], AbstractContextManager[object]]
Told = Callable[[int, Recorded | None], None]
"""Called after each event with the steps of all phases done so far."""


@dataclass
class Recording:
    """A run of chains on its way into a table.

    Attributes:
        plan, files: what is run, and where it goes.
        cursor, rows: the place that has been reached, and the rows up to it.
    """

    plan: Plan
    files: ChainFiles
    cursor: Cursor
    rows: int | None = None
    force: bool = False

    @classmethod
    def new(cls, plan: Plan, files: ChainFiles, *, force: bool = False) -> Recording:
        """From the beginning; ``force`` replaces what is there."""
        return cls(plan, files, first_of(plan), force=force)

    @classmethod
    def resumed(cls, plan: Plan, files: ChainFiles) -> Recording:
        """From the saved place.

        Raises:
            UsageError: there is nothing to go on with, or it was begun with another plan.
            CheckpointError: the saved place cannot be read.
        """
        saved = saved_place(plan, files)
        return cls(plan, files, saved.cursor, rows=saved.rows)

    @property
    def steps_done(self) -> int:
        """Steps of all phases so far."""
        return steps_done(self.plan, self.cursor)

    def record(self, interruptible: Interruptible = nullcontext, told: Told | None = None) -> ChainsMetadata:
        """Run to the end; the facts of the finished table.

        Raises:
            OutputExistsError: a table is there already.
            DivergenceError: chains blew up; the rows before are in the table.
            KeyboardInterrupt: broken off inside ``interruptible()``; rows and place are saved.
        """
        metadata = metadata_of(self.plan)
        writer = ChainWriter(self.files, metadata, keep_rows=self.rows, force=self.force)
        with writer, untouched(self.plan.net):
            self._save(writer)
            pictures = Pictures(self.plan, self.files)
            if self.rows is None:
                pictures.clear()
            try:
                self._go_on(writer, pictures, interruptible, told)
            except DivergenceError as error:
                self._save(writer)
                writer.finish(state="diverged", message=str(error), **last_facts(self.plan, self.cursor))
                raise
            except KeyboardInterrupt:
                self._save(writer)
                raise
            self._save(writer)
            write_samples(self.files.samples, samples_of(self.plan, self.cursor))
            writer.finish(**last_facts(self.plan, self.cursor))
            pictures.finish(self.cursor)
        return writer.metadata

    def _go_on(self, writer: ChainWriter, pictures: Pictures, interruptible: Interruptible, told: Told | None) -> None:
        saved_at = time.monotonic()
        for cursor, recorded in run(self.plan, self.cursor, interruptible):
            if recorded is not None:
                writer.append(recorded.phase, recorded.init, recorded.draw, recorded.starts, recorded.values)
                pictures.tell(recorded)
            self.cursor = cursor
            if told is not None:
                told(self.steps_done, recorded)
            if time.monotonic() - saved_at >= SAVE_SECONDS:
                self._save(writer)
                saved_at = time.monotonic()

    def _save(self, writer: ChainWriter) -> None:
        writer.flush()
        save_state(self.files.state, Saved(self.cursor, writer.rows, self.plan.facts))


def saved_place(plan: Plan, files: ChainFiles) -> Saved:
    """The saved place of a run of this plan; see :meth:`Recording.resumed`."""
    if not files.state.exists():
        raise UsageError(
            f"--resume: there is no saved place in {files.folder}; leave --resume out to begin, or add --force."
        )
    saved = load_state(files.state, plan.device)
    refuse_other_plan(saved, plan.facts)
    return saved


def record(plan: Plan, files: ChainFiles, *, force: bool = False) -> ChainsMetadata:
    """Run a plan from its beginning to its end into a table."""
    return Recording.new(plan, files, force=force).record()

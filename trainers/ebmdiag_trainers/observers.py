"""What hangs on a run: each observer is told of every iteration, and of the end.

The loop knows none of them; a new one is a class with ``tell`` and ``finish``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ebmdiag.runfolder import RunFolder
from ebmdiag.writer import TraceWriter
from ebmdiag_trainers.checkpoints import checkpoint_path, save_checkpoint
from ebmdiag_trainers.pictures import PlanarDensity, save_image_grid, save_landscape
from ebmdiag_trainers.progress import Progress
from ebmdiag_trainers.recipe import Recipe
from ebmdiag_trainers.training import Algorithm, Info, State


class Observer(Protocol):
    """Told of each finished iteration, and once when the run ends (however it ends)."""

    def tell(self, state: State, info: Info) -> None:
        """After an iteration."""
        ...

    def finish(self, state: State) -> None:
        """At the end; ``state`` is that after the last whole iteration."""
        ...


class TraceObserver:
    """Appends each row to the trace."""

    def __init__(self, writer: TraceWriter) -> None:
        self._writer = writer

    def tell(self, state: State, info: Info) -> None:
        """Append the row."""
        self._writer.append(info.row)

    def finish(self, state: State) -> None:
        """Nothing: whoever opened the writer closes it."""


class CheckpointObserver:
    """Saves the state now and then; keeps the newest two and those that the recipe asks for.

    The trace is flushed first: a run that resumes from a checkpoint must find all rows up to it.
    """

    def __init__(self, folder: Path, recipe: Recipe, fingerprint: str | None, flush: Callable[[], None]) -> None:
        self._folder = folder
        self._flush = flush
        self._tables = {**recipe.to_tables(), "data_fingerprint": fingerprint}
        self._every = recipe.trace.checkpoint_every
        self._seconds = recipe.trace.checkpoint_seconds
        self._saved_at = time.monotonic()
        self._passing: list[Path] = []

    def tell(self, state: State, info: Info) -> None:
        """Save if it is time, or if this iteration's state is to be kept."""
        if self._is_kept(state.step) or time.monotonic() - self._saved_at >= self._seconds:
            self.save(state)

    def finish(self, state: State) -> None:
        """Save the last state."""
        self.save(state)

    def save(self, state: State) -> None:
        """Save now, for whoever is about to take long."""
        path = checkpoint_path(self._folder, state.step)
        self._saved_at = time.monotonic()
        if path.exists():
            return
        self._flush()
        save_checkpoint(path, state, self._tables)
        if not self._is_kept(state.step):
            self._passing.append(path)
        while len(self._passing) > 2:
            self._passing.pop(0).unlink(missing_ok=True)

    def _is_kept(self, step: int) -> bool:
        return self._every > 0 and step % self._every == 0


class PictureObserver:
    """Keeps the short-run samples: a grid of images, or the landscape of a two-dimensional energy."""

    def __init__(self, run: RunFolder, algorithm: Algorithm) -> None:
        self._run = run
        self._algorithm = algorithm
        self._every = algorithm.recipe.trace.samples_every
        self._last: Info | None = None

    def tell(self, state: State, info: Info) -> None:
        """Draw if it is time."""
        self._last = info
        if self._every and state.step % self._every == 0:
            self._draw(state, info)

    def finish(self, state: State) -> None:
        """Draw the last samples."""
        if self._last is not None:
            self._draw(state, self._last)

    def _draw(self, state: State, info: Info) -> None:
        dataset, name = self._algorithm.dataset, f"step_{state.step:010d}"
        if isinstance(dataset, PlanarDensity):
            samples = info.negatives if state.bank is None else state.bank.chains[state.bank.visits > 0][:2000]
            epsilon = self._algorithm.recipe.langevin.epsilon
            save_landscape(self._run.landscape / f"{name}.npz", state.net, dataset, samples, state.step, epsilon)
        elif dataset.shape[1:] == (32, 32):
            save_image_grid(self._run.samples / f"{name}.png", info.negatives)


class ProgressObserver:
    """Tells a person how far the learning is."""

    def __init__(self, total: int, done: int, quiet: bool) -> None:
        self._progress = Progress(total, done, quiet, label="learning", unit="iteration")

    def tell(self, state: State, info: Info) -> None:
        """Move the bar."""
        self._progress.advance(1, lambda: f"d {info.row['d_s_t']:+.4g}  r {info.row['r_t']:.4g}")

    def finish(self, state: State) -> None:
        """Nothing: the bar ends with the context."""

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)

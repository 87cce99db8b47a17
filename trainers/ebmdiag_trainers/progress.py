"""Telling a person how far a long piece of work is: a bar on a terminal, else a line every half minute, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import click

_EVERY_S = 30


class Progress:
    """Counts steps; use it as a context manager.

    Args:
        total, done: steps there are, and those that were done before.
        quiet: say nothing.
        label: of the bar.
        unit: what a step is called in a line.
    """

    def __init__(self, total: int, done: int, quiet: bool, *, label: str, unit: str) -> None:
        self._total, self._done, self._first, self._unit = total, done, done, unit
        self._bar: click._termui_impl.ProgressBar[Callable[[], str]] = click.progressbar(
            length=total,
            label=label,
            file=sys.stderr,
            show_pos=True,
            show_eta=True,
            item_show_func=lambda say: say() if say is not None else None,
            hidden=quiet or not sys.stderr.isatty(),
            update_min_steps=1,
        )
        self._lines = not quiet and not sys.stderr.isatty()
        self._started = self._spoken = time.monotonic()

    def advance(self, count: int, say: Callable[[], str]) -> None:
        """Move on by ``count`` steps; ``say`` is called when there is something to be shown."""
        self._done += count
        self._bar.update(count, say)
        if self._lines and time.monotonic() - self._spoken >= _EVERY_S:
            self._spoken = time.monotonic()
            click.echo(f"{self._unit} {self._done} of {self._total}  {say()}  {self._left()}", err=True)

    def _left(self) -> str:
        seconds = (time.monotonic() - self._started) / max(self._done - self._first, 1) * (self._total - self._done)
        return f"about {duration(seconds)} left"

    def __enter__(self) -> Self:
        self._bar.__enter__()
        self._bar.update(self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, traceback)


def duration(seconds: float) -> str:
    """A duration for reading: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

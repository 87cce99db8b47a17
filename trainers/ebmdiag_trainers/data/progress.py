"""Progress on stderr, for work that takes minutes; nothing at all where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

_STEPS = 1000


def shown(wanted: bool) -> bool:
    """Whether a bar that is wanted can be seen."""
    return wanted and sys.stderr.isatty()


@contextmanager
def share_bar(label: str, wanted: bool) -> Iterator[Callable[[float], None]]:
    """A bar moved by giving the share done, 0 to 1; without a terminal the function given does nothing."""
    if not shown(wanted):
        yield lambda share: None
        return
    with click.progressbar(length=_STEPS, label=label, file=sys.stderr) as bar:
        yield lambda share: bar.update(max(int(share * _STEPS) - bar.pos, 0))


class DownloadBar:
    """What pooch asks of a progress bar (``total``, ``update``, ``reset``, ``close``), drawn by click.

    pooch learns the length from the server's answer and sets ``total`` before the first update; 0 means unknown.
    """

    def __init__(self, label: str) -> None:
        self.total = 0
        self._label = label
        self._bar: Any = None
        self._open = ExitStack()

    def update(self, count: int) -> None:
        """``count`` more bytes have come."""
        if self._bar is None:
            bar = click.progressbar(length=self.total or 1, label=self._label, file=sys.stderr)
            self._bar = self._open.enter_context(bar)
        self._bar.update(min(count, max(self._bar.length - self._bar.pos, 0)))

    def reset(self) -> None:
        """pooch counts anew at its end, only to fill the bar; it is full already."""

    def close(self) -> None:
        """End the line; more than once does no harm."""
        self._open.close()

"""Progress on stderr, for work that takes minutes; nothing at all where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_STEPS = 1000


@contextmanager
def share_bar(label: str, wanted: bool) -> Iterator[Callable[[float], None]]:
    """A bar moved by giving the share done, 0 to 1; without a terminal the function given does nothing."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda share: None
        return
    with click.progressbar(length=_STEPS, label=label, file=sys.stderr) as bar:
        yield lambda share: bar.update(max(int(share * _STEPS) - bar.pos, 0))

"""Ctrl-C (and SIGTERM) at the right moment: at once while sampling, else as soon as the iteration is recorded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While this context is open, a signal raises KeyboardInterrupt only inside :meth:`allowed`.

    A signal that comes elsewhere waits for the next :meth:`allowed`. Outside the main thread, where Python
    allows no handlers, signals keep their ordinary meaning.
    """

    def __init__(self) -> None:
        self._allowed = False
        self._pending = False
        self._previous: dict[signal.Signals, Any] = {}

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal, also one that is waiting, raise KeyboardInterrupt here."""
        self._allowed = True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._allowed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        if self._allowed:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

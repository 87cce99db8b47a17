"""One writer at a time: a lock file that the operating system lets go when its process dies."""

from __future__ import annotations

from pathlib import Path

import filelock

from ebmdiag.errors import UsageError
from ebmdiag.files import writing

_PATIENCE_S = 1.0  # a reader asks for the lock for an instant to see whether the writer is alive


def acquire(lock: Path, output: Path) -> filelock.BaseFileLock:
    """Hold the lock until it is released; its folder is made.

    Raises:
        UsageError: another process writes ``output``.
        WriteError: the operating system refused.
    """
    with writing(lock.parent):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(lock, timeout=_PATIENCE_S)
        try:
            held.acquire()
        except filelock.Timeout as error:
            raise UsageError(
                f"another process is writing {output}; wait for it, or choose another place with --out."
            ) from error
    return held


def is_held(lock: Path) -> bool:
    """Whether a living process holds the lock."""
    if not lock.exists():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # we may not ask: leave it as the file says
        return True

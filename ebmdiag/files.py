"""Writing so that a reader never sees half a file, and so that nothing is replaced unasked."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebmdiag.errors import EbmdiagError, OutputExistsError, UsageError, WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; sync and rename it into place when the block ends well.

    On any failure the temporary file is removed and an existing ``path`` stays as it was.

    Raises:
        WriteError: the operating system refused.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield beside
            with beside.open("rb") as handle:
                os.fsync(handle.fileno())
            beside.replace(path)
    finally:
        with contextlib.suppress(OSError):  # not there (any more): the case after a rename, and after most refusals
            beside.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a sentence.

    Raises:
        WriteError: the operating system refused.
    """
    try:
        yield
    except EbmdiagError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no space left on the device; free some space and try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "permission denied; choose another place with -o."
    return f"{error.strerror or error}."


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole small file at once, or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(content)


def refuse_existing(path: Path, *, force: bool, hint: str = "choose another path or add --force") -> None:
    """Stop unless ``path`` is free, or may be replaced.

    Raises:
        OutputExistsError: something is there and ``force`` is off.
        UsageError: a folder is in the way.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, but a file is to be written there; name a file.")
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; {hint}.")

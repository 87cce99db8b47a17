"""Pieces that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def path_setting(path: Path) -> str:
    """``--data PATH`` as ``--set`` takes it: absolute, as a TOML string."""
    return f"data.path={json.dumps(str(path.resolve()), ensure_ascii=False)}"


@contextmanager
def memory_told() -> Iterator[None]:
    """Say by its name what PyTorch calls a RuntimeError.

    Raises:
        MemoryError: PyTorch found too little memory.
    """
    try:
        yield
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error

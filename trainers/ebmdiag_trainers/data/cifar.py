"""CIFAR-10's python batches: pickles of a stranger, read by an unpickler that can do nothing but hold bytes.

A pickle may name any function and have it called. Here five names are known, those that numpy and Python write for an
array of bytes, and none of them leads to numpy: they give inert records, from which the array is built after checks.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.archives import members
from ebmdiag_trainers.data.preprocessing import Bytes

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_PIXELS = 3 * 32 * 32
_NUMBERED = {"PUT", "BINPUT", "LONG_BINPUT"}
_BUFFERS = {"BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER"}


class _Inert:
    """Stands for an array or a dtype: keeps what the pickle says of it, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _encode(text: object, encoding: object = "latin1") -> bytes:
    # Python 3 writes bytes in old protocols as text with this call; only what it writes is admitted
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("_codecs.encode is called with something else than text in latin1")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Inert,
    ("numpy._core.multiarray", "_reconstruct"): _Inert,
    ("numpy", "ndarray"): _Inert,
    ("numpy", "dtype"): _Inert,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Knows ``_ADMITTED`` and refuses every other global, by name."""

    where: str = "the pickle"

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        raise DataError(
            f"{self.where} asks for {module}.{name}, which no CIFAR-10 batch needs; it is refused as unsafe, "
            "and nothing was run. Fetch the official archive."
        )


def read_cifar(path: Path) -> Bytes:
    """The 50,000 training images of the official archive or its folder: uint8, shape (N, 32, 32, 3).

    Raises:
        DataError: missing, damaged or unsafe, or without all five batches.
    """
    found = {
        Path(member.name).name: read_batch(member.content, f"{path}: {member.name}")
        for member in members(path, lambda name: Path(name).name in BATCHES)
    }
    missing = [name for name in BATCHES if name not in found]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; name cifar-10-python.tar.gz or the folder unpacked from it."
        )
    return np.concatenate([found[name] for name in BATCHES])


def read_batch(content: bytes, where: str) -> Bytes:
    """One pickled batch: uint8, shape (N, 32, 32, 3); ``where`` names it in messages.

    Raises:
        DataError: not a pickle of bytes alone, or not a batch of CIFAR-10.
    """
    unpickler = _Unpickler(io.BytesIO(content), encoding="bytes")
    unpickler.where = where
    try:
        _check_opcodes(content)
        batch = unpickler.load()
    except DataError:
        raise
    except Exception as error:  # damaged pickles raise nearly anything, and all of it means the same
        raise DataError(f"{where} is not a readable CIFAR-10 batch ({error}); fetch the archive again.") from error
    record = batch.get(b"data", batch.get("data")) if isinstance(batch, dict) else None
    return _pixels(record, where)


def _check_opcodes(content: bytes) -> None:
    """Refuse, before anything is loaded, what makes Python's unpickler set aside memory on a bare claim.

    A five-byte opcode that files an object under number 4,294,967,295 makes it fill a table of 64 GiB.
    """
    for opcode, argument, _ in pickletools.genops(content):
        claims = opcode.name in _NUMBERED and isinstance(argument, int) and argument > len(content)
        if claims or opcode.name in _BUFFERS:
            raise pickle.UnpicklingError(f"it holds {opcode.name} {argument!r:.20}, which no batch needs")


def _pixels(record: Any, where: str) -> Bytes:
    """Build the array from numpy's state (version, shape, dtype, is_fortran, bytes), after checking each part."""
    match getattr(record, "state", None):
        case (_, (int(count), int(width)), _Inert(arguments=(b"u1" | "u1", *_)), fortran, bytes(raw)):
            if not fortran and width == _PIXELS and count > 0 and len(raw) == count * width:
                planes = np.frombuffer(raw, dtype=np.uint8).reshape(count, 3, 32, 32)
                return planes.transpose(0, 2, 3, 1)
    raise DataError(
        f"{where} is not a CIFAR-10 batch: its entry 'data' is not an array of N x {_PIXELS} bytes; "
        "fetch the official archive."
    )

"""Opening files that may come from a stranger: Parquet and npz, with every fault as one short reason.

Nothing is unpickled, and no room is made for what a file only claims to hold.
"""

from __future__ import annotations

import math
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import TraceError

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@contextmanager
def opened_parquet(path: Path, shown: Path | None = None) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read from; each page that carries a checksum is held to it.

    Args:
        path: of the file.
        shown: how to name it in a complaint, if otherwise.

    Raises:
        TraceError: it cannot be read.
        FileNotFoundError: it is not there (any more).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shown = shown or path
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise TraceError(f"{shown} is no regular file but a folder, a pipe or a device; name a .parquet file.")
        # with pre_buffer the raw bytes of all columns stay in memory
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TraceError(
            f"{shown} cannot be read as Parquet: truncated, damaged or another kind of file ({reason(error, 200)})."
        ) from error


def read_npz(path: Path, needed: Iterable[str], further: Iterable[str], *, largest: int) -> dict[str, NDArray[Any]]:
    """Arrays of an npz file by name.

    Args:
        path: the file.
        needed, further: names that must, and that may, be there; others are not read.
        largest: bytes that it may unpack to.

    Raises:
        ValueError: it cannot be read, is too large, claims more than it holds, or lacks an array; the message is one
            short line.
    """
    try:
        _refuse_sizes(path, largest)
        with np.load(path, allow_pickle=False) as archive:
            names = [*needed, *(name for name in further if name in archive.files)]
            return {name: np.asarray(archive[name]) for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(reason(error, 120)) from error


def reason(error: Exception, longest: int) -> str:
    """The first line of what an error says, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:longest]


def _refuse_sizes(path: Path, largest: int) -> None:
    """What entries unpack to must be small, and hold as much as their headers claim: NumPy makes room by these."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > largest:
            raise ValueError(f"{unpacked} bytes unpacked, {largest} at most")
        for entry in entries:
            with archive.open(entry) as handle:
                version = np.lib.format.read_magic(handle)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(handle)
            if math.prod(shape) * dtype.itemsize > entry.file_size:
                raise ValueError(f"{entry.filename} claims the shape {shape}, which is more than it holds")

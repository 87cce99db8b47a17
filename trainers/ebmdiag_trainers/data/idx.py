"""MNIST's idx files: bytes 0 0 8 3, then three big-endian 32-bit sizes (count, height, width), then the pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.preprocessing import Bytes
from ebmdiag_trainers.data.safety import TOTAL_LIMIT, open_gzip_or_plain, read_bounded, reading

_NAMES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte")
_FOLDERS = ("", "raw", "MNIST/raw")
_HEADER = struct.Struct(">4B3I")


def find_idx(path: Path) -> Path:
    """The file of training images: ``path`` itself, or the first match in a folder (plain before gzipped).

    Raises:
        DataError: nothing is there, or the folder holds no such file.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path} does not exist; name a folder or file with MNIST's idx images by --data.")
        return path
    for folder in _FOLDERS:
        for name in _NAMES:
            for file in (path / folder / name, path / folder / f"{name}.gz"):
                if file.is_file():
                    return file
    raise DataError(f"{path} holds no {_NAMES[0]} or {_NAMES[0]}.gz; name the folder or file that has the digits.")


def read_idx(path: Path) -> Bytes:
    """Grey images of an idx file, gzipped or not: uint8, shape (count, height, width, 1).

    Raises:
        DataError: missing, damaged, truncated, or not an idx file of images.
    """
    with reading(path), path.open("rb") as raw, open_gzip_or_plain(raw) as handle:
        content = read_bounded(handle, TOTAL_LIMIT, str(path))
    if len(content) < _HEADER.size:
        raise DataError(f"{path} is truncated: {len(content)} bytes are too few for an idx header; fetch it again.")
    zero, also_zero, kind, dimensions, count, height, width = _HEADER.unpack_from(content)
    if (zero, also_zero, kind, dimensions) != (0, 0, 8, 3):
        raise DataError(
            f"{path} is not an idx file of images: it starts with {content[:4].hex(' ')}, not 00 00 08 03; "
            "name the file train-images-idx3-ubyte."
        )
    expected, found = count * height * width, len(content) - _HEADER.size
    if expected != found:
        raise DataError(
            f"{path} is damaged or truncated: its header promises {count} images of {height}x{width}, "
            f"{expected} bytes, but {found} follow; fetch it again."
        )
    if expected == 0:
        raise DataError(f"{path} holds no images ({count} of {height}x{width}); name another file.")
    pixels = np.frombuffer(content, dtype=np.uint8, offset=_HEADER.size)
    return pixels.reshape(count, height, width, 1)

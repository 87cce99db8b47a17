"""Whole states beside a table of chains: where short and long runs ended, and data to compare them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import DataError
from ebmdiag.files import replacing
from ebmdiag.strangers import read_npz

States = NDArray[np.float32]
Floats = NDArray[np.float64]
LARGEST = 1024**3  # unpacked
_KINDS = ("data", "short", "long")
_NAMES = ("data", "short", "long", "nearest_data", "nearest_short", "nearest_long")


@dataclass(frozen=True)
class Samples:
    """States of shape (n, *shape), and each one's distance to the nearest item that the net was trained on.

    Attributes:
        data: drawn from the data, with the recipe's noise; not among the items trained on where the metadata of the
            chains say ``held_out``.
        short, long: where the chains ended, in the order of their numbers. None where there was no such run.
        nearest_data, nearest_short, nearest_long: Euclidean distances, shape (n,); None for a density.
    """

    data: States | None = None
    short: States | None = None
    long: States | None = None
    nearest_data: Floats | None = None
    nearest_short: Floats | None = None
    nearest_long: Floats | None = None


def write_samples(path: Path, samples: Samples) -> None:
    """Write them as npz."""
    arrays = {name: getattr(samples, name) for name in _NAMES}
    with replacing(path) as beside, beside.open("wb") as handle:
        np.savez_compressed(handle, **{name: array for name, array in arrays.items() if array is not None})


def read_samples(path: Path) -> Samples:
    """Read them as a stranger's file.

    Raises:
        DataError: it cannot be read, is too large, or holds something else.
    """
    try:
        arrays = read_npz(path, (), _NAMES, largest=LARGEST)
    except ValueError as error:
        raise DataError(f"{path} cannot be read as samples of chains ({error}).") from error
    _check(path, arrays)
    typed: dict[str, Any] = {
        name: array.astype(np.float64 if name.startswith("nearest_") else np.float32) for name, array in arrays.items()
    }
    return Samples(**typed)


def _check(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    if any(array.dtype.kind != "f" or not len(array.shape) for array in arrays.values()):
        raise DataError(f"{path}: samples of chains must be arrays of floats.")
    shapes = {arrays[name].shape[1:] for name in _KINDS if name in arrays}
    if len(shapes) > 1:
        raise DataError(f"{path}: the states differ in shape: {', '.join(map(str, sorted(shapes)))}.")
    for kind in _KINDS:
        distance = arrays.get(f"nearest_{kind}")
        if distance is not None and (kind not in arrays or distance.shape != arrays[kind].shape[:1]):
            raise DataError(f"{path}: nearest_{kind} must hold one distance for each state of '{kind}'.")

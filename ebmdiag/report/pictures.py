"""What lies in a run's folder for the report: image grids and landscapes, read as a stranger's files.

Only regular files of the agreed names, up to a size limit, that are what they claim to be; anything else becomes
a note. Nothing is unpickled.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import DataError
from ebmdiag.strangers import read_npz

Floats = NDArray[np.float64]
Modes = NDArray[np.int8]
Loaded = TypeVar("Loaded")
Item = TypeVar("Item")

MOST_IMAGES = 6
MOST_CHAINS = 3
MOST_LANDSCAPES = 3
LARGEST_IMAGE = 2 * 1024**2
LARGEST_LANDSCAPE = 64 * 1024**2  # unpacked

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_GRID = 1024
_MOST_MODES = 100
_STEP = re.compile(r"step_(\d{1,15})")
_CHAINS = re.compile(r"step_(\d{1,15})-([A-Za-z0-9_.+-]{1,60})")
_MODE_NAME = re.compile(r"[A-Za-z0-9 .,()°+-]{1,24}")  # it goes into figures, where $ and \ would be mathematics


@dataclass(frozen=True)
class Picture:
    """A PNG file as it is, and what its header says; ``name`` where its step has several."""

    step: int
    content: bytes
    width: int
    height: int
    name: str = ""


@dataclass(frozen=True)
class Landscape:
    """A two-dimensional energy beside the truth.

    Attributes:
        grid: coordinates along both axes, shape (G,), increasing.
        log_true, energy: log density of the data and U, shape (G, G); row = x1, column = x0.
        samples: short-run samples, shape (M, 2).
        modes, sample_modes: to which mode of the truth a grid point, shape (G, G), and a sample, shape (M,), belongs:
            a place among ``mode_names``. None, and no names, in files of before modes were kept.
    """

    step: int
    grid: Floats
    log_true: Floats
    energy: Floats
    samples: Floats
    modes: Modes | None = None
    sample_modes: Modes | None = None
    mode_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """The chosen files of one folder, and why some are not shown."""

    images: tuple[Picture, ...] = ()
    landscapes: tuple[Landscape, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0


def read_pictures(folder: Path) -> Folder:
    """The first, the last and some in between of ``step_*.png``."""
    images, notes, files = _read(folder, "png", MOST_IMAGES, read_png)
    return Folder(images=images, notes=notes, files=files)


def read_chain_pictures(folder: Path) -> Folder:
    """The newest of ``step_*-NAME.png``, each with the table of chains ``NAME`` that it belongs to; newest first."""
    found = sorted(
        ((int(match[1]), path) for path in folder.glob("*.png") if (match := _CHAINS.fullmatch(path.stem))),
        key=lambda pair: (-pair[0], pair[1].name),
    )
    images, notes = [], []
    for step, path in found[:MOST_CHAINS]:
        try:
            images.append(replace(read_png(path, step), name=path.stem))
        except DataError as error:
            notes.append(str(error))
    return Folder(images=tuple(images), notes=tuple(notes), files=len(found))


def read_landscapes(folder: Path) -> Folder:
    """The first, the last and some in between of ``step_*.npz``: as many as a page shows."""
    landscapes, notes, files = _read(folder, "npz", MOST_LANDSCAPES, read_landscape)
    return Folder(landscapes=landscapes, notes=notes, files=files)


def _read(
    folder: Path, ending: str, most: int, load: Callable[[Path, int], Loaded]
) -> tuple[tuple[Loaded, ...], tuple[str, ...], int]:
    found = by_step(folder, ending)
    loaded: list[Loaded] = []
    notes: list[str] = []
    for step, path in evenly(found, most):
        try:
            loaded.append(load(path, step))
        except DataError as error:
            notes.append(str(error))
    return tuple(loaded), tuple(notes), len(found)


def by_step(folder: Path, ending: str) -> list[tuple[int, Path]]:
    """Step and path of each file ``step_*.ending`` in a folder, in the order of steps; empty without the folder."""
    return sorted(
        (int(match[1]), path)
        for path in folder.glob(f"step_*.{ending}")
        if (match := _STEP.fullmatch(path.stem)) and path.is_file()
    )


def evenly(found: Sequence[Item], most: int) -> list[Item]:
    """The first, the last and some in between, ``most`` at most."""
    places = sorted({round(place) for place in np.linspace(0, max(0, len(found) - 1), min(most, len(found)))})
    return [found[place] for place in places]


def read_png(path: Path, step: int) -> Picture:
    """A PNG file, checked as far as its signature, header and size.

    Raises:
        DataError: it is too large or no PNG.
    """
    try:
        if path.stat().st_size > LARGEST_IMAGE:
            raise DataError(f"{path.name} is larger than {LARGEST_IMAGE // 1024**2} MB and is not shown.")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if not content.startswith(_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        raise DataError(f"{path.name} is not a PNG file and is not shown.")
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= 20_000 and 0 < height <= 20_000) or b"IEND" not in content[-12:]:
        raise DataError(f"{path.name} is a damaged PNG file and is not shown.")
    return Picture(step, content, width, height)


def read_landscape(path: Path, step: int) -> Landscape:
    """A landscape, checked for names, shapes and finite values.

    Raises:
        DataError: it cannot be read, or does not hold what it should.
    """
    try:
        arrays = _arrays(path)
    except ValueError as error:
        raise DataError(f"{path.name} cannot be read as a landscape and is not shown ({error}).") from error
    _check_shapes(path, arrays)
    step = int(arrays["step"]) if arrays["step"].shape == () else step
    grid, log_true, energy, samples = (arrays[name].astype(np.float64) for name in _NAMES)
    if not (np.isfinite(grid).all() and np.isfinite(energy).all() and np.isfinite(samples).all()):
        raise DataError(f"{path.name}: the landscape holds values that are not finite and is not shown.")
    if np.isnan(log_true).any() or not np.isfinite(log_true.max()):
        raise DataError(f"{path.name}: log_true must be finite or minus infinity; it is not shown.")
    return Landscape(step, grid, log_true, energy, samples, *_checked_modes(path, arrays))


_NAMES = ("grid", "log_true", "energy", "samples")
_MODES = ("modes", "sample_modes", "mode_names")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    arrays = read_npz(path, (*_NAMES, "step"), _MODES, largest=LARGEST_LANDSCAPE)
    if any(arrays[name].dtype.kind not in "fiu" for name in (*_NAMES, "step")):
        raise ValueError("arrays must hold numbers")
    return arrays


def _checked_modes(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[Modes | None, Modes | None, tuple[str, ...]]:
    """Modes of grid and samples and their names; nothing of it in older files.

    Raises:
        DataError: they do not belong to this landscape.
    """
    if not any(name in arrays for name in _MODES):
        return None, None, ()
    if not all(name in arrays for name in _MODES):
        raise DataError(f"{path.name}: of {', '.join(_MODES)} some are missing; it is not shown.")
    modes, sample_modes, names = (arrays[name] for name in _MODES)
    if modes.shape != arrays["energy"].shape or sample_modes.shape != arrays["samples"].shape[:1]:
        shapes = f"modes {modes.shape}, sample_modes {sample_modes.shape}"
        raise DataError(f"{path.name}: the modes do not belong to the landscape ({shapes}); it is not shown.")
    if names.ndim != 1 or names.dtype.kind != "U" or not 1 <= len(names) <= _MOST_MODES:
        raise DataError(f"{path.name}: mode_names must be 1 to {_MOST_MODES} names; it is not shown.")
    if not all(_MODE_NAME.fullmatch(name) for name in names.tolist()) or len(set(names.tolist())) < len(names):
        raise DataError(f"{path.name}: mode_names must differ and be of up to 24 plain characters; it is not shown.")
    for numbers in (modes, sample_modes):
        if numbers.dtype.kind not in "iu" or (numbers < 0).any() or (numbers >= len(names)).any():
            raise DataError(f"{path.name}: modes must be numbers from 0 to {len(names) - 1}; it is not shown.")
    return modes.astype(np.int8), sample_modes.astype(np.int8), tuple(names.tolist())


def _check_shapes(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    points = arrays["grid"].shape
    square = len(points) == 1 and 2 <= points[0] <= _LONGEST_GRID
    samples = arrays["samples"].shape
    if not (
        square
        and arrays["log_true"].shape == arrays["energy"].shape == points * 2
        and len(samples) == 2
        and samples[1] == 2
        and arrays["step"].size == 1
    ):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise DataError(f"{path.name}: the shapes do not belong to a landscape ({shapes}); it is not shown.")
    if not (np.diff(arrays["grid"]) > 0).all():
        raise DataError(f"{path.name}: the grid does not increase; it is not shown.")

"""Images in a numpy ``.npz`` file: one array, or the one called ``images``."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.archives import check_zip
from ebmdiag_trainers.data.preprocessing import Bytes
from ebmdiag_trainers.data.safety import TOTAL_LIMIT, reading

_COLOURS = (1, 3)


def read_npz(path: Path) -> Bytes:
    """The images of an ``.npz`` file: uint8, shape (N, H, W, 1 or 3).

    The array may have shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, and hold bytes, or floats in
    [0, 1] or [-1, 1]. Floats without any negative value are taken to be in [0, 1].

    Raises:
        DataError: missing, damaged, pickled, or of another shape, type or range.
    """
    with reading(path):
        array = _load(path)
    return _to_bytes(_channels_last(array, path), path)


def _load(path: Path) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        check_zip(path, archive.infolist(), TOTAL_LIMIT)
        key = _choose([name.removesuffix(".npy") for name in archive.namelist()], path)
        _check_header(archive, f"{key}.npy", path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return cast("NDArray[Any]", arrays[key])
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: array '{key}' cannot be read ({error}); save it again with numpy.savez.") from error


def _choose(keys: list[str], path: Path) -> str:
    if "images" in keys:
        return "images"
    if len(keys) == 1:
        return keys[0]
    raise DataError(
        f"{path} holds {len(keys)} arrays ({', '.join(keys[:5])}), and none is called 'images'; "
        "save the images under that name."
    )


def _check_header(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Refuse a pickled array, and a header that promises more than the member holds, before numpy makes room for it."""
    try:
        info = archive.getinfo(name)
        with archive.open(info) as handle:
            version = np.lib.format.read_magic(handle)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(handle)
            promised = math.prod(shape) * dtype.itemsize + handle.tell()
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: {name} is not a numpy array ({error}); save it with numpy.savez.") from error
    if dtype.hasobject:
        raise DataError(f"{path}: {name} holds Python objects, which are refused as unsafe; save bytes or floats.")
    if promised != info.file_size:
        raise DataError(f"{path}: {name} promises {promised} bytes but has {info.file_size}; it is damaged.")


def _channels_last(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.size == 0:
        raise DataError(f"{path}: images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}.")
    first, last = array.shape[1] in _COLOURS, array.shape[3] in _COLOURS
    if first and last and array.shape[3] != 1:
        raise DataError(f"{path}: in shape {array.shape} the channels may be first or last; save larger images.")
    if not (first or last):
        raise DataError(f"{path}: shape {array.shape} has neither 1 nor 3 channels; drop the others.")
    return array if last else array.transpose(0, 2, 3, 1)


def _to_bytes(array: NDArray[Any], path: Path) -> Bytes:
    if array.dtype == np.uint8:
        return cast("Bytes", array)
    if array.dtype.kind != "f":
        raise DataError(f"{path}: images must be uint8 or floats, not {array.dtype}; convert them.")
    low, high = float(array.min()), float(array.max())
    if not (low >= -1 and high <= 1):  # also false for NaN
        raise DataError(f"{path}: floats must lie in [0, 1] or [-1, 1], but span {low:g} to {high:g}; rescale them.")
    single = array.astype(np.float32, copy=False)
    scaled = single * 255.0 if low >= 0 else (single + 1.0) * 127.5
    return cast("Bytes", np.rint(scaled).astype(np.uint8))

"""From a source's name to a data set: find or fetch the input, prepare it once, keep the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ebmdiag.errors import DataError, UsageError
from ebmdiag_trainers.data.archives import members
from ebmdiag_trainers.data.arrays import read_npz
from ebmdiag_trainers.data.cache import cache_folder, load_prepared, prepared_file, prepared_key, save_prepared
from ebmdiag_trainers.data.cifar import read_cifar
from ebmdiag_trainers.data.contract import Dataset
from ebmdiag_trainers.data.download import fetch
from ebmdiag_trainers.data.gaussian import Gaussian
from ebmdiag_trainers.data.idx import find_idx, read_idx
from ebmdiag_trainers.data.images import ImageSet
from ebmdiag_trainers.data.preprocessing import FORMATS, MODES, SUFFIXES, Bytes, decode, prepare_array
from ebmdiag_trainers.data.progress import share_bar
from ebmdiag_trainers.data.safety import reading
from ebmdiag_trainers.data.sources import TOYS, content_digest, image_source
from ebmdiag_trainers.data.toy import EightGaussians, Rings

_DENSITIES: dict[str, Callable[[], Dataset]] = {"rings": Rings, "gmm": EightGaussians}


def load_dataset(
    source: str,
    *,
    path: Path | None = None,
    channels: int | None = None,
    precisions: Sequence[float] = (),
    coordinates: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Dataset:
    """The data set of a source: ``rings``, ``gmm``, ``gaussian``, ``flowers``, ``mnist``, ``cifar10``, ``images``.

    Args:
        source: the name.
        path: an archive, folder or file to read in place of the download; ``images`` needs it.
        channels: 3 (colour) or 1 (grey); by default 1 for ``mnist``, else 3. Pictures are converted.
        precisions, coordinates: of ``gaussian``, which needs the first; the precisions are repeated in turn.
        cache: the folder for downloads and prepared images; by default ``cache_folder()``.
        progress: show bars on stderr, if it is a terminal.

    Raises:
        UsageError: unknown source, channels neither 1 nor 3, or a path where none belongs or none where one does.
        DataError: the data cannot be fetched, read or trusted.
    """
    if source != "gaussian" and (precisions or coordinates):
        raise UsageError(f"precisions and coordinates belong to the source 'gaussian', not to '{source}'.")
    if source in TOYS:
        return _density(source, path, channels, precisions, coordinates)
    return load_images(source, path=path, channels=channels, cache=cache, progress=progress)


def _density(
    source: str, path: Path | None, channels: int | None, precisions: Sequence[float], coordinates: int | None
) -> Dataset:
    if path is not None:
        raise UsageError(f"the source '{source}' is a density and reads no file; drop the path {path}.")
    if channels is not None:
        raise UsageError(f"the source '{source}' is a density, not images; drop channels = {channels}.")
    if source == "gaussian":
        if not precisions:
            raise UsageError("the source 'gaussian' needs data.precisions, such as [1.0].")
        count = coordinates or len(precisions)
        return Gaussian(tuple(precisions[index % len(precisions)] for index in range(count)))
    return _DENSITIES[source]()


def load_images(
    source: str,
    *,
    path: Path | None = None,
    channels: int | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> ImageSet:
    """As ``load_dataset``, for the sources of images alone."""
    wanted = _channels(source, channels)
    folder = cache or cache_folder()
    origin = _origin(source, path, folder, progress)
    with reading(origin):
        key = prepared_key(source, wanted, content_digest(origin))
    kept = prepared_file(folder, source, key)
    images = load_prepared(kept, wanted)
    if images is None:
        images = _prepare(source, origin, wanted, progress)
        save_prepared(kept, images)
    return ImageSet(source, torch.from_numpy(images), key, str(origin))


def _channels(source: str, channels: int | None) -> int:
    usual = image_source(source).channels
    if channels is not None and channels not in MODES:
        raise UsageError(f"channels must be 1 (grey) or 3 (colour), but is {channels}.")
    return usual if channels is None else channels


def _origin(source: str, path: Path | None, cache: Path, progress: bool) -> Path:
    if path is None:
        if source == "images":
            raise UsageError("the source 'images' needs a folder, archive or .npz file; name it with --data PATH.")
        return fetch(source, cache, progress=progress)
    if not path.exists():
        raise DataError(f"{path} does not exist; name a file or folder with --data PATH.")
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is neither a file nor a folder (a pipe or device?); save it to a file first.")
    return find_idx(path) if source == "mnist" else path


def _prepare(source: str, origin: Path, channels: int, progress: bool) -> Bytes:
    if origin.suffix.lower() == ".npz":
        return prepare_array(read_npz(origin), channels)
    if source == "mnist":
        return prepare_array(read_idx(origin), channels)
    if source == "cifar10":
        return prepare_array(read_cifar(origin), channels)
    return _prepare_pictures(origin, channels, progress)


def _prepare_pictures(origin: Path, channels: int, progress: bool) -> Bytes:
    pictures: dict[str, Bytes] = {}
    with share_bar(f"preparing {origin.name}", progress) as advance:
        for member in members(origin, _is_picture):
            pictures[member.name] = decode(member.content, channels, f"{origin}: {member.name}")
            advance(member.done)
    if not pictures:
        raise DataError(f"{origin} holds no images ({', '.join(FORMATS)}, by suffix); name another folder or archive.")
    return np.stack([pictures[name] for name in sorted(pictures)])


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)

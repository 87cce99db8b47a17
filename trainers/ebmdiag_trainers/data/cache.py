"""Prepared images kept between runs: one ``.npy`` file each, followed by the sha256 of what precedes.

The key covers source, channels, version of the preprocessing and content of the input, so a prepared file is never
stale. It may be damaged or unwritable: then it is made anew, or not kept, and a note says so.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import click
import numpy as np

from ebmdiag.errors import WriteError
from ebmdiag.files import replacing
from ebmdiag_trainers.data.preprocessing import SIDE, VERSION, Bytes

_DIGEST = 32


def cache_folder() -> Path:
    """The environment variable EBMDIAG_CACHE, or the user's cache folder."""
    chosen = os.environ.get("EBMDIAG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("ebmdiag"))


def prepared_key(source: str, channels: int, content: str) -> str:
    """sha256 of all that determines the prepared bytes; ``content`` is the digest of the input."""
    facts = f"{source}\0{channels}\0{VERSION}\0{content}"
    return hashlib.sha256(facts.encode()).hexdigest()


def prepared_file(cache: Path, source: str, key: str) -> Path:
    """Where the prepared images with this key are kept."""
    return cache / "prepared" / f"{source}-{key[:24]}.npy"


def load_prepared(file: Path, channels: int) -> Bytes | None:
    """The prepared images, shape (N, channels, 32, 32); None if there are none, or, with a note, if damaged."""
    try:
        with file.open("rb") as handle:
            return _read(handle, channels)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError) as error:
        _note(f"the prepared images in {file} cannot be used ({error}); they are made anew.")
        return None


def _read(handle: BinaryIO, channels: int) -> Bytes:
    size = handle.seek(-_DIGEST, os.SEEK_END)  # OSError on a file shorter than that
    kept = handle.read(_DIGEST)
    handle.seek(0)
    if _digest(handle, size) != kept:
        raise ValueError("its checksum is wrong")
    handle.seek(0)
    images: Bytes = np.load(handle, allow_pickle=False)
    if images.dtype != np.uint8 or images.shape[1:] != (channels, SIDE, SIDE) or not len(images):
        raise ValueError(f"it holds {images.dtype} of shape {images.shape}")
    return images


def _digest(handle: BinaryIO, size: int) -> bytes:
    digest = hashlib.sha256()
    while size > 0 and (piece := handle.read(min(size, 2**20))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()


def save_prepared(file: Path, images: Bytes) -> None:
    """Keep prepared images, or note that they cannot be kept."""
    try:
        with replacing(file) as beside:
            with beside.open("wb") as handle:
                np.save(handle, images, allow_pickle=False)
            with beside.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").digest()
            with beside.open("ab") as handle:
                handle.write(digest)
    except (WriteError, OSError) as error:
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or cause
        _note(
            f"the prepared images cannot be kept in {file.parent} ({reason}), so the next start takes as long; "
            "set EBMDIAG_CACHE to a folder that can be written."
        )


def _note(message: str) -> None:
    click.echo(f"ebmdiag: note: {message}", err=True)

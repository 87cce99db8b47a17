"""The image sources: where the official files are, what they are called, and what a prepared image has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ebmdiag.errors import UsageError
from ebmdiag.names import nearest

TOYS = ("rings", "gmm", "gaussian")


@dataclass(frozen=True)
class Download:
    """An official file: ``size`` is for reading, and ``images`` is the number it holds."""

    url: str
    md5: str
    size: str
    images: int

    @property
    def file_name(self) -> str:
        """The last part of the address, and the name in the cache."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Source:
    """A kind of image data: its usual number of channels, and its download if there is one."""

    channels: int
    download: Download | None = None


SOURCES: dict[str, Source] = {
    "flowers": Source(
        3,
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
            "52808999861908f626f3c1f4e79d11fa",
            "about 345 MB",
            8_189,
        ),
    ),
    "mnist": Source(
        1,
        Download(
            "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "about 10 MB",
            60_000,
        ),
    ),
    "cifar10": Source(
        3,
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "about 170 MB",
            50_000,
        ),
    ),
    "images": Source(3),
}


def image_source(name: str) -> Source:
    """The row of ``SOURCES``.

    Raises:
        UsageError: no source has this name.
    """
    if name in SOURCES:
        return SOURCES[name]
    known = (*TOYS, *SOURCES)
    raise UsageError(f"unknown data source '{name}'{nearest(name, known)} Known: {', '.join(known)}.")


def downloadable(name: str) -> Download:
    """The official file of a source.

    Raises:
        UsageError: no such source, or one without a download.
    """
    download = None if name in TOYS else image_source(name).download
    if download is None:
        what = "is a density and needs no file" if name in TOYS else "is your own and is given with --data PATH"
        having = ", ".join(key for key, source in SOURCES.items() if source.download)
        raise UsageError(f"the source '{name}' {what}; files exist for {having}.")
    return download


def content_digest(path: Path) -> str:
    """sha256 over a file's content, or over the sorted names, sizes and times of the files below a folder."""
    if not path.is_dir():
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        facts = file.stat()
        digest.update(f"{file.relative_to(path).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()

"""Tar archives as streams, of which no damage passes for the end.

``tarfile`` takes a damaged or missing header in mid-archive for the end, and reads a header of any claimed length into
memory. Here the unpacked bytes are counted on their way to it, and the last block that it read is checked.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from ebmdiag.errors import DataError
from ebmdiag_trainers.data import safety
from ebmdiag_trainers.data.safety import check_count, check_kind, check_name, check_size, is_hidden, words

_MAGIC: dict[bytes, Callable[[BinaryIO], object]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Member(NamedTuple):
    """One file: its name relative to the source, its bytes, and the share of the source read so far (0 to 1)."""

    name: str
    content: bytes
    done: float


def tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """The wanted files of a tar archive (gzip, bzip2, xz or plain), in its order.

    Raises:
        DataError: not a tar archive, or unsafe, damaged or truncated; other errors are for ``safety.reading``.
    """
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, _unpacked(raw) as unpacked:
        stream = _Guarded(unpacked, path)
        with _open_tar(stream, path) as archive:
            for count, entry in enumerate(archive):
                check_count(path, count + 1)
                _check_entry(path, entry)
                if entry.isreg() and not is_hidden(entry.name) and wanted(entry.name):
                    yield Member(entry.name, _content(archive, entry, path), min(raw.tell() / size, 1.0))
        stream.check_end()


def _open_tar(stream: _Guarded, path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=cast("BinaryIO", stream), mode="r:")
    except tarfile.ReadError as error:
        raise DataError(
            f"{path} is neither a folder nor a readable tar or zip archive ({words(error)}); "
            "name one that holds the images."
        ) from error


def _check_entry(path: Path, entry: tarfile.TarInfo) -> None:
    check_name(path, entry.name)
    check_kind(path, entry.name, (entry.isreg() or entry.isdir()) and not entry.issparse())
    check_size(path, entry.name, entry.size, safety.MEMBER_LIMIT)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> bytes:
    handle = archive.extractfile(entry)
    content = handle.read() if handle is not None else b""
    if len(content) != entry.size:
        raise DataError(f"{path} is truncated inside {entry.name!r}; fetch it again.")
    return content


class _Guarded:
    """The unpacked bytes of a tar archive, counted; knows whether the archive ended as it should."""

    def __init__(self, unpacked: BinaryIO, path: Path) -> None:
        self._unpacked = unpacked
        self._path = path
        self._last = b""

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= safety.MEMBER_LIMIT:
            raise DataError(
                f"{self._path} holds a header or member over {safety.MEMBER_LIMIT // 2**20} MiB; it is refused."
            )
        self._last = self._unpacked.read(count)
        self._check_total()
        return self._last

    def seek(self, position: int) -> int:
        if position > safety.TOTAL_LIMIT:
            raise safety.too_much(self._path)
        return self._unpacked.seek(position)

    def tell(self) -> int:
        return self._unpacked.tell()

    def check_end(self) -> None:
        """The last block must be the empty one that ends an archive, and the compression's checksum must hold."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            raise DataError(f"{self._path} is damaged or truncated: the mark of its end is missing; fetch it again.")
        while self._unpacked.read(2**20):
            self._check_total()

    def _check_total(self) -> None:
        if self._unpacked.tell() > safety.TOTAL_LIMIT:
            raise safety.too_much(self._path)


@contextmanager
def _unpacked(raw: BinaryIO) -> Iterator[BinaryIO]:
    start = raw.read(8)
    raw.seek(0)
    opener = next((opener for magic, opener in _MAGIC.items() if start.startswith(magic)), None)
    if opener is None:
        yield raw
        return
    with cast("BinaryIO", opener(raw)) as unpacked:
        yield unpacked

"""Files out of folders, tar and zip archives, one after the other, without ever extracting to disk.

Archives come from strangers. A member is refused, by name, if its path is absolute or climbs with ``..``, if it is
a link or a device, or if it is larger than ``MEMBER_LIMIT``; an archive is refused if it unpacks to more than
``TOTAL_LIMIT`` or holds more than ``COUNT_LIMIT`` members. A truncated archive is an error even where the standard
library takes the cut for the end.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, NamedTuple, Protocol, cast

from ebmdiag.errors import DataError

MEMBER_LIMIT = 64 * 2**20
TOTAL_LIMIT = 4 * 2**30
COUNT_LIMIT = 1_000_000

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
_MAGIC: dict[bytes, Callable[[BinaryIO], object]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Readable(Protocol):
    """Whatever gives its bytes piece by piece."""

    def read(self, count: int, /) -> bytes:
        """At most ``count`` bytes; none at the end."""


class Member(NamedTuple):
    """One file: its name relative to the source, its bytes, and the share of the source read so far (0 to 1)."""

    name: str
    content: bytes
    done: float


Wanted = Callable[[str], bool]


def members(path: Path, wanted: Wanted) -> Iterator[Member]:
    """The wanted files of a folder, tar (gzip, bzip2, xz or plain) or zip archive, in the source's order.

    Names use ``/``. Hidden files and macOS resource forks are passed over.

    Raises:
        DataError: the path is missing, neither folder nor archive, unsafe, damaged or truncated.
    """
    with reading(path):
        if path.is_dir():
            yield from _from_folder(path, wanted)
        elif _starts_as_zip(path):
            yield from _from_zip(path, wanted)
        else:
            yield from _from_tar(path, wanted)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the standard library says of a damaged or unreadable file into one sentence naming ``path``.

    Raises:
        DataError: the file is missing, damaged, truncated, encrypted or unreadable.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{error.filename or path} does not exist; name a file or folder with --data.") from error
    except _DAMAGED as error:
        raise DataError(
            f"{path} is damaged or truncated ({_words(error)}); fetch it again, or check that it is what it should be."
        ) from error
    except NotImplementedError as error:
        raise DataError(f"{path} cannot be unpacked: {_words(error)}; pack it another way.") from error
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or _words(error)}.") from error


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _from_folder(folder: Path, wanted: Wanted) -> Iterator[Member]:
    files = [(name, file) for name, file in folder_files(folder) if wanted(name)]
    for index, (name, file) in enumerate(files):
        with file.open("rb") as handle:
            yield Member(name, read_bounded(handle, MEMBER_LIMIT, f"{file}"), (index + 1) / len(files))


def folder_files(folder: Path) -> list[tuple[str, Path]]:
    """Every regular file below a folder with its relative name, sorted by name; folders behind links are left out."""
    found = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
    return sorted((name, file) for name, file in found if not _is_hidden(name))


def _from_zip(path: Path, wanted: Wanted) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        check_zip(path, entries, MEMBER_LIMIT)
        for index, entry in enumerate(entries):
            if entry.is_dir() or _is_hidden(entry.filename) or not wanted(entry.filename):
                continue
            with archive.open(entry) as handle:
                content = read_bounded(handle, MEMBER_LIMIT, _named(path, entry.filename))
            yield Member(entry.filename, content, (index + 1) / len(entries))


def check_zip(path: Path, entries: list[zipfile.ZipInfo], member_limit: int) -> None:
    """Refuse a zip archive by its directory, before anything is unpacked.

    Raises:
        DataError: an unsafe or too large member, or too much altogether.
    """
    _check_count(path, len(entries))
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        _check_name(path, entry.filename)
        _check_kind(path, entry.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        _check_size(path, entry.filename, entry.file_size, member_limit)
        if entry.flag_bits & 1:
            raise DataError(f"{_named(path, entry.filename)} is encrypted; give an archive without a password.")
    if sum(entry.file_size for entry in entries) > TOTAL_LIMIT:
        raise _too_much(path)


def _from_tar(path: Path, wanted: Wanted) -> Iterator[Member]:
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, _unpacked(raw) as unpacked:
        stream = _Guarded(unpacked, path)
        with _open_tar(stream, path) as archive:
            for count, entry in enumerate(archive):
                _check_count(path, count + 1)
                _check_entry(path, entry)
                if entry.isreg() and not _is_hidden(entry.name) and wanted(entry.name):
                    yield Member(entry.name, _content(archive, entry, path), min(raw.tell() / size, 1.0))
        stream.check_end()


def _open_tar(stream: _Guarded, path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=cast("BinaryIO", stream), mode="r:")
    except tarfile.ReadError as error:
        raise DataError(
            f"{path} is neither a folder nor a readable tar or zip archive ({_words(error)}); "
            "name one that holds the images."
        ) from error


def _check_entry(path: Path, entry: tarfile.TarInfo) -> None:
    _check_name(path, entry.name)
    _check_kind(path, entry.name, (entry.isreg() or entry.isdir()) and not entry.issparse())
    _check_size(path, entry.name, entry.size, MEMBER_LIMIT)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> bytes:
    handle = archive.extractfile(entry)
    content = handle.read() if handle is not None else b""
    if len(content) != entry.size:
        raise DataError(f"{path} is truncated inside {entry.name!r}; fetch it again.")
    return content


class _Guarded:
    """The unpacked bytes of a tar archive, counted; knows whether the archive ended as it should.

    ``tarfile`` takes a damaged or missing header in mid-archive for the end, and reads the value of a header of any
    claimed length into memory. Here such a read is refused, and the last block read is kept for the final check.
    """

    def __init__(self, unpacked: BinaryIO, path: Path) -> None:
        self._unpacked = unpacked
        self._path = path
        self._last = b""

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MEMBER_LIMIT:
            raise DataError(f"{self._path} holds a header or member over {MEMBER_LIMIT // 2**20} MiB; it is refused.")
        self._last = self._unpacked.read(count)
        self._check_total()
        return self._last

    def seek(self, position: int) -> int:
        if position > TOTAL_LIMIT:
            raise _too_much(self._path)
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
        if self._unpacked.tell() > TOTAL_LIMIT:
            raise _too_much(self._path)


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


def open_gzip_or_plain(raw: BinaryIO) -> BinaryIO:
    """The unpacked bytes of a file that may or may not be gzipped, told by its first two bytes."""
    is_gzip = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb")) if is_gzip else raw


def read_bounded(handle: Readable, limit: int, where: str) -> bytes:
    """All bytes of a stream, in pieces, as long as there are at most ``limit``.

    Raises:
        DataError: there are more.
    """
    pieces, total = [], 0
    while piece := handle.read(2**20):
        pieces.append(piece)
        total += len(piece)
        if total > limit:
            raise DataError(f"{where} is larger than {limit // 2**20} MiB; it is refused.")
    return b"".join(pieces)


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") and part != "." for part in parts) or "__MACOSX" in parts


def _check_name(path: Path, name: str) -> None:
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or flavour.root or ".." in flavour.parts:
            raise DataError(f"{path}: member {name!r} points outside the archive; the archive is refused as unsafe.")


def _check_kind(path: Path, name: str, is_plain: bool) -> None:
    if not is_plain:
        raise DataError(
            f"{path}: member {name!r} is a link, a device or another special file, not a plain file; "
            "the archive is refused as unsafe."
        )


def _check_size(path: Path, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(f"{_named(path, name)} unpacks to {size} bytes, over the limit of {limit}; it is refused.")


def _check_count(path: Path, count: int) -> None:
    if count > COUNT_LIMIT:
        raise DataError(f"{path} holds more than {COUNT_LIMIT} members; it is refused.")


def _too_much(path: Path) -> DataError:
    return DataError(f"{path} unpacks to more than {TOTAL_LIMIT // 2**30} GiB; it is refused. Split it into parts.")


def _named(path: Path, name: str) -> str:
    return f"{path}: member {name!r}"

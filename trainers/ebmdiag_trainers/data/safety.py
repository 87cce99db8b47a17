"""What is refused of files from strangers, and the words for it.

A member is refused, by name, if its path is absolute or climbs with ``..``, if it is a link or a device, or if it is
larger than ``MEMBER_LIMIT``; an archive is refused if it unpacks to more than ``TOTAL_LIMIT`` or holds more than
``COUNT_LIMIT`` members.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Protocol, cast

from ebmdiag.errors import DataError

MEMBER_LIMIT = 64 * 2**20
TOTAL_LIMIT = 4 * 2**30
COUNT_LIMIT = 1_000_000

# the last four come out of the standard library's readers when a field of a header is nonsense
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    ValueError,
    OverflowError,
    struct.error,
    IndexError,
)


class Readable(Protocol):
    """Whatever gives its bytes piece by piece."""

    def read(self, count: int, /) -> bytes:
        """At most ``count`` bytes; none at the end."""


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
            f"{path} is damaged or truncated ({words(error)}); fetch it again, or check that it is what it should be."
        ) from error
    except NotImplementedError as error:
        raise DataError(f"{path} cannot be unpacked: {words(error)}; pack it another way.") from error
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or words(error)}.") from error


def words(error: Exception) -> str:
    """What an error says, or what it is called where it says nothing."""
    return str(error).rstrip(".") or type(error).__name__


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


def open_gzip_or_plain(raw: BinaryIO) -> BinaryIO:
    """The unpacked bytes of a file that may or may not be gzipped, told by its first two bytes."""
    is_gzip = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb")) if is_gzip else raw


def is_hidden(name: str) -> bool:
    """Whether a name or one of its folders starts with a dot, or belongs to a macOS resource fork."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") and part != "." for part in parts) or "__MACOSX" in parts


def check_name(path: Path, name: str) -> None:
    """Refuse a name that leads outside the archive, on any system."""
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or flavour.root or ".." in flavour.parts:
            raise DataError(f"{path}: member {name!r} points outside the archive; the archive is refused as unsafe.")


def check_kind(path: Path, name: str, is_plain: bool) -> None:
    """Refuse whatever is no plain file or folder."""
    if not is_plain:
        raise DataError(
            f"{path}: member {name!r} is a link, a device or another special file, not a plain file; "
            "the archive is refused as unsafe."
        )


def check_size(path: Path, name: str, size: int, limit: int) -> None:
    """Refuse a member that is too large."""
    if size > limit:
        raise DataError(f"{named(path, name)} unpacks to {size} bytes, over the limit of {limit}; it is refused.")


def check_count(path: Path, count: int) -> None:
    """Refuse too many members."""
    if count > COUNT_LIMIT:
        raise DataError(f"{path} holds more than {COUNT_LIMIT} members; it is refused.")


def too_much(path: Path) -> DataError:
    """The error for an archive that unpacks to too much."""
    return DataError(f"{path} unpacks to more than {TOTAL_LIMIT // 2**30} GiB; it is refused. Split it into parts.")


def named(path: Path, name: str) -> str:
    """A member of an archive, for a message."""
    return f"{path}: member {name!r}"

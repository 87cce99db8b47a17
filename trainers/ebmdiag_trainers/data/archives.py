"""Files out of folders, tar and zip archives, one after the other, without ever extracting to disk."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ebmdiag.errors import DataError
from ebmdiag_trainers.data import safety
from ebmdiag_trainers.data.safety import check_count, check_kind, check_name, check_size, is_hidden, named, reading
from ebmdiag_trainers.data.tars import Member, tar_members

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
            yield from tar_members(path, wanted)


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _from_folder(folder: Path, wanted: Wanted) -> Iterator[Member]:
    files = [(name, file) for name, file in folder_files(folder) if wanted(name)]
    for index, (name, file) in enumerate(files):
        with file.open("rb") as handle:
            yield Member(name, safety.read_bounded(handle, safety.MEMBER_LIMIT, f"{file}"), (index + 1) / len(files))


def folder_files(folder: Path) -> list[tuple[str, Path]]:
    """Every regular file below a folder with its relative name, sorted by name; folders behind links are left out."""
    found = [(file.relative_to(folder).as_posix(), file) for file in folder.rglob("*") if file.is_file()]
    return sorted((name, file) for name, file in found if not is_hidden(name))


def _from_zip(path: Path, wanted: Wanted) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        check_zip(path, entries, safety.MEMBER_LIMIT)
        for index, entry in enumerate(entries):
            if entry.is_dir() or is_hidden(entry.filename) or not wanted(entry.filename):
                continue
            with archive.open(entry) as handle:
                content = safety.read_bounded(handle, safety.MEMBER_LIMIT, named(path, entry.filename))
            yield Member(entry.filename, content, (index + 1) / len(entries))


def check_zip(path: Path, entries: list[zipfile.ZipInfo], member_limit: int) -> None:
    """Refuse a zip archive by its directory, before anything is unpacked.

    Raises:
        DataError: an unsafe or too large member, or too much altogether.
    """
    check_count(path, len(entries))
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        check_name(path, entry.filename)
        check_kind(path, entry.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        check_size(path, entry.filename, entry.file_size, member_limit)
        if entry.flag_bits & 1:
            raise DataError(f"{named(path, entry.filename)} is encrypted; give an archive without a password.")
    if sum(entry.file_size for entry in entries) > safety.TOTAL_LIMIT:
        raise safety.too_much(path)

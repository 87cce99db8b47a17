"""Fetching the official files into the cache, with their hash checked, or saying what to fetch by hand."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from pathlib import Path

import pooch
import requests

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.progress import share_bar
from ebmdiag_trainers.data.sources import Download, downloadable

_CHUNK = 2**18
_TIMEOUT = 30  # seconds without any byte
_AS_IT_IS = {"Accept-Encoding": "identity"}  # a transfer packed once more would be unpacked, and its hash be wrong


def expected_file(source: str, cache: Path) -> Path:
    """Where the official file of a source is looked for, and put."""
    return cache / "downloads" / downloadable(source).file_name


def is_there(source: str, cache: Path) -> bool:
    """Whether the official file is in the cache, whole: its md5 is right."""
    file = expected_file(source, cache)
    if not file.is_file():
        return False
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest() == downloadable(source).md5


def fetch(source: str, cache: Path, *, progress: bool = False) -> Path:
    """The official file, downloaded unless it is in the cache already.

    Raises:
        UsageError: the source has no download.
        DataError: no network, a refusal by the server, a wrong hash, or no place to write.
    """
    download, file = downloadable(source), expected_file(source, cache)
    pooch.get_logger().setLevel(logging.ERROR)
    try:
        pooch.retrieve(
            download.url,
            f"md5:{download.md5}",
            fname=file.name,
            path=file.parent,
            downloader=partial(_transfer, progress=progress),
        )
    except requests.RequestException as error:
        raise _failure(source, download, file, _network(error)) from error
    except ValueError as error:  # pooch: the hash is wrong
        raise _failure(source, download, file, "what came has another md5, and was deleted") from error
    except OSError as error:
        raise _failure(source, download, file, f"cannot write {file}: {error.strerror or error}") from error
    return file


def _transfer(url: str, target: str, _: object, *, progress: bool) -> None:
    """Write the answer to ``target``: the form of a downloader that pooch asks for.

    pooch's own needs tqdm for a bar, and leaves its connection open on an error.
    """
    with (
        requests.get(url, stream=True, timeout=_TIMEOUT, headers=_AS_IT_IS) as answer,
        Path(target).open("wb") as output,
        share_bar(f"fetching {url.rsplit('/', 1)[-1]}", progress) as advance,
    ):
        answer.raise_for_status()
        length, done = answer.headers.get("Content-Length", ""), 0
        total = int(length) if length.isdecimal() else 0
        for piece in answer.iter_content(_CHUNK):
            output.write(piece)
            done += len(piece)
            advance(min(done / total, 1.0) if total else 0.0)
        advance(1.0)


def _network(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server, or it was lost"
    return f"the transfer broke off ({type(error).__name__})"


def _failure(source: str, download: Download, file: Path, reason: str) -> DataError:
    return DataError(
        f"'{source}' cannot be downloaded: {reason}; fetch {download.url} (md5 {download.md5}, {download.size}) "
        f"elsewhere, and put it at {file} or name it with --data PATH."
    )

"""Fetching the official files into the cache, with their hash checked, or saying what to fetch by hand."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pooch
import requests

from ebmdiag.errors import DataError
from ebmdiag_trainers.data.progress import DownloadBar, shown
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
    bar = DownloadBar(f"fetching {download.file_name}") if shown(progress) else None
    downloader = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=_CHUNK, timeout=_TIMEOUT, headers=_AS_IT_IS)
    try:
        pooch.retrieve(download.url, f"md5:{download.md5}", fname=file.name, path=file.parent, downloader=downloader)
    except requests.RequestException as error:
        raise _failure(source, download, file, _network(error)) from error
    except ValueError as error:  # pooch: the hash is wrong
        raise _failure(source, download, file, "what came has another md5, and was deleted") from error
    except OSError as error:
        raise _failure(source, download, file, f"cannot write {file}: {error.strerror or error}") from error
    finally:
        if bar is not None:
            bar.close()
    return file


def _network(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    return f"the transfer broke off ({type(error).__name__})"


def _failure(source: str, download: Download, file: Path, reason: str) -> DataError:
    return DataError(
        f"'{source}' cannot be downloaded: {reason}; fetch {download.url} (md5 {download.md5}, {download.size}) "
        f"elsewhere, and put it at {file} or name it with --data PATH."
    )

"""Published files, downloaded once: whole and checksummed, or not there at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from skbert.runtime.warn import warn_user

__all__ = ["PublishedFile", "read_published"]

# Seconds without an answer after which the network counts as down.
_TIMEOUT = 30.0


@dataclass(frozen=True)
class PublishedFile:
    """A file that never changes, small enough for memory.

    Attributes
    ----------
    name : str
        What it is called in the folder.
    url : str
    sha256 : str
        In lower case.
    """

    name: str
    url: str
    sha256: str


def read_published(
    file: PublishedFile,
    folder: Path,
    *,
    download_if_missing: bool,
    n_retries: int,
    delay: float,
) -> bytes:
    """Return the content of a file in a folder, where it is downloaded to if missing.

    Parameters
    ----------
    file : PublishedFile
    folder : Path
        Made by a download, with its parents.
    download_if_missing : bool
        If False, a missing file is an error.
    n_retries : int
        How often a download that fails is tried again.
    delay : float
        Seconds between two tries.

    Returns
    -------
    bytes
        What has the checksum.

    Raises
    ------
    FileNotFoundError
        If the file is missing and must not be downloaded.
    ConnectionError
        If it could not be downloaded.
    ValueError
        If the file in the folder, or what was downloaded, has another checksum.
    """
    path = folder / file.name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if not download_if_missing:
            raise FileNotFoundError(
                f"There is no {path}, and download_if_missing=False. {_by_hand(file)} "
                f"{folder}."
            ) from None
    else:
        if _is_published(content, file):
            return content
        raise ValueError(
            f"{path} is not the published file: it has {_compare(content, file)}. "
            "Delete it to have it downloaded; a copy made by hand must be exact, line "
            "ends too."
        )
    content = _download(file, folder, n_retries, delay)
    if not _is_published(content, file):
        raise ValueError(
            f"{file.url} did not give the published file but "
            f"{_compare(content, file)}. Nothing was kept. A proxy may have answered "
            f"in its place. {_by_hand(file)} {folder}."
        )
    _write(content, path)
    return content


def _download(file: PublishedFile, folder: Path, n_retries: int, delay: float) -> bytes:
    while True:
        try:
            return _get(file)
        except (OSError, HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            if n_retries <= 0:
                raise ConnectionError(
                    f"{file.url} could not be downloaded: {error}. {_by_hand(file)} "
                    f"{folder}."
                ) from error
            warn_user(f"The download of {file.url} is tried again: {error}.")
            n_retries -= 1
            time.sleep(delay)


def _get(file: PublishedFile) -> bytes:
    with urllib.request.urlopen(file.url, timeout=_TIMEOUT) as answer:
        # Without a size to read, an answer that is cut short raises IncompleteRead.
        return answer.read()


def _is_published(content: bytes, file: PublishedFile) -> bool:
    return hashlib.sha256(content).hexdigest() == file.sha256


def _compare(content: bytes, file: PublishedFile) -> str:
    found = hashlib.sha256(content).hexdigest()
    return f"{len(content):,} bytes with SHA-256 {found}, not {file.sha256}"


def _by_hand(file: PublishedFile) -> str:
    return (
        f"Where there is no network, get {file.url} elsewhere and put it, as "
        f"{file.name}, into the folder"
    )


def _write(content: bytes, path: Path) -> None:
    """Let the file appear whole, whatever happens meanwhile and whoever else writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".skbert-") as scratch:
        part = Path(scratch) / path.name
        part.write_bytes(content)
        os.replace(part, path)

"""Durable: what was written -> what a power failure leaves on the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["sync_file", "sync_folder"]


def sync_file(file: IO[bytes]) -> None:
    """Wait until the content of a file that is open for writing is on the disk.

    Raises
    ------
    OSError
        If it does not get there.
    """
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """See to it that new names of files are on the disk, too.

    Not all systems can: Windows opens no folders, and some network drives write them
    when they like. What is lost there is lost only where the power is.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

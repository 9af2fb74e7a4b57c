"""Files that survive a power failure."""

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
    """Wait until the names of new files are on the disk, if the system can do that.

    Windows cannot open folders, and some network drives write them later. There, a
    power failure may lose the newest files.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

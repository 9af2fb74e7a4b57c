"""Shared context: a global setting that several threads may need at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

__all__ = ["SharedContext"]


class SharedContext:
    """A context manager that the first thread enters and the last one leaves.

    Settings of a whole process, saved and restored by each thread on its own, end up
    as whichever thread came last found them: for good, in the worst case.

    Parameters
    ----------
    make : callable
        Returns the context manager that changes the setting and puts it back.
    """

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._users = 0
        self._context: AbstractContextManager | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._context = self._make()
                self._context.__enter__()
            self._users += 1

    def __exit__(self, *error) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._context is not None:
                context, self._context = self._context, None
                context.__exit__(None, None, None)

"""Shared context: a global setting that several threads may need at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

__all__ = ["SharedContext"]


class SharedContext:
    """A setting that the first user changes and the last one puts back.

    Settings of a whole process, saved and restored by each thread on its own, end up
    as whichever thread came last found them: for good, in the worst case.

    Parameters
    ----------
    make : callable
        Returns the context manager that changes the setting and puts it back.
    """

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make = make
        self._lock = threading.RLock()  # users may go while one comes
        self._users: set[int] = set()
        self._context: AbstractContextManager | None = None

    def used(self) -> AbstractContextManager[None]:
        """Return a context in which the setting is changed."""
        return _Use(self)

    def _enter(self, user: int) -> None:
        with self._lock:
            self._users.add(user)
            if self._context is None:
                self._context = self._make()
                self._context.__enter__()

    def _leave(self, user: int) -> None:
        with self._lock:
            self._users.discard(user)
            if not self._users and self._context is not None:
                context, self._context = self._context, None
                context.__exit__(None, None, None)


class _Use(AbstractContextManager):
    """One use; it ends when it is forgotten, too.

    Ctrl-C may come when a context is about to end, which then never does.
    """

    def __init__(self, shared: SharedContext) -> None:
        self._shared = shared

    def __enter__(self) -> None:
        self._shared._enter(id(self))

    def __exit__(self, *error) -> None:
        self._shared._leave(id(self))

    __del__ = __exit__

"""Contexts in which libraries print and warn nothing, for all threads of a process."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["quiet_transformers", "quiet_warnings"]


class _SharedContext:
    """A context that the first thread enters and the last one leaves.

    It changes a setting of the whole process. If every thread restored the setting by
    itself, it would end up as the last thread found it.

    Parameters
    ----------
    make : callable
        Returns the context manager that changes the setting.
    """

    def __init__(self, make: Callable[[], AbstractContextManager]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._n_users = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_users == 0:
                self._context = self._make()
                self._context.__enter__()
            self._n_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._context.__exit__(None, None, None)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    is_transformers = record.name.partition(".")[0] == "transformers"
    return record.levelno >= logging.ERROR or not is_transformers


@contextmanager
def _without_messages() -> Iterator[None]:
    loggers = (logging.getLogger("transformers"), logging.getLogger())
    handlers = [handler for logger in loggers for handler in logger.handlers]
    for handler in handlers:
        handler.addFilter(_is_worth_saying)
    try:
        with _without_bars():
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_worth_saying)


@contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented there
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging as bars

    # If the variable is set, to 0 or 1, it decides about the bars, and the hub warns
    # whoever tries to switch them.
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None:
        yield
        return
    had_bars = bars.is_progress_bar_enabled()
    hub_had_bars = not are_progress_bars_disabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            bars.enable_progress_bar()
        # transformers switches the hub's bars along with its own.
        (enable_progress_bars if hub_had_bars else disable_progress_bars)()


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):
        yield


_NO_MESSAGES = _SharedContext(_without_messages)
_NO_WARNINGS = _SharedContext(_without_warnings)


def quiet_transformers() -> AbstractContextManager[None]:
    """Return a context in which transformers prints no progress bars and no notes."""
    return _NO_MESSAGES()


def quiet_warnings() -> AbstractContextManager[None]:
    """Return a context in which nothing warns, for instance of undefined scores.

    Examples
    --------
    >>> from sklearn.metrics import f1_score
    >>> from skbert.runtime.quiet import quiet_warnings
    >>> with quiet_warnings():
    ...     f1_score([0, 0], [0, 0])
    0.0
    """
    return _NO_WARNINGS()

"""Silence: a context in which transformers prints no bars and no notes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import transformers
from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented there
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from skbert.runtime.shared_context import SharedContext

__all__ = ["quiet_transformers"]


def quiet_transformers() -> AbstractContextManager[None]:
    """Return the context in which transformers prints no bars and no notes."""
    return _QUIET.used()


# Fetched once: Python's logging takes a lock for it, which Ctrl-C may leave taken. For
# the same reason the verbosity stays as it is, and messages are left out where they
# would be printed.
_LOGGERS = (logging.getLogger("transformers"), logging.getLogger())

# Where the variable is set, to 0 or 1, it decides, and the hub warns whoever tries to
# switch the bars.
_CAN_SWITCH_BARS = HF_HUB_DISABLE_PROGRESS_BARS is None


def _is_worth_saying(record: logging.LogRecord) -> bool:
    is_transformers = record.name.partition(".")[0] == "transformers"
    return record.levelno >= logging.ERROR or not is_transformers


@contextmanager
def _silence() -> Iterator[None]:
    bars = transformers.utils.logging
    had_bars = bars.is_progress_bar_enabled()
    # transformers switches the hub's bars along with its own.
    hub_had_bars = not are_progress_bars_disabled()
    handlers = [handler for logger in _LOGGERS for handler in logger.handlers]

    def restore() -> None:
        for handler in handlers:
            handler.removeFilter(_is_worth_saying)
        if not _CAN_SWITCH_BARS:
            return
        if had_bars:
            bars.enable_progress_bar()
        if hub_had_bars:
            enable_progress_bars()
        else:
            disable_progress_bars()

    try:
        for handler in handlers:
            handler.addFilter(_is_worth_saying)
        if _CAN_SWITCH_BARS:
            bars.disable_progress_bar()
        yield
    finally:
        try:
            restore()
        except KeyboardInterrupt:  # in the midst of it, and hardly twice
            restore()
            raise


_QUIET = SharedContext(_silence)

"""Silence: a context in which transformers prints no bars and no notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import transformers
from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented there
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from skbert.shared_context import SharedContext

__all__ = ["quiet_transformers"]


def quiet_transformers() -> AbstractContextManager[None]:
    """Return the context in which transformers prints no bars and no notes."""
    return _QUIET.used()


@contextmanager
def _silence() -> Iterator[None]:
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    # transformers switches the hub's bars along with its own.
    hub_had_bars = not are_progress_bars_disabled()

    def restore() -> None:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
        if hub_had_bars:
            enable_progress_bars()
        else:
            disable_progress_bars()

    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    finally:
        try:
            restore()
        except KeyboardInterrupt:  # in the midst of it, and hardly twice
            restore()
            raise


_QUIET = SharedContext(_silence)

"""What Ctrl-C means: the end of one fit, or of a cross-validation as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["interrupts_are_raised", "interrupts_raised"]

_RAISED = ContextVar("skbert_interrupts_raised", default=False)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let Ctrl-C end the fits in this context with a KeyboardInterrupt.

    A fit by itself ends early and keeps its best weights. One fold of a
    cross-validation is worth nothing alone, and Ctrl-C is meant for all of them.
    """
    token = _RAISED.set(True)
    try:
        yield
    finally:
        _RAISED.reset(token)


def interrupts_are_raised() -> bool:
    """Return whether the caller is inside `interrupts_raised`."""
    return _RAISED.get()

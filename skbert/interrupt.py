"""Interrupt: what Ctrl-C means to a fit alone, and to one of many."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["interrupts_are_raised", "interrupts_raised", "is_ctrl_c"]

_RAISED = ContextVar("skbert_interrupts_raised", default=False)

_RAISE = dis.opmap["RAISE_VARARGS"]


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let the fits inside of the context raise KeyboardInterrupt on Ctrl-C.

    A fit alone stops training at once, gives a warning and returns, with the weights of
    the best complete epoch if there is one. One fit of a cross-validation is worth
    nothing by itself: whoever presses Ctrl-C wants to stop all of them.
    """
    token = _RAISED.set(True)
    try:
        yield
    finally:
        _RAISED.reset(token)


def interrupts_are_raised() -> bool:
    """Say whether this runs inside of `interrupts_raised`."""
    return _RAISED.get()


def is_ctrl_c(interrupt: KeyboardInterrupt) -> bool:
    """Say whether a signal brought an interrupt, and not a callback.

    skorch's callbacks, EarlyStopping among them, end a fit by raising the very
    exception with which Python answers Ctrl-C. But they need a ``raise`` statement for
    it, and a signal comes in the midst of something else.
    """
    traceback = interrupt.__traceback__
    assert traceback is not None  # it was raised
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code.co_code
    return code[traceback.tb_lasti] != _RAISE

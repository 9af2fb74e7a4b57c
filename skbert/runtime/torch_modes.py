"""Modes: of gradients, inference and precision, which torch keeps for each thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["modes_kept", "with_gradients", "with_these_modes"]

Result = TypeVar("Result")


def with_these_modes(compute: Callable[..., Result], *args) -> Callable[[], Result]:
    """Return what computes ``compute(*args)`` in any thread as if it were in this one.

    The modes of gradients and of inference are those of now.
    """
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return compute(*args)

    return work


@contextmanager
def with_gradients() -> Iterator[None]:
    """Return the context in which gradients are computed, whatever the caller's is."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def modes_kept() -> Iterator[None]:
    """Put the modes of gradients and of precision back in the end.

    Who sets them puts them back, too; but Ctrl-C may come in the midst of that. What
    the caller computes later would be without gradients, or in half precision.
    """
    gradients, casts = torch.is_grad_enabled(), _casts()
    nesting = _autocast_nesting()
    try:
        yield
    finally:
        torch.set_grad_enabled(gradients)
        for kind, (enabled, dtype) in casts.items():
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        while _autocast_nesting() > nesting:
            torch.autocast_decrement_nesting()
        if nesting == 0:
            torch.clear_autocast_cache()


def _casts() -> dict[str, tuple[bool, torch.dtype]]:
    """Return whether autocast is on, and its type, by kind of device."""
    return {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        for kind in ("cpu", "cuda", "mps")
    }


def _autocast_nesting() -> int:
    """Return how many contexts of autocast this thread is in."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()

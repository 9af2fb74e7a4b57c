"""Modes of gradients and inference, which torch keeps for each thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["with_gradients", "with_these_modes"]

Result = TypeVar("Result")


def with_these_modes(compute: Callable[..., Result], *args) -> Callable[[], Result]:
    """Return a function that calls ``compute(*args)`` in the caller's modes.

    It does so in whichever thread it is called.
    """
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return compute(*args)

    return work


@contextmanager
def with_gradients() -> Iterator[None]:
    """Compute gradients in this context, whatever modes the caller has set."""
    with torch.inference_mode(False), torch.enable_grad():
        yield

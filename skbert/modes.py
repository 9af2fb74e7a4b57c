"""Modes: those of gradients and of inference, which torch keeps for each thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["with_these_modes"]

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

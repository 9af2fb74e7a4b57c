"""Forks: a child has none of its parent's threads, and must not wait for them."""

from __future__ import annotations

import os
from functools import cache

import torch

__all__ = ["survive_forks"]


@cache
def survive_forks() -> None:
    """Let children that this process forks from now on compute with one thread.

    GNU OpenMP, which torch's builds for Linux come with, keeps the threads of a product
    for the next one: a child that computes with several would wait for ever for those
    that stayed with its parent.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)

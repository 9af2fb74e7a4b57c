"""Threads: a small pool that computes predictions, and safe forks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import joblib
import torch

__all__ = ["in_shared_thread", "survive_forks"]

Result = TypeVar("Result")

_NAME = "skbert-predict"


def in_shared_thread(compute: Callable[..., Result], *args) -> Result:
    """Return ``compute(*args)``, computed in one of a few threads.

    A server may predict from hundreds of threads, but no more of them can compute at a
    time than there are cores. A small pool keeps the number of threads, and of their
    buffers, at that. The main thread computes by itself, so that Ctrl-C interrupts it.

    Parameters
    ----------
    compute : callable
    *args
        Arguments of ``compute``. It sees the caller's modes of gradients and inference.

    Raises
    ------
    Exception
        Whatever ``compute`` raises.
    """
    thread = threading.current_thread()
    # A thread of the pool gets here if a hook of the model predicts. It must not wait
    # for itself.
    if thread is threading.main_thread() or thread.name.startswith(_NAME):
        return compute(*args)
    n_workers = max(1, joblib.cpu_count() // torch.get_num_threads())
    return _pool(n_workers).submit(_in_these_modes(compute, *args)).result()


def _in_these_modes(compute: Callable[..., Result], *args) -> Callable[[], Result]:
    """Return a function that calls ``compute(*args)`` in the caller's modes.

    torch keeps the modes of gradients and inference for each thread.
    """
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work() -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return compute(*args)

    return work


@cache
def _pool(n_workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_workers, thread_name_prefix=_NAME)


@cache
def survive_forks() -> None:
    """Let child processes that are forked from now on compute with one thread.

    A forked child has none of its parent's threads. GNU OpenMP, which torch's builds
    for Linux use, would wait for them forever.
    """
    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=_start_over)


def _start_over() -> None:
    _pool.cache_clear()
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)

"""Shared threads: the few that compute for all threads that predict at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import joblib
import torch

from skbert.runtime.torch_modes import with_these_modes

__all__ = ["in_shared_thread"]

Result = TypeVar("Result")

# By the threads of torch that each of its threads computes with.
_pools: dict[int, ThreadPoolExecutor] = {}
_this_thread = threading.local()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # The threads stay with the parent.
    os.register_at_fork(after_in_child=_pools.clear)


def in_shared_thread(compute: Callable[..., Result], *args) -> Result:
    """Return ``compute(*args)``, computed in one of few threads; as it is in the main.

    Every thread that computes has its own part of the heap, which the C library never
    gives back whole, and its own buffers of the libraries that multiply. A server of
    many threads, of which no more can compute at a time than there are cores, would
    hold all of that for each.

    Only for what can be begun once more. The modes of gradients and of inference are
    those of the caller.

    Raises
    ------
    Exception
        Whatever the function raises.
    """
    if _is_its_own():
        return compute(*args)
    future: Future[Result] = Future()
    # Whoever makes the call takes it out, so that the queue holds none that is made.
    waiting = [(with_these_modes(compute, *args), future)]
    try:
        _pool(torch.get_num_threads()).submit(_make, waiting)
    except RuntimeError:
        # No thread can start any more: there are too many, or Python is about to end
        # and waits for this one. What waits may be in the queue nevertheless.
        _make(waiting)
    try:
        return future.result()
    finally:
        del future  # it holds an error, whose traceback holds this frame


def _make(waiting: list[tuple[Callable[[], Result], Future[Result]]]) -> None:
    """Make the call that waits, unless another thread does, or did."""
    try:
        compute, future = waiting.pop()
    except IndexError:
        return
    try:
        future.set_result(compute())
    except BaseException as error:
        future.set_exception(error)
        del future  # as in the caller


def _is_its_own() -> bool:
    """Say whether this thread computes itself.

    The main thread does, for the sake of Ctrl-C and of all who predict in no other. A
    shared thread does where a hook of the model predicts: it would wait for itself.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return is_main or getattr(_this_thread, "is_shared", False)


def _pool(n_threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(n_threads)
    if pool is None:
        pool = ThreadPoolExecutor(
            max(1, joblib.cpu_count() // n_threads),
            thread_name_prefix="skbert-shared",
            initializer=_mark,
        )
        pool = _pools.setdefault(n_threads, pool)  # another thread may have been first
    return pool


def _mark() -> None:
    _this_thread.is_shared = True

"""Fresh thread: for what oneDNN refuses in its own thread, or Ctrl-C must not cut."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from skbert.runtime.memory import is_refused_by_thread
from skbert.runtime.torch_modes import with_these_modes

__all__ = ["compute_somewhere", "in_fresh_thread"]

Result = TypeVar("Result")


def in_fresh_thread(compute: Callable[..., Result], *args) -> Result:
    """Return ``compute(*args)``, computed in a thread that is made for it.

    The modes of gradients and of inference are those of the caller. Ctrl-C is heard by
    the main thread alone, which waits here: it comes when the computation is over.

    Raises
    ------
    Exception
        Whatever the function raises.
    RuntimeError
        If no thread can start.
    """
    future: Future[Result] = Future()
    work = with_these_modes(compute, *args)
    thread = threading.Thread(target=_fulfil, args=(future, work), name="skbert-fresh")
    # Not an executor: it forgets the thread where Ctrl-C comes while that starts.
    try:
        thread.start()
        thread.join()
    except KeyboardInterrupt:
        if not future.cancel():  # it has begun
            wait([future])
        raise
    try:
        return future.result()
    finally:
        del future  # an error that it holds would hold it, by this frame


def _fulfil(future: Future[Result], work: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
        del future  # as above
    else:
        future.set_result(result)


def compute_somewhere(compute: Callable[..., Result], *args) -> Result:
    """Return ``compute(*args)``, from a fresh thread if oneDNN refuses this one.

    Only for what can be begun once more.
    """
    try:
        return compute(*args)
    except RuntimeError as error:
        if not is_refused_by_thread(error):
            raise
    # Not in the handler: the error's traceback holds what was computed so far. The
    # code that is made there is kept for all threads.
    return in_fresh_thread(compute, *args)

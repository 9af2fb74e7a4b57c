"""Fresh thread: where a computation goes on that oneDNN refuses in its own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from skbert.modes import with_these_modes
from skbert.out_of_memory import is_refused_by_thread

__all__ = ["compute_somewhere", "in_fresh_thread"]

Result = TypeVar("Result")


def in_fresh_thread(compute: Callable[..., Result], *args) -> Result:
    """Return ``compute(*args)``, computed in a thread that is made for it.

    The modes of gradients and of inference are those of the caller.

    Raises
    ------
    Exception
        Whatever the function raises.
    RuntimeError
        If no thread can start.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="skbert-fresh") as pool:
        return pool.submit(with_these_modes(compute, *args)).result()


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

"""Out of memory: the many errors that say it, told apart and made into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

__all__ = ["is_out_of_memory", "is_refused_by_thread", "memory_errors"]

# Few libraries have a class for it: what they raise instead. Other errors, of a wrong
# label for instance, may quote anything.
_CLASSES = (RuntimeError, OSError, SafetensorError)
_MESSAGES = (
    "can't allocate memory",  # torch's allocator on Linux
    "not enough memory",  # the same on Windows
    "Cannot allocate memory",  # the system's own words, from files that are mapped
    "out of memory",  # drivers, Metal
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "std::bad_alloc",
    "can't start new thread",  # Python, which needs room for its stack
)
# What oneDNN says when it gets none for its code. With more words, it is about what it
# cannot do.
_ONEDNN = "could not create a primitive"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error is about memory, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # What comes from Rust is often of no class of its own.
    if not isinstance(error, _CLASSES) and type(error) is not Exception:
        return False
    said = str(error)
    return is_refused_by_thread(error) or any(message in said for message in _MESSAGES)


def is_refused_by_thread(error: BaseException) -> bool:
    """Say whether oneDNN got no memory for code, and will make none in this thread.

    Its assembler, Xbyak, keeps its first error for each thread, and oneDNN looks at
    that before it makes code: shapes that are new to it are refused from then on, also
    when there is memory. Other threads are not concerned.
    """
    return str(error) == _ONEDNN


@contextmanager
def memory_errors(what: str, advice: str) -> Iterator[None]:
    """Turn whatever says that memory is used up into a `MemoryError` with advice.

    Parameters
    ----------
    what : str
        What needs the memory.
    advice : str
        What takes less of it.

    Raises
    ------
    MemoryError
        From the original error, which may be wrapped in others.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not is_out_of_memory(cause):
            cause = cause.__cause__
        if cause is None:
            raise
        message = f"{what} ran out of memory ({_brief(cause)}). {advice}"
        raise MemoryError(message) from error


def _brief(error: BaseException) -> str:
    # torch adds lines of where in its own code it was, and of environment variables.
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""Out of memory: many errors say it, and users get one MemoryError with advice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

__all__ = ["is_out_of_memory", "memory_errors"]

# Few libraries have a class for it. These are what the others raise. The classes count
# because an error about a wrong label, for instance, may quote any words.
_CLASSES = (RuntimeError, OSError, SafetensorError)
_MESSAGES = (
    "can't allocate memory",  # torch's allocator on Linux
    "not enough memory",  # the same on Windows
    "Cannot allocate memory",  # the operating system, for files that are mapped
    "out of memory",  # drivers, Metal
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "std::bad_alloc",
    "can't start new thread",  # Python, which needs room for the thread's stack
)
# oneDNN says exactly this if it gets no memory for its code. A longer message is about
# an operation that it does not support.
_ONEDNN = "could not create a primitive"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is about memory, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # Errors of libraries in Rust often have no class of their own.
    if not isinstance(error, _CLASSES) and type(error) is not Exception:
        return False
    message = str(error)
    return message == _ONEDNN or any(words in message for words in _MESSAGES)


@contextmanager
def memory_errors(what: str, advice: str) -> Iterator[None]:
    """Turn every error that is about memory into a `MemoryError` with advice.

    Parameters
    ----------
    what : str
        The action that needs the memory.
    advice : str
        What takes less memory.

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
        message = f"{what} ran out of memory ({_first_line(cause)}). {advice}"
        raise MemoryError(message) from error


def _first_line(error: BaseException) -> str:
    # torch adds lines about its own source code and about environment variables.
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

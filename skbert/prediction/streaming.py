"""Predictions for streams: the next chunk is tokenized while one is predicted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np

from skbert.inputs.texts import as_list, check_text
from skbert.runtime.memory import memory_errors
from skbert.tokens.tokenization import Tokens

__all__ = [
    "CHUNK_SIZE",
    "chunk_logits",
    "iterate_texts",
    "one_ahead",
    "read_chunks",
    "rows_of",
    "slices",
    "texts_per_chunk",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Texts that are tokenized, sorted by length and predicted together. They make hundreds
# of batches, of which nearly all are full and have texts of one length. For GoEmotions,
# padding adds 0.5%. With 512 tokens for each text they take 32 MB.
CHUNK_SIZE = 16_384

# A chunk of a stream ends early at this many characters, because it holds its texts.
_CHARACTERS_PER_CHUNK = 2**24

# The logits of a chunk take 12 bytes each, as float32 and float64, which makes 400 MB.
# This bounds a chunk if there are more than 2,048 labels.
_LOGITS_PER_CHUNK = 2**25

_ADVICE = (
    "Batches were halved until one text was left, so what helps is a smaller model or "
    "max_length, precision='bf16', or iter_predict_proba with a small chunk_size."
)


def texts_per_chunk(n_labels: int) -> int:
    """Return the number of texts that are predicted together."""
    return max(1, min(CHUNK_SIZE, _LOGITS_PER_CHUNK // n_labels))


def slices(texts: list[str], size: int) -> Iterator[list[str]]:
    """Yield the texts in chunks of ``size``."""
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def iterate_texts(texts, name: str) -> Iterator:
    """Return an iterator over a stream or a sequence of texts.

    Parameters
    ----------
    texts : iterable of str
        Any iterable, also a Series, an array or a one-column frame.
    name : str
        Name of the argument in messages.

    Raises
    ------
    TypeError, ValueError
        If it is a single text or no iterable, or if it has several columns. The texts
        themselves are checked later.
    """
    whole = isinstance(texts, (str, bytes, dict)) or hasattr(texts, "shape")
    whole = whole or hasattr(texts, "to_pylist")
    if whole or not isinstance(texts, Iterable):
        # A table iterates over its column names, a text over its letters, and pyarrow
        # over its own scalars.
        return iter(as_list(texts, name))
    return iter(texts)


def read_chunks(
    texts: Iterable, size: int, name: str, *, max_characters: int | None = None
) -> Iterator[list[str]]:
    """Read a stream in chunks, each when it is asked for.

    Parameters
    ----------
    texts : iterable of str
    size : int
        Maximum number of texts of a chunk.
    name : str
        Name of the stream in messages.
    max_characters : int, optional
        Number of characters at which a chunk ends. The default is 16 million.

    Yields
    ------
    list of str

    Raises
    ------
    Exception
        Whatever the stream raises, or the error of an entry that is not a text. All
        texts before it are yielded first.
    """
    if max_characters is None:
        max_characters = _CHARACTERS_PER_CHUNK
    chunk: list[str] = []
    n_characters = 0
    try:
        for row, text in enumerate(texts):
            chunk.append(check_text(text, row, name))
            n_characters += len(chunk[-1])
            if len(chunk) == size or n_characters >= max_characters:
                yield chunk
                chunk, n_characters = [], 0
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def one_ahead(
    items: Iterable[Item], work: Callable[[Item], Result]
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` of each item, with one item computed ahead in a thread.

    Items are taken in the caller's thread, because a database cursor belongs to the
    thread that made it. A single item needs no thread.

    Parameters
    ----------
    items : iterable
        Items. If it raises an error, the results of earlier items are yielded first.
    work : callable
        Function that is called on one item at a time, in order.

    Yields
    ------
    object
        Results in the order of the items. Closing the generator ends the thread.
    """
    iterator = iter(items)
    item, found, error = _next(iterator)
    if error is not None:
        raise error
    if not found:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="skbert-ahead") as pool:
        submit = _advised(pool.submit)  # there may be no room for a thread's stack
        result = work(item)
        while True:
            item, found, error = _next(iterator)
            coming: Future | None = submit(work, item) if found else None
            del item  # so that it is freed before the next one comes
            yield result
            if error is not None:
                raise error
            if coming is None:
                return
            result = coming.result()


def _next(iterator: Iterator) -> tuple:
    """Return the next item, whether there is one, and the error if there is one."""
    try:
        return next(iterator), True, None
    except StopIteration:
        return None, False, None
    except Exception as error:
        return None, False, error


def chunk_logits(
    net,
    chunks: Iterable[list[str]],
    tokenized: Callable[[list[str]], Tokens],
) -> Generator[np.ndarray, None, None]:
    """Yield the logits of each chunk.

    Parameters
    ----------
    net : MultiLabelNet
    chunks : iterable of list of str
    tokenized : callable
        Function that tokenizes a chunk.

    Yields
    ------
    ndarray of shape (len(chunk), n_labels), float64
    """
    # Errors of the stream itself are passed on without advice.
    ahead = closing(one_ahead(chunks, _advised(tokenized)))
    with ahead as tokens_of_chunks, net.predictor() as predictor:
        for tokens in tokens_of_chunks:
            yield _advised(_float64_logits)(predictor, tokens)


def _float64_logits(predictor, tokens: Tokens) -> np.ndarray:
    return predictor.logits(tokens).astype(np.float64)


def _advised(work: Callable[..., Result]) -> Callable[..., Result]:
    """Return the function with advice on what helps if memory runs out."""
    return memory_errors("Prediction", _ADVICE)(work)


def rows_of(
    matrices: Generator[np.ndarray, None, None],
    convert: Callable[[np.ndarray], np.ndarray],
) -> Generator[np.ndarray, None, None]:
    """Yield the rows of converted matrices; close their generator at the end.

    Shape: (m, n_columns) each -> (n_columns,) each
    """
    with closing(matrices):
        for matrix in matrices:
            for row in convert(matrix):
                yield row.copy()  # so that a kept row does not keep the matrix

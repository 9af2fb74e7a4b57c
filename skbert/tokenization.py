"""Tokenization: texts -> ragged tokens, each text tokenized once and never padded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from skbert.tables import column_names, first_column, hint_to_collect, shown
from skbert.windows import Windows

__all__ = [
    "RaggedTokens",
    "Tokens",
    "WindowedTokens",
    "as_list",
    "check_text",
    "check_texts",
    "tokenize",
]

# A text of n tokens rarely has more than 32 n characters: beyond that the rest is cut
# anyway, so the tokenizer need not see it.
CHARACTERS_PER_TOKEN = 32

# Long enough to keep a fast tokenizer's threads busy, short enough that the Python
# lists it returns stay small.
_TEXTS_PER_CALL = 2048

# A fast tokenizer holds some 300 bytes per token until the call ends, whatever is cut
# afterwards: a call of long texts must not take gigabytes.
_CHARACTERS_PER_CALL = 2**20

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONE = re.compile(
    "[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]"
)


def check_texts(X, name: str = "X") -> list[str]:
    """Check that ``X`` is a sequence of texts and return it as a list.

    Parameters
    ----------
    X : sequence of str
        A list, tuple, Series, ndarray of shape (n,) or (n, 1), pyarrow array, or a
        frame with one column. Lone surrogates become U+FFFD.
    name : str, default="X"
        What to call it in messages.

    Returns
    -------
    list of str
        Length n.

    Raises
    ------
    TypeError
        If ``X`` is a bare text or no sequence, or an entry is not a text.
    ValueError
        If ``X`` is empty, has several columns, or an entry is missing.
    """
    texts = as_list(X, name)
    if not texts:
        raise ValueError(
            f"Found array with 0 sample(s) in {name}: at least one text is needed."
        )
    # In place: the list is ours, and a million entries are not copied twice.
    for row, text in enumerate(texts):
        texts[row] = check_text(text, row, name)
    return texts


def check_text(text, row: int, name: str) -> str:
    """Check that one entry is a text; replace lone surrogates by U+FFFD.

    Parameters
    ----------
    text : str
    row : int
        Where it stands.
    name : str
        What to call the sequence in messages.
    """
    if not isinstance(text, str):
        raise _not_a_text(text, row, name)
    return _without_lone_surrogates(text)


def as_list(X, name: str) -> list:
    """Return the entries of a sequence or of one column, unchecked, as a new list."""
    if isinstance(X, dict) or pd.api.types.is_scalar(X):
        raise TypeError(
            f"{name} must be a sequence of texts, but it is a single "
            f"{type(X).__name__}. Wrap one text in a list: [text]."
        )
    if hasattr(X, "toarray"):
        raise TypeError(
            f"{name} is a sparse matrix of numbers; it must be a sequence of texts. "
            "Pass the texts themselves: this estimator has its own tokenizer."
        )
    if isinstance(X, np.matrix):  # of which a column is a matrix again
        X = np.asarray(X)
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) != 1:
        return _one_column(X, shape, name)
    if hasattr(X, "to_pylist"):  # pyarrow, which iterates over scalars of its own
        return X.to_pylist()
    if hasattr(X, "to_numpy"):
        return list(X.to_numpy(dtype=object) if isinstance(X, pd.Series) else X)
    if not isinstance(X, np.ndarray) and not isinstance(X, Sequence):
        raise TypeError(
            f"{name} must be a sequence of texts, but it is a {type(X).__name__}. "
            + (hint_to_collect(X, name) or f"Make a list of it: list({name}).")
        )
    return list(X)


def _one_column(X, shape: tuple[int, ...], name: str) -> list:
    if len(shape) == 2 and shape[1] == 1:
        return as_list(first_column(X), name)
    names = column_names(X)
    columns = "" if names is None else f" ({', '.join(names[:5])})"
    raise ValueError(
        f"{name} has shape {tuple(shape)}{columns}; it must be one column of texts. "
        "Select the column, or join several into one text first."
    )


def _not_a_text(value, row: int, name: str) -> Exception:
    where = f"{name}, row {row}"
    if value is None or value is pd.NA or value is pd.NaT or value is np.ma.masked:
        return ValueError(
            f"{where} is missing ({value!r}). Drop the row or use '' for an empty text."
        )
    if isinstance(value, (float, np.floating)) and np.isnan(value):
        return ValueError(
            f"{where} is missing (NaN). Drop the row or use '' for an empty text: "
            f"{name}.fillna('')."
        )
    if isinstance(value, bytes):
        return TypeError(
            f"{where} is bytes, not a text. Decode it: text.decode('utf-8')."
        )
    if isinstance(value, (list, tuple, np.ndarray)):
        return TypeError(
            f"{where} is a {type(value).__name__}, not a text. Pass one string per "
            "row, for instance ' '.join(words)."
        )
    return TypeError(
        f"{where} is {shown(value)} ({type(value).__name__}), not a text. Numbers are "
        "never texts; convert with str() what really is one."
    )


def _without_lone_surrogates(text: str) -> str:
    if text.isascii() or not _SURROGATE.search(text):
        return str.__str__(text)  # str() gives the name of a member of an Enum
    # A pair of surrogates is one character written in two halves: UTF-16 joins it.
    # Lone ones go before: its decoder takes a microsecond for each.
    paired = _LONE.sub("\ufffd", text)
    return paired.encode("utf-16", "surrogatepass").decode("utf-16")


@dataclass(frozen=True)
class RaggedTokens:
    """Token ids of many texts, one after the other.

    Attributes
    ----------
    ids : ndarray of shape (n_tokens,), int32
        All ids, special tokens included.
    offsets : ndarray of shape (n_texts + 1,), int64
        Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    truncated : ndarray of shape (n_texts,), bool
        Which texts lost tokens.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray

    windows: ClassVar[None] = None  # as `WindowedTokens` has it

    def __len__(self) -> int:
        return len(self.truncated)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each text, shape (n_texts,), int64."""
        return np.diff(self.offsets)

    @property
    def sequences(self) -> RaggedTokens:
        """What goes through a model: one sequence per text."""
        return self

    def sequences_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of `sequences` that belong to the texts ``rows``."""
        return rows

    def counts_of(self, rows: np.ndarray) -> None:
        """Return how many sequences each text has; None where all have one."""

    def take(self, rows: np.ndarray) -> RaggedTokens:
        """Return the tokens of the texts ``rows``."""
        pieces = [self[row] for row in rows]
        return RaggedTokens(
            np.concatenate([np.empty(0, np.int32), *pieces]),
            _offsets([len(piece) for piece in pieces]),
            self.truncated[rows],
        )


@dataclass(frozen=True)
class WindowedTokens:
    """Token ids of many texts, of which long ones are cut into several sequences.

    Attributes
    ----------
    sequences : RaggedTokens
        The windows of the first text, of the second and so on.
    offsets : ndarray of shape (n_texts + 1,), int64
        Text ``i`` is ``sequences[offsets[i]:offsets[i + 1]]``.
    truncated : ndarray of shape (n_texts,), bool
        Which texts lost tokens.
    windows : Windows
    """

    sequences: RaggedTokens
    offsets: np.ndarray
    truncated: np.ndarray
    windows: Windows

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each text's windows together, (n_texts,), int64."""
        return np.diff(self.sequences.offsets[self.offsets])

    def sequences_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of `sequences` that belong to the texts ``rows``."""
        counts = self.counts_of(rows)
        # Of the windows of text i, number j is its first plus j.
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.offsets[rows], counts) + number

    def counts_of(self, rows: np.ndarray) -> np.ndarray:
        """Return how many windows each of the texts ``rows`` has."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def take(self, rows: np.ndarray) -> WindowedTokens:
        """Return the tokens of the texts ``rows``."""
        return WindowedTokens(
            self.sequences.take(self.sequences_of(rows)),
            _offsets(self.counts_of(rows)),
            self.truncated[rows],
            self.windows,
        )


Tokens = RaggedTokens | WindowedTokens


def _offsets(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    *,
    max_length: int,
    long_text: str = "truncate",
    long_text_params: Mapping[str, Any] | None = None,
) -> Tokens:
    """Tokenize texts, cut what is too long, and add the special tokens.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Fast or slow.
    texts : list of str
        Length n_texts.
    max_length : int
        Most tokens of one text, or of one window, special tokens included.
    long_text : {"truncate", "head_tail", "windows"}, default="truncate"
        ``"truncate"`` keeps the first tokens. ``"head_tail"`` keeps the first
        quarter and the last three quarters of the room, the best split found by Sun
        et al. (2019), "How to Fine-Tune BERT for Text Classification?".
        ``"windows"`` makes several sequences of a text.
    long_text_params : mapping, optional
        Of `Windows`.

    Returns
    -------
    RaggedTokens or WindowedTokens

    Notes
    -----
    But for ``"head_tail"`` a text is cut to 32 characters for each token that could be
    read before the tokenizer sees it, so that a text of megabytes costs nothing.
    """
    prefix, suffix = _special_tokens(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    if room < 1:
        raise ValueError(
            f"max_length={max_length} leaves no room beside the model's "
            f"{len(prefix) + len(suffix)} special tokens; use "
            f"{len(prefix) + len(suffix) + 1} or more."
        )
    windows = Windows(**(long_text_params or {})) if long_text == "windows" else None
    reach = room if windows is None else windows.reach(room)
    limit: int | None = CHARACTERS_PER_TOKEN * (reach + max_length - room)
    if long_text == "head_tail":
        limit = None
    rows, counts, truncated = [], [], []
    for text, content in zip(texts, _contents(tokenizer, texts, limit), strict=True):
        cut_before = limit is not None and len(text) > limit
        truncated.append(len(content) > reach or cut_before)
        pieces = _pieces(content, room, long_text, windows)
        counts.append(len(pieces))
        rows += [np.array(prefix + piece + suffix, np.int32) for piece in pieces]
    sequences = RaggedTokens(
        np.concatenate(rows),
        _offsets([len(row) for row in rows]),
        np.repeat(truncated, counts),
    )
    if windows is None:
        return sequences
    return WindowedTokens(sequences, _offsets(counts), np.array(truncated), windows)


def _contents(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], limit: int | None
) -> Iterator[list[int]]:
    """Yield each text's ids, without special tokens and not truncated."""
    for call in _calls(texts, limit):
        try:
            yield from tokenizer(
                call,
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,  # silences "longer than the maximum": we cut afterwards
            )["input_ids"]
        except BaseException as error:
            # The library's own failures are no Exception: nobody would catch them.
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"the tokenizer fails on a text: {error}") from error


def _calls(texts: list[str], limit: int | None) -> Iterator[list[str]]:
    """Cut texts, each to ``limit`` characters, into calls of bounded size."""
    call: list[str] = []
    n_characters = 0
    for text in texts:
        text = text[:limit]
        full = n_characters + len(text) > _CHARACTERS_PER_CALL
        if call and (full or len(call) == _TEXTS_PER_CALL):
            yield call
            call, n_characters = [], 0
        call.append(text)
        n_characters += len(text)
    if call:
        yield call


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts before and after a text."""
    probe = "a"
    content = tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole = tokenizer(probe)["input_ids"]
    for start in range(len(whole) - len(content) + 1):
        if content and whole[start : start + len(content)] == content:
            return whole[:start], whole[start + len(content) :]
    raise ValueError(
        f"{type(tokenizer).__name__} does not put its special tokens around a text; "
        "such a tokenizer is not supported."
    )


def _pieces(
    content: list[int], room: int, long_text: str, windows: Windows | None
) -> list[list[int]]:
    if windows is not None:
        starts = windows.starts(len(content), room)
        return [content[start : start + room] for start in starts]
    if len(content) <= room or long_text == "truncate":
        return [content[:room]]
    head = room // 4
    return [content[:head] + content[len(content) - (room - head) :]]

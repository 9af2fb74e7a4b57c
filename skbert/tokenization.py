"""Tokenization: texts -> ragged tokens, each text tokenized once and never padded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from skbert.tables import column_names, first_column, hint_to_collect

__all__ = ["RaggedTokens", "as_list", "check_text", "check_texts", "tokenize"]

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
    if X is None or isinstance(X, (str, bytes, dict)) or np.isscalar(X):
        raise TypeError(
            f"{name} must be a sequence of texts, but it is a single "
            f"{type(X).__name__}. Wrap one text in a list: [text]."
        )
    if hasattr(X, "toarray"):
        raise TypeError(
            f"{name} is a sparse matrix of numbers; it must be a sequence of texts. "
            "Pass the texts themselves: this estimator has its own tokenizer."
        )
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
        f"{where} is {value!r} ({type(value).__name__}), not a text. Numbers are "
        "never texts; convert with str() what really is one."
    )


def _without_lone_surrogates(text: str) -> str:
    if text.isascii() or not _SURROGATE.search(text):
        return str(text)
    # A pair of surrogates is one character written in two halves: UTF-16 joins it.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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

    def __len__(self) -> int:
        return len(self.truncated)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each text, shape (n_texts,), int64."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> RaggedTokens:
        """Return the tokens of the texts ``rows``."""
        pieces = [self[row] for row in rows]
        return RaggedTokens(
            np.concatenate([np.empty(0, np.int32), *pieces]),
            _offsets([len(piece) for piece in pieces]),
            self.truncated[rows],
        )


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    *,
    max_length: int,
    long_text: str = "truncate",
) -> RaggedTokens:
    """Tokenize texts, cut what is too long, and add the special tokens.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        Fast or slow.
    texts : list of str
        Length n_texts.
    max_length : int
        Most tokens of one text, special tokens included.
    long_text : {"truncate", "head_tail"}, default="truncate"
        ``"truncate"`` keeps the first tokens. ``"head_tail"`` keeps the first
        quarter and the last three quarters of the room, the best split found by Sun
        et al. (2019), "How to Fine-Tune BERT for Text Classification?".

    Returns
    -------
    RaggedTokens

    Notes
    -----
    With ``"truncate"`` a text is cut to ``32 * max_length`` characters before the
    tokenizer sees it, so that a text of megabytes costs nothing.
    """
    prefix, suffix = _special_tokens(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    if room < 1:
        raise ValueError(
            f"max_length={max_length} leaves no room beside the model's "
            f"{len(prefix) + len(suffix)} special tokens; use "
            f"{len(prefix) + len(suffix) + 1} or more."
        )
    limit = CHARACTERS_PER_TOKEN * max_length if long_text == "truncate" else None
    rows, truncated = [], []
    for text, content in zip(texts, _contents(tokenizer, texts, limit), strict=True):
        cut_before = limit is not None and len(text) > limit
        truncated.append(len(content) > room or cut_before)
        row = prefix + _fit(content, room, long_text) + suffix
        rows.append(np.array(row, dtype=np.int32))
    offsets = _offsets([len(row) for row in rows])
    return RaggedTokens(np.concatenate(rows), offsets, np.array(truncated))


def _contents(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], limit: int | None
) -> Iterator[list[int]]:
    """Yield each text's ids, without special tokens and not truncated."""
    for call in _calls(texts, limit):
        yield from tokenizer(
            call,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # silences "longer than the maximum": we cut afterwards
        )["input_ids"]


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


def _fit(content: list[int], room: int, long_text: str) -> list[int]:
    if len(content) <= room:
        return content
    if long_text == "truncate":
        return content[:room]
    head = room // 4
    return content[:head] + content[len(content) - (room - head) :]

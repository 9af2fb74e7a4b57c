"""Tokenization of texts, once and without padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from transformers import PreTrainedTokenizerBase

from skbert.tokens.windows import Windows

__all__ = [
    "RaggedTokens",
    "Tokens",
    "WindowedTokens",
    "tokenize",
]

# A text of n tokens rarely has more than 32 n characters. The rest would be cut anyway,
# so that the tokenizer need not see it.
CHARACTERS_PER_TOKEN = 32

# Enough texts to keep the threads of a fast tokenizer busy, and so few that the Python
# lists that it returns stay small.
_TEXTS_PER_CALL = 2048

# A fast tokenizer holds some 300 bytes for each token until the call ends, so that a
# call with long texts could take gigabytes.
_CHARACTERS_PER_CALL = 2**20


@dataclass(frozen=True)
class RaggedTokens:
    """Token ids of many texts, one after the other.

    Attributes
    ----------
    ids : ndarray of shape (n_tokens,), int32
        All ids, including special tokens.
    offsets : ndarray of shape (n_texts + 1,), int64
        Text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    truncated : ndarray of shape (n_texts,), bool
        Whether tokens of a text were cut off.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray

    windows: ClassVar[None] = None  # see `WindowedTokens`

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
        """The input of a model, one sequence for each text."""
        return self

    def sequences_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of `sequences` that belong to the texts ``rows``."""
        return rows

    def counts_of(self, rows: np.ndarray) -> None:
        """Return the number of sequences of each text; None if all have one."""

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
    """Token ids of many texts, with long texts cut into several sequences.

    Attributes
    ----------
    sequences : RaggedTokens
        The windows of the first text, of the second and so on.
    offsets : ndarray of shape (n_texts + 1,), int64
        Text ``i`` is ``sequences[offsets[i]:offsets[i + 1]]``.
    truncated : ndarray of shape (n_texts,), bool
        Whether tokens of a text were cut off.
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

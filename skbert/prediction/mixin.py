"""Predictions: texts -> logits and probabilities, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from skbert.base.outputs import MultiLabelOutputMixin
from skbert.prediction.streaming import (
    CHUNK_SIZE,
    chunk_logits,
    iterate_texts,
    read_chunks,
    rows_of,
    slices,
    texts_per_chunk,
)
from skbert.tokens.tokenization import tokenize

__all__ = ["TextPredictionMixin"]


class TextPredictionMixin(MultiLabelOutputMixin):
    """What a fitted net and its tokenizer answer, for a list or a stream of texts.

    A class that inherits it has the attributes below and a method ``_check_texts(X)``
    that returns a list of str.

    Attributes
    ----------
    net_ : MultiLabelNet
    tokenizer_ : PreTrainedTokenizerBase
    max_length_ : int
    long_text_ : str
    long_text_params_ : dict or None
    """

    net_: Any
    tokenizer_: Any
    max_length_: int
    long_text_: str
    long_text_params_: dict | None

    def _check_texts(self, X: Any, name: str = "X") -> list[str]:
        raise NotImplementedError

    def decision_function(self, X) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : sequence of str, length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n,) after a fit on one-dimensional y.
        """
        fitted = self._snapshot()
        logits = fitted._logits(X)
        return logits if fitted._is_multilabel else logits[:, 0]

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each label.

        Texts are tokenized and predicted in chunks of 16,384, fewer where there are
        more than 2,048 labels: beside ``X`` and the answer, memory hardly depends on
        their number.

        Parameters
        ----------
        X : sequence of str, length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n, 2), a column per class, after a fit on one-dimensional y.
        """
        fitted = self._snapshot()
        return fitted._as_proba(fitted._logits(X))

    def iter_predict_proba(
        self, texts: Iterable[str], *, chunk_size: int = CHUNK_SIZE
    ) -> Generator[np.ndarray, None, None]:
        """Yield the probabilities of one text after the other, of any number of texts.

        For texts that do not fit in memory or never end: a file, a cursor of a
        database, a queue. One row comes for each text, in order, so that
        ``chunk_size`` is about speed and memory alone.

        Parameters
        ----------
        texts : iterable of str
            Read in the caller's thread, at most two chunks ahead of what is yielded.
            To have the texts beside their rows, split the stream::

                texts, copy = itertools.tee(texts)
                for text, row in zip(texts, clf.iter_predict_proba(copy)):
                    ...

        chunk_size : int, default=16384
            Texts that are read, sorted by length and predicted together; fewer where
            they have more than 16 million characters, and where there are more than
            2,048 labels. Smaller ones answer sooner and pad more: of comments by 2% at
            4,096, by 16% at 256.

        Yields
        ------
        ndarray of shape (n_labels,), float64
            Shape (2,), a probability per class, after a fit on one-dimensional y.

        Raises
        ------
        TypeError, ValueError
            If an entry is not a text; the message names its place in the stream.
        Exception
            Whatever the stream itself raises. Either error comes after the rows of all
            texts before it.

        Notes
        -----
        While a chunk is predicted, a thread tokenizes the next. It ends with the
        generator, also if that is closed early. A fit in the meantime changes nothing:
        the model is that of the call.

        Examples
        --------
        >>> from skbert import TransformerMultiLabelClassifier
        >>> texts = ["the bill is wrong", "it crashes", "a crash and a bill"] * 4
        >>> y = [[1, 0], [0, 1], [1, 1]] * 4
        >>> clf = TransformerMultiLabelClassifier(max_epochs=1, random_state=0)
        >>> lines = (f"crash number {i}" for i in range(1_000))
        >>> rows = clf.fit(texts, y).iter_predict_proba(lines, chunk_size=100)
        >>> next(rows).shape
        (2,)
        >>> rows.close()  # or read them all: for row in rows: ...
        """
        check_is_fitted(self)
        if not isinstance(chunk_size, Integral) or chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size!r}.")
        fitted = self._snapshot()
        size = min(int(chunk_size), texts_per_chunk(len(fitted.label_names_)))
        chunks = read_chunks(iterate_texts(texts, "texts"), size, "texts")
        return rows_of(fitted._chunk_logits(chunks), fitted._as_proba)

    def _as_proba(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits into probabilities, in place where there is a column per label.

        Shape: (n, n_labels) -> (n, n_labels), or (n, 1) -> (n, 2)
        """
        proba = expit(logits, out=logits)
        return proba if self._is_multilabel else np.hstack([1 - proba, proba])

    def _chosen(self, X) -> np.ndarray:
        check_is_fitted(self)
        texts = self._check_texts(X)
        chosen = np.empty((len(texts), len(self.label_names_)), dtype=bool)
        start = 0
        for logits in self._chunk_logits(self._slices(texts)):
            proba = expit(logits, out=logits)
            chosen[start : start + len(proba)] = self._reaches_threshold(proba)
            start += len(proba)
        return chosen

    def _logits(self, X) -> np.ndarray:
        check_is_fitted(self)
        texts = self._check_texts(X)
        logits = np.empty((len(texts), len(self.label_names_)))
        start = 0
        for chunk in self._chunk_logits(self._slices(texts)):
            logits[start : start + len(chunk)] = chunk
            start += len(chunk)
        return logits

    def _slices(self, texts: list[str]) -> Iterator[list[str]]:
        return slices(texts, texts_per_chunk(len(self.label_names_)))

    def _chunk_logits(
        self, chunks: Iterable[list[str]]
    ) -> Generator[np.ndarray, None, None]:
        """Return the logits of each chunk, shape (len(chunk), n_labels), float64."""
        tokenized = partial(
            tokenize,
            self.tokenizer_,
            max_length=self.max_length_,
            long_text=self.long_text_,
            long_text_params=self.long_text_params_,
        )
        return chunk_logits(self.net_, chunks, tokenized)

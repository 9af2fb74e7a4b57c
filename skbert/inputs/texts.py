"""Texts: a checked ``X`` as a list of str."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from skbert.inputs.tables import column_names, first_column, hint_to_collect, shown

__all__ = ["as_list", "check_text", "check_texts"]

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
        Name of the argument in messages.

    Returns
    -------
    list of str
        Length n.

    Raises
    ------
    TypeError
        If ``X`` is a single text or no sequence, or an entry is not a text.
    ValueError
        If ``X`` is empty, has several columns, or an entry is missing.
    """
    texts = as_list(X, name)
    if not texts:
        raise ValueError(
            f"Found array with 0 sample(s) in {name}: at least one text is needed."
        )
    # In place, so that a million entries are not copied twice.
    for row, text in enumerate(texts):
        texts[row] = check_text(text, row, name)
    return texts


def check_text(text, row: int, name: str) -> str:
    """Check that one entry is a text; replace lone surrogates by U+FFFD.

    Parameters
    ----------
    text : str
    row : int
        Row number of the text.
    name : str
        Name of the sequence in messages.
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
    if isinstance(X, np.matrix):  # a column of a matrix is a matrix, too
        X = np.asarray(X)
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) != 1:
        return _one_column(X, shape, name)
    if hasattr(X, "to_pylist"):  # pyarrow iterates over its own scalars
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
        return str.__str__(text)  # str() would return the name of an Enum member
    # UTF-16 joins a pair of surrogates to one character. Lone ones are replaced before,
    # because its decoder takes a microsecond for each of them.
    paired = _LONE.sub("\ufffd", text)
    return paired.encode("utf-16", "surrogatepass").decode("utf-16")

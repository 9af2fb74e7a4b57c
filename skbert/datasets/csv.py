"""Texts and labels from a CSV file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

__all__ = ["read_csv"]

# Cells of a label column, in lower case. pandas writes "1.0" for a 1 in a column with
# missing values.
_CELLS = {
    "0": 0.0,
    "1": 1.0,
    "0.0": 0.0,
    "1.0": 1.0,
    "false": 0.0,
    "true": 1.0,
    "": np.nan,
}


def read_csv(
    path: str | os.PathLike[str] | IO[str] | IO[bytes],
    *,
    text: str = "text",
    labels: Sequence[str] | None = None,
    sep: str = ",",
    encoding: str = "utf-8",
) -> Bunch:
    r"""Read texts and their 0/1 labels from a CSV file.

    The first row must hold the column names. If a row is too short, its missing cells
    count as empty.

    Parameters
    ----------
    path : str, path-like or file
        The file; compressed if its name ends in ``.gz``, ``.bz2``, ``.zip`` or
        ``.xz``. It is opened by :func:`pandas.read_csv`.
    text : str, default="text"
        Name of the text column. Every cell of it is a text, even an empty cell or one
        that says "NA".
    labels : list of str, default=None
        Names of the label columns. By default these are all columns but the text
        column.
    sep : str, default=","
        Separator of the cells.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        With the attributes

        data : list of str, length n_samples
            The texts.
        target : DataFrame of shape (n_samples, n_labels)
            0 and 1 as int64; float64 with NaN for unknown if a label cell is empty.
        target_names : list of str, length n_labels
            The columns of `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, if a label cell is anything but 0, 1, true, false (in
        any case) or empty for unknown, or if the file is empty, not rectangular or
        not in the given encoding. The message names the file and what to do.

    See Also
    --------
    fetch_goemotions : Real data, downloaded.
    make_emails : Data without a file.

    Examples
    --------
    >>> import io
    >>> from skbert.datasets import read_csv
    >>> file = io.StringIO("text,joy,anger\nWhat a day!,1,0\nNA,0,\n")
    >>> bunch = read_csv(file)
    >>> bunch.data
    ['What a day!', 'NA']
    >>> bunch.target
       joy  anger
    0  1.0    0.0
    1  0.0    NaN
    """
    table = _read_cells(path, sep, encoding)
    names = list(table.columns)
    if text not in names:
        raise ValueError(
            f"{_name(path)} has no column {text!r}; its columns are {names}. Name the "
            "text column with text=... (and the separator with sep=..., if the "
            "columns look glued together)."
        )
    chosen = _label_columns(path, names, text, labels)
    target = pd.DataFrame(
        {name: _label_values(path, table[name], labels) for name in chosen}
    )
    if not target.isna().to_numpy().any():
        target = target.astype(np.int64)
    return Bunch(data=table[text].tolist(), target=target, target_names=chosen)


def _name(path: Any) -> str:
    if isinstance(path, (str, os.PathLike)):
        return os.fspath(path)
    return "the file"


def _read_cells(path: Any, sep: str, encoding: str) -> pd.DataFrame:
    """Return all cells as strings, with the first row as column names."""
    try:
        # The header is read as a row because pandas would rename duplicate columns
        # and take the first column of rows that are too long for an index.
        cells = pd.read_csv(
            path, sep=sep, encoding=encoding, header=None, dtype=str, na_filter=False
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{_name(path)} is not encoded in {encoding} ({error}). Pass encoding=..., "
            'for instance "cp1252" for a file saved by a spreadsheet.'
        ) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{_name(path)} is empty.") from error
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{_name(path)} is not a table: {str(error).strip()}. Texts that hold the "
            f"separator {sep!r} or line breaks must be in double quotes."
        ) from error
    if len(cells) < 2:
        raise ValueError(f"{_name(path)} has column names but no rows.")
    names = pd.Index(cells.iloc[0])
    if names.has_duplicates:
        raise ValueError(
            f"{_name(path)} has two columns called "
            f"{names[names.duplicated()][0]!r}. Rename one of them."
        )
    return cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def _label_columns(
    path: Any, names: list[str], text: str, labels: Sequence[str] | None
) -> list[str]:
    if labels is None:
        chosen = [name for name in names if name != text]
    elif isinstance(labels, str):
        raise ValueError(f"labels must be a list of column names: labels=[{labels!r}].")
    else:
        chosen = list(labels)
    if not chosen:
        raise ValueError(f"{_name(path)}: no label columns; the columns are {names}.")
    for name in chosen:
        if labels is None and not name:
            raise ValueError(
                f"{_name(path)}: column {names.index(name)} has no name, so it may be "
                "an index rather than a label. Name the label columns with "
                "labels=[...], or write the file with index=False."
            )
        if name not in names:
            raise ValueError(
                f"{_name(path)} has no column {name!r}; its columns are {names}."
            )
        if name == text:
            raise ValueError(f"labels names {name!r}, which is the text column.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"labels names a column twice: {chosen}.")
    return chosen


def _label_values(
    path: Any, cells: pd.Series, labels: Sequence[str] | None
) -> np.ndarray:
    """Return the cells of a label column as 0, 1 and NaN, or name the first bad one."""
    normal = cells.str.strip().str.lower()
    wrong = ~normal.isin(list(_CELLS)).to_numpy(dtype=bool)
    if not wrong.any():
        return normal.map(_CELLS).to_numpy(dtype=np.float64)
    row = int(wrong.argmax())
    where = f"row {row} (from 0, without the header) holds {cells.iloc[row]!r}"
    if labels is None:
        raise ValueError(
            f"{_name(path)}: column {cells.name!r} is not made of 0/1 labels; {where}. "
            "Name the label columns with labels=[...], or leave this column out of the "
            "file."
        )
    raise ValueError(
        f"{_name(path)}: label column {cells.name!r}, {where}. Write 0 or 1, true or "
        "false, or leave the cell empty where the label is unknown."
    )

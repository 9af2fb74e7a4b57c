"""GoEmotions: Reddit comments with 27 emotions."""

from __future__ import annotations

import csv
import io
import os
from http.client import HTTPException
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_file
from sklearn.utils import Bunch

__all__ = ["fetch_goemotions"]

# In the order of the numbers in the files.
_LABELS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire "
    "disappointment disapproval disgust embarrassment excitement fear gratitude grief "
    "joy love nervousness optimism pride realization relief remorse sadness surprise "
    "neutral"
).split()

_URL = "https://github.com/google-research/google-research/raw/master/goemotions/data"

# TensorFlow Datasets and Hugging Face's datasets have recorded the same checksums.
_SHA256 = {
    "train": "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
    "dev": "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62",
    "test": "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
}

_DESCR = """\
GoEmotions
----------

English comments from Reddit, each marked by three or more people with the emotions
that it expresses: 27 of them and "neutral". These are the splits of the paper, which
keep only what at least two people marked: 43,410 comments to train on, 5,426 to develop
with ("dev") and 5,427 to test. Names of people are replaced by [NAME]. Many comments
are vulgar or offensive.

Source: https://github.com/google-research/google-research/tree/master/goemotions

Demszky, Movshovitz-Attias, Ko, Cowen, Nemade and Ravi: GoEmotions: A Dataset of
Fine-Grained Emotions. ACL 2020.
"""


def fetch_goemotions(
    *,
    subset: str = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch | tuple:
    r"""Load GoEmotions, Reddit comments with 27 emotions; download it if necessary.

    The three published files (4.4 MB) are downloaded one by one, when they are first
    asked for, and read from `data_home` from then on. Each is checked against its
    SHA-256, and downloaded again if it has another one.

    **Without a network**, get ``train.tsv``, ``dev.tsv`` and ``test.tsv`` elsewhere,
    from https://github.com/google-research/google-research/tree/master/goemotions/data,
    put them unchanged into a folder called ``goemotions``, and pass the folder around
    it as `data_home`.

    Parameters
    ----------
    subset : {"train", "dev", "test", "all"}, default="train"
        Published split to load. "all" is the three of them, one after the other.
    data_home : str or path-like, default=None
        Folder that holds the folder ``goemotions`` with the files. By default this is
        scikit-learn's: the environment variable ``SCIKIT_LEARN_DATA``, or else
        ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        Whether to download a missing file, or to raise an error.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        If True, the data is a Series and the target a DataFrame, whose columns tell a
        classifier the labels' names. If False, they are a list and an array.
    n_retries : int, default=3
        Number of times that a failed download is tried again.
    delay : float, default=1.0
        Seconds between two tries.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        With the attributes

        data : Series or list of str, length n_samples
            The texts. The quotation marks that the files put around texts that hold
            some are taken off.
        target : DataFrame or ndarray of shape (n_samples, 28), int64
            0 and 1.
        target_names : list of str, length 28
            27 emotions in alphabetical order, and "neutral".
        frame : DataFrame of shape (n_samples, 29)
            The texts, in the column "text", and the labels. Only if `as_frame`.
        DESCR : str
            The description of the data.

    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    ValueError
        If `subset` or `n_retries` is not one of those above.
    FileNotFoundError
        If a file is missing and `download_if_missing` is False.
    ConnectionError
        If a file could not be downloaded, or if another file came in its place. The
        message says how to do it by hand.

    See Also
    --------
    read_csv : Read data of your own.
    make_emails : Data without a file.

    Examples
    --------
    >>> from skbert import fetch_goemotions
    >>> X, y = fetch_goemotions(subset="dev", return_X_y=True)  # doctest: +SKIP
    >>> y.shape  # doctest: +SKIP
    (5426, 28)
    """
    if subset not in (*_SHA256, "all"):
        choices = ", ".join(map(repr, _SHA256))
        raise ValueError(f"subset must be {choices} or 'all'; got {subset!r}.")
    if n_retries < 0:
        raise ValueError(f"n_retries must be at least 0; got {n_retries}.")
    texts: list[str] = []
    marks: list[list[int]] = []
    for name in _SHA256 if subset == "all" else [subset]:
        path = _fetch(
            name,
            _data_home(data_home) / "goemotions",
            download_if_missing=download_if_missing,
            n_retries=n_retries,
            delay=delay,
        )
        _parse(path.read_bytes(), texts, marks)
    return _bunch(texts, _indicators(marks), as_frame, return_X_y)


def _data_home(data_home: str | os.PathLike[str] | None) -> Path:
    """Return scikit-learn's folder by default.

    Its own `get_data_home` makes the folder, which only a download should.
    """
    if data_home is None:
        data_home = os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"
    return Path(data_home).expanduser()


def _fetch(
    subset: str,
    folder: Path,
    *,
    download_if_missing: bool,
    n_retries: int,
    delay: float,
) -> Path:
    """Return the path of a published file in a folder; download it if it is missing."""
    name = f"{subset}.tsv"
    by_hand = (
        f"If there is no network, get {_URL}/{name} elsewhere and put it into the "
        f"folder {folder}."
    )
    if not download_if_missing and not (folder / name).exists():
        raise FileNotFoundError(
            f"{folder / name} does not exist, and download_if_missing=False. {by_hand}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return fetch_file(
            f"{_URL}/{name}",
            folder=folder,
            sha256=_SHA256[subset],
            n_retries=n_retries,
            delay=delay,
        )
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"{_URL}/{name} could not be downloaded: {error}. {by_hand}"
        ) from error


def _parse(content: bytes, texts: list[str], marks: list[list[int]]) -> None:
    """Append a file's texts, and for each the numbers of its labels.

    A line holds the text, the numbers with commas between them and the comment's name,
    with tabs between them; a text with quotation marks is quoted as in CSV.
    """
    lines = io.StringIO(content.decode("utf-8"), newline="")
    for text, numbers, _ in csv.reader(lines, delimiter="\t"):
        texts.append(text)
        marks.append([int(number) for number in numbers.split(",")])


def _indicators(marks: list[list[int]]) -> np.ndarray:
    """Return the marks as 0 and 1. Shape: (n_samples, 28)."""
    indicators = np.zeros((len(marks), len(_LABELS)), dtype=np.int64)
    rows = np.repeat(np.arange(len(marks)), [len(numbers) for numbers in marks])
    indicators[rows, np.concatenate(marks)] = 1
    return indicators


def _bunch(
    texts: list[str], indicators: np.ndarray, as_frame: bool, return_X_y: bool
) -> Bunch | tuple:
    data, target, more = texts, indicators, {}
    if as_frame:
        data = pd.Series(texts, name="text")
        target = pd.DataFrame(indicators, columns=list(_LABELS))
        more = {"frame": pd.concat([data, target], axis=1)}
    if return_X_y:
        return data, target
    return Bunch(
        data=data, target=target, target_names=list(_LABELS), DESCR=_DESCR, **more
    )

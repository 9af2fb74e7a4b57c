"""F1 and its relatives: ratios of true positives, false positives and misses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from skbert.metrics.checks import (
    Matrix,
    check_predictions,
    check_truth_and_weight,
    weighted_mean,
    weights_of_known_rows,
)

__all__ = [
    "count",
    "nan_count_score",
    "nan_f1_score",
    "nan_fbeta_score",
    "nan_jaccard_score",
    "nan_precision_score",
    "nan_recall_score",
]

Average: TypeAlias = Literal["macro", "micro", "samples", "weighted"] | None


def nan_f1_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """F1 score over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_pred : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0 or 1. Values in unknown cells are ignored.
    average : {"macro", "micro", "samples", "weighted"} or None, default="macro"
        "macro" is the mean over the labels, "weighted" the mean weighted with each
        label's known positives, "micro" counts all cells together, "samples" is the
        mean over the rows, None gives one value per label.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        In [0, 1]. A label (or a row, for "samples") without a known cell is left out
        of the average, and is nan with ``average=None``. The average is nan if no cell
        is known.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, `y_pred` anything
        but 0 and 1, a weight is negative or `average` is unknown.

    See Also
    --------
    sklearn.metrics.f1_score : The source of the definition. Without NaN, and for two
        or more labels, this function equals it with ``zero_division=0``.

    Notes
    -----
    A single column is a single label, so every average but "samples" is the F1 of that
    label. scikit-learn treats a single column as a binary problem and averages over
    its two classes.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_f1_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_pred = np.array([[1, 0], [0, 1], [1, 0]])
    >>> print(f"{nan_f1_score(y_true, y_pred):.3f}")
    0.667
    >>> nan_f1_score(y_true, y_pred, average=None).round(3)
    array([0.667, 0.667])
    """
    return nan_count_score(
        y_true, y_pred, name="f1", average=average, sample_weight=sample_weight
    )


def nan_fbeta_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    beta: float,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """F-beta score over the known cells of a label matrix.

    Parameters
    ----------
    y_true, y_pred
        See :func:`nan_f1_score`.
    beta : float
        Importance of recall relative to precision, at least 0. 0 gives the precision
        and 1 the F1 score.
    average, sample_weight
        See :func:`nan_f1_score`.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        See :func:`nan_f1_score`.

    Raises
    ------
    ValueError
        See :func:`nan_f1_score`, or if `beta` is negative or not finite.

    See Also
    --------
    sklearn.metrics.fbeta_score : The source of the definition, with
        ``zero_division=0``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_fbeta_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_pred = np.array([[1, 0], [0, 1], [1, 0]])
    >>> nan_fbeta_score(y_true, y_pred, beta=2, average=None).round(3)
    array([0.833, 0.556])
    """
    return nan_count_score(
        y_true,
        y_pred,
        name="fbeta",
        beta=beta,
        average=average,
        sample_weight=sample_weight,
    )


def nan_precision_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Precision over the known cells of a label matrix.

    Parameters
    ----------
    y_true, y_pred, average, sample_weight
        See :func:`nan_f1_score`.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        The share of the predicted labels that are true, 0 where none is predicted.
        Averages and nan as of :func:`nan_f1_score`.

    Raises
    ------
    ValueError
        See :func:`nan_f1_score`.

    See Also
    --------
    sklearn.metrics.precision_score : The source of the definition, with
        ``zero_division=0``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_precision_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_pred = np.array([[1, 0], [0, 1], [1, 0]])
    >>> nan_precision_score(y_true, y_pred, average=None)
    array([0.5, 1. ])
    """
    return nan_count_score(
        y_true, y_pred, name="precision", average=average, sample_weight=sample_weight
    )


def nan_recall_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Recall over the known cells of a label matrix.

    Parameters
    ----------
    y_true, y_pred, average, sample_weight
        See :func:`nan_f1_score`.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        The share of the true labels that are predicted, 0 where none is true.
        Averages and nan as of :func:`nan_f1_score`.

    Raises
    ------
    ValueError
        See :func:`nan_f1_score`.

    See Also
    --------
    sklearn.metrics.recall_score : The source of the definition, with
        ``zero_division=0``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_recall_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_pred = np.array([[1, 0], [0, 1], [1, 0]])
    >>> nan_recall_score(y_true, y_pred, average=None)
    array([1. , 0.5])
    """
    return nan_count_score(
        y_true, y_pred, name="recall", average=average, sample_weight=sample_weight
    )


def nan_jaccard_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Jaccard index over the known cells of a label matrix.

    Parameters
    ----------
    y_true, y_pred, average, sample_weight
        See :func:`nan_f1_score`.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        The share of the true or predicted labels that are both, 0 where there are
        none. Averages and nan as of :func:`nan_f1_score`.

    Raises
    ------
    ValueError
        See :func:`nan_f1_score`.

    See Also
    --------
    sklearn.metrics.jaccard_score : The source of the definition, with
        ``zero_division=0``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_jaccard_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_pred = np.array([[1, 0], [0, 1], [1, 0]])
    >>> nan_jaccard_score(y_true, y_pred, average=None)
    array([0.5, 0.5])
    """
    return nan_count_score(
        y_true, y_pred, name="jaccard", average=average, sample_weight=sample_weight
    )


# --- shared computation ---------------------------------------------------------------


def nan_count_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    name: Literal["f1", "fbeta", "jaccard", "precision", "recall"],
    beta: float = 1.0,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Score given by name: F1, F-beta, Jaccard, precision or recall.

    The functions for the single scores call this one.

    Parameters
    ----------
    y_true, y_pred
        See :func:`nan_f1_score`.
    name : {"f1", "fbeta", "jaccard", "precision", "recall"}
        Name of the score.
    beta : float, default=1.0
        See :func:`nan_fbeta_score`. The other scores ignore it.
    average, sample_weight
        See :func:`nan_f1_score`.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        See :func:`nan_f1_score`.

    Raises
    ------
    ValueError
        See :func:`nan_f1_score` and :func:`nan_fbeta_score`.

    Examples
    --------
    >>> from skbert.metrics import nan_count_score
    >>> nan_count_score([[1, 0]], [[1, 1]], name="precision", average="micro")
    0.5
    """
    if average not in ("macro", "micro", "samples", "weighted", None):
        raise ValueError(
            "average must be 'macro', 'micro', 'samples', 'weighted' or None; got "
            f"{average!r}."
        )
    ratio = _ratio(name, beta)
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    pred = check_predictions(y_pred, truth)
    rows = np.ones_like(weight) if average == "samples" else weight
    cells = np.where(truth.known, rows[:, np.newaxis], 0.0)
    axis = {"samples": 1, "micro": None}.get(str(average), 0)
    tp, fp, fn = count(truth.values, pred, cells, axis)
    value = ratio(tp, fp, fn)
    if average == "micro":
        return float(value) if cells.any() else float("nan")
    if average == "samples":
        return weighted_mean(value, weights_of_known_rows(truth, weight))
    supported = np.asarray(cells.any(axis=0))
    if average is None:
        return np.where(supported, value, np.nan)
    if average == "weighted" and np.any(tp + fn):
        return weighted_mean(value, tp + fn)
    return weighted_mean(value, supported)


def count(
    truth: np.ndarray, pred: np.ndarray, cells: np.ndarray, axis: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weighted true positives, false positives and misses along `axis`.

    Shape: three of (n_samples, n_labels), `cells` being the weights, 0 where a cell is
    unknown -> three of (n_labels,), (n_samples,) or (), float64.
    """
    pred = np.where(cells > 0, pred, 0.0)  # unknown cells can hold anything, even NaN
    return (
        np.sum(cells * truth * pred, axis=axis),
        np.sum(cells * (1 - truth) * pred, axis=axis),
        np.sum(cells * truth * (1 - pred), axis=axis),
    )


def _ratio(name: str, beta: float) -> Callable[..., Any]:
    if name != "fbeta":
        return _RATIOS[name]
    if not isinstance(beta, Real) or not 0 <= beta < np.inf:
        raise ValueError(f"beta must be a finite number of at least 0; got {beta!r}.")
    return partial(_fbeta, beta=float(beta))


def _fbeta(
    tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, beta: float = 1.0
) -> np.ndarray:
    hits = (1 + beta**2) * tp
    return _divide(hits, hits + fp + beta**2 * fn)


def _precision(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _divide(tp, tp + fp)


def _recall(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _divide(tp, tp + fn)


def _jaccard(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return _divide(tp, tp + fp + fn)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where the denominator is 0 (``zero_division=0``)."""
    return np.where(denominator == 0, 0.0, numerator / np.maximum(denominator, 1e-300))


_RATIOS: dict[str, Callable[..., Any]] = {
    "f1": _fbeta,
    "jaccard": _jaccard,
    "precision": _precision,
    "recall": _recall,
}

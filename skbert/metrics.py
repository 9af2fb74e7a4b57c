"""Multi-label scores that know what NaN means: the label of this cell is unknown.

Without NaN they equal scikit-learn's functions of the same name wherever those are
defined; with NaN they run over the known cells only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from skbert.targets import Targets, encode_targets

__all__ = [
    "multilabel_log_loss",
    "nan_accuracy_score",
    "nan_average_precision_score",
    "nan_count_score",
    "nan_f1_score",
    "nan_roc_auc_score",
]

Matrix: TypeAlias = ArrayLike | sparse.spmatrix | sparse.sparray
Counts: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


def nan_f1_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    average: Literal["macro", "micro", "samples", "weighted"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """F1 score over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_pred : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0 or 1. What stands in an unknown cell does not matter.
    average : {"macro", "micro", "samples", "weighted"} or None, default="macro"
        "macro" is the mean over the labels, "weighted" the mean weighted with each
        label's known positives, "micro" counts all cells together, "samples" is the
        mean over the rows, None gives one value per label.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        In [0, 1]. A label (or, for "samples", a row) in which nothing is known has no
        part in an average, and is nan with ``average=None``; the average is nan when
        nothing at all is known.

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
    One column is one label here, so that with ``n_labels=1`` every average but
    "samples" is the F1 of that label; scikit-learn reads a single column as a binary
    problem and averages over its two classes.

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


def nan_average_precision_score(
    y_true: Matrix,
    y_score: Matrix,
    *,
    average: Literal["macro", "micro"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Average precision over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values; finite wherever `y_true` is known.
    average : {"macro", "micro"} or None, default="macro"
        "macro" is the mean over the labels that have a known positive, "micro" ranks
        all cells together, None gives one value per label.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        In [0, 1]. A label without a known positive has no part in the mean, and is
        nan with ``average=None``; the mean is nan if no label remains.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a score is not
        finite where `y_true` is known, a weight is negative or `average` is unknown.

    See Also
    --------
    sklearn.metrics.average_precision_score : Computes each label's value. It counts a
        label without a positive as 0, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_average_precision_score
    >>> y_true = np.array([[1, 0], [np.nan, 0], [0, 0]])
    >>> y_score = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]])
    >>> nan_average_precision_score(y_true, y_score)
    1.0
    >>> nan_average_precision_score(y_true, y_score, average=None)
    array([ 1., nan])
    """
    return _ranking_score(
        y_true,
        y_score,
        score=average_precision_score,
        average=average,
        sample_weight=sample_weight,
        needs_negative=False,
    )


def nan_roc_auc_score(
    y_true: Matrix,
    y_score: Matrix,
    *,
    average: Literal["macro", "micro"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Area under the ROC curve over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values; finite wherever `y_true` is known.
    average : {"macro", "micro"} or None, default="macro"
        "macro" is the mean over the labels that have both a known positive and a
        known negative, "micro" ranks all cells together, None gives one value per
        label.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        In [0, 1]. A label without a known positive or negative has no part in the
        mean, and is nan with ``average=None``; the mean is nan if no label remains.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a score is not
        finite where `y_true` is known, a weight is negative or `average` is unknown.

    See Also
    --------
    sklearn.metrics.roc_auc_score : Computes each label's value. A label with one class
        makes its mean nan, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_roc_auc_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [0, 1]])
    >>> y_score = np.array([[0.9, 0.3], [0.8, 0.2], [0.1, 0.4]])
    >>> nan_roc_auc_score(y_true, y_score)
    0.75
    """
    return _ranking_score(
        y_true,
        y_score,
        score=roc_auc_score,
        average=average,
        sample_weight=sample_weight,
        needs_negative=True,
    )


def nan_accuracy_score(
    y_true: Matrix, y_pred: Matrix, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of the rows whose known cells are all predicted right.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_pred : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0 or 1. What stands in an unknown cell does not matter.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.

    Returns
    -------
    float
        In [0, 1]. A row in which nothing is known does not count; nan if no row
        counts.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, `y_pred` anything
        but 0 and 1, or a weight is negative.

    See Also
    --------
    sklearn.metrics.accuracy_score : The same subset accuracy without NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_accuracy_score
    >>> y_true = np.array([[1, 0], [np.nan, 1], [np.nan, np.nan]])
    >>> nan_accuracy_score(y_true, np.array([[1, 1], [0, 1], [0, 0]]))
    0.5
    """
    truth, weight = _truth_and_weight(y_true, sample_weight)
    right = _predictions(y_pred, truth) == truth.values
    return _mean(np.all(right | ~truth.known, axis=1), _row_weights(truth, weight))


def multilabel_log_loss(
    y_true: Matrix, y_proba: Matrix, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean binary log loss (cross-entropy) over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_proba : array-like of shape (n_samples, n_labels)
        Probability of each label. Clipped to float64 ``eps`` from 0 and 1, so that
        the loss is finite.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.

    Returns
    -------
    float
        Lower is better; nan if nothing is known.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a probability of a
        known cell is outside [0, 1], or a weight is negative.

    See Also
    --------
    sklearn.metrics.log_loss : Computes the value, from the cells laid out in a row.

    Notes
    -----
    ``scoring="neg_log_loss"`` of scikit-learn takes a label matrix for one-hot encoded
    classes and sums over the positives only, so that predicting 0.999 for every label
    wins. This loss counts the negatives too.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import multilabel_log_loss
    >>> y_true = np.array([[1, 0], [np.nan, 1]])
    >>> honest = np.array([[0.8, 0.2], [0.5, 0.8]])
    >>> print(f"{multilabel_log_loss(y_true, honest):.3f}")
    0.223
    >>> print(f"{multilabel_log_loss(y_true, np.full((2, 2), 0.999)):.3f}")
    2.303
    """
    truth, weight = _truth_and_weight(y_true, sample_weight)
    proba = _scores(y_proba, truth, name="y_proba")
    cells = truth.known & (weight > 0)[:, np.newaxis]
    if np.any((proba[cells] < 0) | (proba[cells] > 1)):
        raise ValueError("y_proba must hold probabilities, between 0 and 1.")
    if not cells.any():
        return float("nan")
    return float(
        log_loss(
            truth.values[cells],
            proba[cells],
            sample_weight=np.broadcast_to(weight[:, np.newaxis], cells.shape)[cells],
            labels=[0, 1],
        )
    )


# --- input -------------------------------------------------------------------------


def _truth_and_weight(
    y_true: Any, sample_weight: ArrayLike | None
) -> tuple[Targets, np.ndarray]:
    """Return the targets and float64 weights of shape (n_samples,)."""
    if np.ndim(y_true) == 1:
        raise ValueError(
            "y_true has one dimension; multi-label scores need a 0/1 matrix of shape "
            "(n_samples, n_labels). For a single label pass y_true[:, np.newaxis]."
        )
    truth = encode_targets(y_true)
    if sample_weight is None:
        return truth, np.ones(len(truth))
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(truth),):
        raise ValueError(
            f"sample_weight has shape {weight.shape}; it must be ({len(truth)},)."
        )
    if not np.isfinite(weight).all() or np.any(weight < 0):
        raise ValueError("sample_weight must be finite and not negative.")
    return truth, weight


def _matrix(values: Any, truth: Targets, name: str) -> np.ndarray:
    dense = values.toarray() if sparse.issparse(values) else values
    matrix = np.asarray(dense, dtype=np.float64)
    if matrix.shape != truth.values.shape:
        raise ValueError(
            f"{name} has shape {matrix.shape}, y_true has {truth.values.shape}; they "
            "must be the same."
        )
    return matrix


def _predictions(y_pred: Any, truth: Targets) -> np.ndarray:
    matrix = _matrix(y_pred, truth, "y_pred")
    known = matrix[truth.known]
    if np.any((known != 0) & (known != 1)):
        raise ValueError(
            "y_pred must hold 0 and 1 only. Cut probabilities at a threshold first."
        )
    return matrix


def _scores(y_score: Any, truth: Targets, name: str = "y_score") -> np.ndarray:
    matrix = _matrix(y_score, truth, name)
    if not np.isfinite(matrix[truth.known]).all():
        raise ValueError(f"{name} contains NaN or infinity where y_true is known.")
    return matrix


def _row_weights(truth: Targets, weight: np.ndarray) -> np.ndarray:
    """Return the weights with 0 for rows in which nothing is known."""
    return np.where(truth.known.any(axis=1), weight, 0.0)


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean, nan if every weight is 0."""
    return float(np.average(values, weights=weight)) if weight.any() else float("nan")


# --- scores from counts ------------------------------------------------------------


def _f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> Any:
    return _divide(2 * tp, 2 * tp + fp + fn)


def _precision(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> Any:
    return _divide(tp, tp + fp)


def _recall(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> Any:
    return _divide(tp, tp + fn)


def _jaccard(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> Any:
    return _divide(tp, tp + fp + fn)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> Any:
    """Return the quotient, 0 where the denominator is 0 (``zero_division=0``)."""
    return np.where(denominator == 0, 0.0, numerator / np.maximum(denominator, 1e-300))


_RATIOS = {"f1": _f1, "jaccard": _jaccard, "precision": _precision, "recall": _recall}


def nan_count_score(
    y_true: Matrix,
    y_pred: Matrix,
    *,
    name: Literal["f1", "jaccard", "precision", "recall"],
    average: Literal["macro", "micro", "samples", "weighted"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Score that is a ratio of true positives, false positives and misses.

    :func:`nan_f1_score` is the one of them that is public; the others serve as
    ``scoring``.

    Parameters
    ----------
    y_true, y_pred, average, sample_weight
        As of :func:`nan_f1_score`.
    name : {"f1", "jaccard", "precision", "recall"}

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
    """
    if average not in ("macro", "micro", "samples", "weighted", None):
        raise ValueError(
            "average must be 'macro', 'micro', 'samples', 'weighted' or None; got "
            f"{average!r}."
        )
    truth, weight = _truth_and_weight(y_true, sample_weight)
    pred = _predictions(y_pred, truth)
    rows = np.ones_like(weight) if average == "samples" else weight
    cells = np.where(truth.known, rows[:, np.newaxis], 0.0)
    axis = {"samples": 1, "micro": None}.get(str(average), 0)
    tp, fp, fn = _counts(truth.values, pred, cells, axis)
    value = _RATIOS[name](tp, fp, fn)
    if average == "micro":
        return float(value) if cells.any() else float("nan")
    if average == "samples":
        return _mean(value, _row_weights(truth, weight))
    supported = np.asarray(cells.any(axis=0))
    if average is None:
        return np.where(supported, value, np.nan)
    if average == "weighted" and np.any(tp + fn):
        return _mean(value, tp + fn)
    return _mean(value, supported)


def _counts(
    truth: np.ndarray, pred: np.ndarray, cells: np.ndarray, axis: int | None
) -> Counts:
    """Return weighted true positives, false positives and misses along `axis`."""
    pred = np.where(cells > 0, pred, 0.0)  # unknown cells may hold anything, NaN too
    return (
        np.sum(cells * truth * pred, axis=axis),
        np.sum(cells * (1 - truth) * pred, axis=axis),
        np.sum(cells * truth * (1 - pred), axis=axis),
    )


# --- scores from rankings ----------------------------------------------------------


def _ranking_score(
    y_true: Matrix,
    y_score: Matrix,
    *,
    score: Callable[..., Any],
    average: str | None,
    sample_weight: ArrayLike | None,
    needs_negative: bool,
) -> float | np.ndarray:
    """Average scikit-learn's binary `score` over the labels where it is defined."""
    if average not in ("macro", "micro", None):
        raise ValueError(f"average must be 'macro', 'micro' or None; got {average!r}.")
    truth, weight = _truth_and_weight(y_true, sample_weight)
    scores = _scores(y_score, truth)
    # scikit-learn warns where all positives weigh nothing; here they are unknown.
    cells = truth.known & (weight > 0)[:, np.newaxis]
    weights = None if sample_weight is None else np.tile(weight, (truth.n_labels, 1)).T
    one = partial(_binary_score, score=score, needs_negative=needs_negative)
    if average == "micro":
        return one(truth.values, scores, weights, cells)
    values = np.array(
        [
            one(
                truth.values[:, label],
                scores[:, label],
                None if weights is None else weights[:, label],
                cells[:, label],
            )
            for label in range(truth.n_labels)
        ]
    )
    if average is None:
        return values
    return _mean(np.nan_to_num(values), ~np.isnan(values))


def _binary_score(
    truth: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None,
    cells: np.ndarray,
    *,
    score: Callable[..., Any],
    needs_negative: bool,
) -> float:
    """Return `score` of the chosen cells, nan where it is not defined."""
    truth = truth[cells]
    if not truth.any() or (needs_negative and truth.all()):
        return float("nan")
    weight = None if weights is None else weights[cells]
    return float(score(truth, scores[cells], sample_weight=weight))

"""Average precision and ROC AUC: scores of rankings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from skbert.metrics.checks import (
    Matrix,
    check_scores,
    check_truth_and_weight,
    known_cells,
    weighted_mean,
)

__all__ = [
    "nan_average_precision_score",
    "nan_roc_auc_score",
    "rank_unknown_last",
]


def nan_average_precision_score(
    y_true: Matrix,
    y_score: Matrix,
    *,
    average: Literal["macro", "micro", "samples", "weighted"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Average precision over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values; finite wherever `y_true` is known.
    average : {"macro", "micro", "samples", "weighted"} or None, default="macro"
        "macro" is the mean over the labels that have a known positive, "weighted" the
        mean weighted with each label's known positives, "micro" ranks all cells
        together, "samples" ranks the labels of each row and is the mean over the rows
        that have a known positive, None gives one value per label.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float or ndarray of shape (n_labels,), float64
        In [0, 1]. A label (or a row, for "samples") without a known positive is left
        out of the mean, and is nan with ``average=None``. The mean is nan if nothing
        remains.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a score is not
        finite where `y_true` is known, a weight is negative or `average` is unknown.

    See Also
    --------
    sklearn.metrics.average_precision_score : Source of each label's value. It counts a
        label or a row without a positive as 0, with a warning.
    sklearn.metrics.label_ranking_average_precision_score : Source of the value of
        "samples". It counts a row without a positive as 1.

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
    _check_average(average, "samples")
    if average == "samples":
        return _samples_average_precision(y_true, y_score, sample_weight)
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
    average: Literal["macro", "micro", "weighted"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray:
    """Area under the ROC curve over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values; finite wherever `y_true` is known.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro" is the mean over the labels that have both a known positive and a
        known negative, "weighted" the mean weighted with each label's known
        positives, "micro" ranks all cells together, None gives one value per label.
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
    _check_average(average)
    return _ranking_score(
        y_true,
        y_score,
        score=roc_auc_score,
        average=average,
        sample_weight=sample_weight,
        needs_negative=True,
    )


def rank_unknown_last(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return scores in which unknown labels are behind all known ones of their row.

    Shape: (n_samples, n_labels) -> (n_samples, n_labels), float64 and finite.

    A label that ranks behind all others and counts as a negative adds nothing to
    measures of how high the positives of a row are: they are as if it were not there.
    """
    lowest = np.min(scores, axis=1, keepdims=True, where=known, initial=np.inf)
    lowest = np.where(np.isinf(lowest), 0.0, lowest)  # rows in which nothing is known
    return np.where(known, scores, np.nextafter(lowest, -np.inf))


def _check_average(average: str | None, *more: str) -> None:
    if average not in (allowed := ("macro", "micro", *more, "weighted", None)):
        names = ", ".join(map(repr, allowed[:-1]))
        raise ValueError(f"average must be {names} or None; got {average!r}.")


def _samples_average_precision(
    y_true: Matrix, y_score: Matrix, sample_weight: ArrayLike | None
) -> float:
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    scores = rank_unknown_last(check_scores(y_score, truth), truth.known)
    rows = truth.values.any(axis=1) & (weight > 0)
    if not rows.any():
        return float("nan")
    return float(
        label_ranking_average_precision_score(
            truth.values[rows], scores[rows], sample_weight=weight[rows]
        )
    )


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
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    scores = check_scores(y_score, truth)
    # scikit-learn warns where all positives weigh nothing; here they are unknown.
    cells = known_cells(truth, weight)
    weights = np.broadcast_to(weight[:, np.newaxis], cells.shape)

    def score_of(part: Any) -> float:
        chosen = cells[part]
        positive = truth.values[part][chosen]
        if not positive.any() or (needs_negative and positive.all()):
            return float("nan")
        # Without weights scikit-learn is faster.
        w = None if sample_weight is None else weights[part][chosen]
        return float(score(positive, scores[part][chosen], sample_weight=w))

    if average == "micro":
        return score_of(np.s_[:, :])
    values = np.array([score_of(np.s_[:, label]) for label in range(truth.n_labels)])
    if average is None:
        return values
    shares = weight @ truth.values if average == "weighted" else np.ones(len(values))
    return weighted_mean(values, np.where(np.isnan(values), 0.0, shares))

"""Precision, recall and gain of the best-scored labels of each row."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import ndcg_score

from skbert.inputs.targets import Targets
from skbert.metrics.checks import (
    Matrix,
    check_scores,
    check_truth_and_weight,
    weighted_mean,
    weights_of_known_rows,
)
from skbert.metrics.ranking import rank_unknown_last

__all__ = ["nan_ndcg_score", "precision_at_k", "recall_at_k"]


def precision_at_k(
    y_true: Matrix,
    y_score: Matrix,
    *,
    k: int,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the `k` best-scored labels of a row that are true, mean over the rows.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown). Unknown labels are left out of the ranking of their row.
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values, comparable between labels; finite wherever
        `y_true` is known.
    k : int
        Number of best-scored labels, at least 1. In a row with fewer known labels, all
        of them are used.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.

    Returns
    -------
    float
        In [0, 1]. Rows without a known cell are left out; nan if no row remains.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a score is not
        finite where `y_true` is known, a weight is negative or `k` is not an integer
        of at least 1.

    See Also
    --------
    recall_at_k : Share of the true labels that are found.

    Notes
    -----
    If several labels have the same score at the edge of the best `k`, each of them has
    the same chance to be included, and the result is the expected value. So it does not
    depend on the order of the columns. scikit-learn's `ndcg_score` treats ties in the
    same way.

    References
    ----------
    F. McSherry and M. Najork, "Computing Information Retrieval Performance Measures
    Efficiently in the Presence of Tied Scores", ECIR 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import precision_at_k
    >>> y_true = np.array([[1, 0, 1], [np.nan, 1, 0]])
    >>> y_score = np.array([[0.8, 0.5, 0.2], [0.9, 0.7, 0.1]])
    >>> precision_at_k(y_true, y_score, k=1)
    1.0
    >>> precision_at_k(y_true, y_score, k=2)
    0.5
    """
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    hits, looked_at = _hits_among_best(truth, check_scores(y_score, truth), _check_k(k))
    return weighted_mean(
        hits / np.maximum(looked_at, 1), weights_of_known_rows(truth, weight)
    )


def recall_at_k(
    y_true: Matrix,
    y_score: Matrix,
    *,
    k: int,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of a row's true labels among its `k` best-scored, mean over the rows.

    Parameters
    ----------
    y_true, y_score, k, sample_weight
        See :func:`precision_at_k`, ties included.

    Returns
    -------
    float
        In [0, 1]; below 1 even for a perfect ranking if a row has more than `k` true
        labels. Rows without a known positive are left out; nan if no row remains.

    Raises
    ------
    ValueError
        See :func:`precision_at_k`.

    See Also
    --------
    precision_at_k : Share of the best-scored labels that are true.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import recall_at_k
    >>> y_true = np.array([[1, 0, 1], [np.nan, 1, 0], [0, 0, 0]])
    >>> y_score = np.array([[0.8, 0.5, 0.2], [0.9, 0.7, 0.1], [0.3, 0.2, 0.1]])
    >>> recall_at_k(y_true, y_score, k=1)
    0.75
    """
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    hits, _ = _hits_among_best(truth, check_scores(y_score, truth), _check_k(k))
    positives = truth.values.sum(axis=1, dtype=np.float64)
    return weighted_mean(
        hits / np.maximum(positives, 1), np.where(positives > 0, weight, 0.0)
    )


def nan_ndcg_score(
    y_true: Matrix,
    y_score: Matrix,
    *,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean normalized discounted cumulative gain (NDCG) of the rows' known labels.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown); two or more labels. Unknown labels are left out of the
        ranking of their row.
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values, comparable between labels; finite wherever
        `y_true` is known.
    k : int or None, default=None
        Number of best-scored labels, at least 1. None means all.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.

    Returns
    -------
    float
        In [0, 1]. A row without a known positive counts as 0, as in scikit-learn. Rows
        without a known cell are left out; nan if no row remains.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` has one label or holds anything but 0, 1 and NaN, a
        score is not finite where `y_true` is known, a weight is negative or `k` is not
        an integer of at least 1.

    See Also
    --------
    sklearn.metrics.ndcg_score : Source of the value. Tied labels share their gain.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_ndcg_score
    >>> y_true = np.array([[1, 0, 1], [np.nan, 1, 0]])
    >>> y_score = np.array([[0.8, 0.5, 0.2], [0.9, 0.7, 0.1]])
    >>> print(f"{nan_ndcg_score(y_true, y_score):.3f}")
    0.960
    """
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    if truth.n_labels == 1:
        raise ValueError(
            "y_true has one label; this score ranks the labels of a row and needs two "
            "or more. Use average precision, which ranks the rows."
        )
    scores = rank_unknown_last(check_scores(y_score, truth), truth.known)
    rows = weights_of_known_rows(truth, weight) > 0
    if not rows.any():
        return float("nan")
    return float(
        ndcg_score(
            truth.values[rows],
            scores[rows],
            k=None if k is None else _check_k(k),
            sample_weight=weight[rows],
        )
    )


def _check_k(k: Any) -> int:
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k must be an integer of at least 1; got {k!r}.")
    return int(k)


def _hits_among_best(
    truth: Targets, scores: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected positives among the best, and how many the best are.

    Shape: (n_samples, n_labels) -> two of (n_samples,), float64.
    """
    scores = np.where(truth.known, scores, -np.inf)
    size = np.minimum(k, truth.known.sum(axis=1))
    # The lowest score among the best. For a row without a known cell it is not used.
    last = np.maximum(size - 1, 0)[:, np.newaxis]
    edge = np.take_along_axis(-np.sort(-scores, axis=1), last, axis=1)
    above, tied = scores > edge, (scores == edge) & truth.known
    places = (size - above.sum(axis=1)) / np.maximum(tied.sum(axis=1), 1)
    positive = truth.values > 0
    hits = (above & positive).sum(axis=1) + places * (tied & positive).sum(axis=1)
    return hits, size.astype(np.float64)

"""Accuracy of whole rows, and balanced accuracy of labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skbert.metrics.checks import (
    Matrix,
    check_predictions,
    check_truth_and_weight,
    weighted_mean,
    weights_of_known_rows,
)
from skbert.metrics.counts import count

__all__ = ["nan_accuracy_score", "nan_balanced_accuracy_score"]


def nan_accuracy_score(
    y_true: Matrix, y_pred: Matrix, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of the rows whose known cells are all predicted correctly.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_pred : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0 or 1. Values in unknown cells are ignored.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.

    Returns
    -------
    float
        In [0, 1]. Rows without a known cell are left out; nan if no row remains.

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
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    right = check_predictions(y_pred, truth) == truth.values
    return weighted_mean(
        np.all(right | ~truth.known, axis=1), weights_of_known_rows(truth, weight)
    )


def nan_balanced_accuracy_score(
    y_true: Matrix, y_pred: Matrix, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean over the labels of the mean of true positive and true negative rate.

    Parameters
    ----------
    y_true, y_pred
        See :func:`nan_accuracy_score`.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    float
        In [0, 1]; 0.5 for random guesses. A label with only one known class is left
        out of the mean; nan if no label remains.

    Raises
    ------
    ValueError
        See :func:`nan_accuracy_score`.

    See Also
    --------
    sklearn.metrics.balanced_accuracy_score : The same for a single label. For a label
        with one class it returns the recall of that class, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import nan_balanced_accuracy_score
    >>> y_true = np.array([[1, 0], [1, 0], [0, np.nan]])
    >>> nan_balanced_accuracy_score(y_true, np.array([[1, 0], [0, 1], [0, 1]]))
    0.75
    """
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    pred = check_predictions(y_pred, truth)
    cells = np.where(truth.known, weight[:, np.newaxis], 0.0)
    tp, fp, fn = count(truth.values, pred, cells, axis=0)
    tn, _, _ = count(1 - truth.values, 1 - pred, cells, axis=0)
    both = (tp + fn > 0) & (tn + fp > 0)
    tpr = tp[both] / (tp + fn)[both]
    tnr = tn[both] / (tn + fp)[both]
    return weighted_mean((tpr + tnr) / 2, np.ones(len(tpr)))

"""Log loss of probabilities, over positives and negatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import log_loss

from skbert.metrics.checks import (
    Matrix,
    check_scores,
    check_truth_and_weight,
    known_cells,
)

__all__ = ["multilabel_log_loss"]


def multilabel_log_loss(
    y_true: Matrix, y_proba: Matrix, *, sample_weight: ArrayLike | None = None
) -> float:
    """Mean binary log loss (cross-entropy) over the known cells of a label matrix.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_proba : array-like of shape (n_samples, n_labels)
        Probability of each label. It is clipped to at least float64 ``eps`` from 0
        and 1, so the loss is finite.
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
    sklearn.metrics.log_loss : Source of the value. It gets the known cells as one
        long list.

    Notes
    -----
    ``scoring="neg_log_loss"`` of scikit-learn takes a label matrix for one-hot encoded
    classes. It sums over the positives only, so predicting 0.999 for every label gives
    the best score. This loss includes the negatives.

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
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    proba = check_scores(y_proba, truth, name="y_proba")
    cells = known_cells(truth, weight)
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

"""Checks of the arguments of scores."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from skbert.inputs.targets import Targets, encode_targets

__all__ = [
    "Matrix",
    "check_predictions",
    "check_scores",
    "check_truth_and_weight",
    "known_cells",
    "weighted_mean",
    "weights_of_known_rows",
]

Matrix: TypeAlias = ArrayLike | sparse.spmatrix | sparse.sparray

_TWO_LABELS = (
    " In a scorer, the cause is an estimator whose classes_ has one dimension: "
    "scikit-learn takes its two labels for the two classes of one label. Use an "
    "estimator with classes_ of shape (n_labels, 2), such as BinaryRelevanceClassifier."
)


def check_truth_and_weight(
    y_true: Any, sample_weight: ArrayLike | None
) -> tuple[Targets, np.ndarray]:
    """Return the targets and the weights of their rows.

    Shape of the weights: (n_samples,), float64; ones if `sample_weight` is None.

    Raises
    ------
    ValueError
        If `y_true` has one dimension or holds anything but 0, 1 and NaN, or if the
        weights do not fit it, are negative or not finite.
    """
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


def check_predictions(y_pred: Any, truth: Targets) -> np.ndarray:
    """Return predictions that are 0 or 1 in the known cells.

    Shape: (n_samples, n_labels), float64.

    Raises
    ------
    ValueError
        If the shape differs from that of `truth`, or a known cell holds anything but
        0 and 1.
    """
    matrix = _check_matrix(y_pred, truth, "y_pred")
    known = matrix[truth.known]
    if np.any((known != 0) & (known != 1)):
        raise ValueError(
            "y_pred must hold 0 and 1 only. Cut probabilities at a threshold first."
        )
    return matrix


def check_scores(y_score: Any, truth: Targets, name: str = "y_score") -> np.ndarray:
    """Return scores that are finite in the known cells.

    Shape: (n_samples, n_labels), float64.

    Raises
    ------
    ValueError
        If the shape differs from that of `truth`, or the score of a known cell is NaN
        or infinite.
    """
    matrix = _check_matrix(y_score, truth, name)
    if not np.isfinite(matrix[truth.known]).all():
        raise ValueError(f"{name} contains NaN or infinity where y_true is known.")
    return matrix


def _check_matrix(values: Any, truth: Targets, name: str) -> np.ndarray:
    dense = values.toarray() if sparse.issparse(values) else values
    matrix = np.asarray(dense, dtype=np.float64)
    if matrix.ndim == 1 and truth.n_labels == 1:
        # scikit-learn's scorers pass this for an estimator with a single output.
        matrix = matrix[:, np.newaxis]
    if matrix.shape != truth.values.shape:
        hint = _TWO_LABELS if matrix.ndim == 1 and truth.n_labels == 2 else ""
        raise ValueError(
            f"{name} has shape {matrix.shape}, y_true has {truth.values.shape}; they "
            f"must be the same.{hint}"
        )
    return matrix


def known_cells(truth: Targets, weight: np.ndarray) -> np.ndarray:
    """Return which cells are known and have a positive weight.

    Shape: (n_samples,) weights -> (n_samples, n_labels), bool.
    """
    return truth.known & (weight > 0)[:, np.newaxis]


def weights_of_known_rows(truth: Targets, weight: np.ndarray) -> np.ndarray:
    """Return the weights, with 0 for rows without a known cell.

    Shape: (n_samples,) -> (n_samples,).
    """
    return np.where(truth.known.any(axis=1), weight, 0.0)


def weighted_mean(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the mean of the values with a weight, nan if there are none.

    Shape: two of (n,) -> scalar. Values of weight 0 may be nan.
    """
    counts = weight != 0
    if not counts.any():
        return float("nan")
    return float(np.average(values[counts], weights=weight[counts]))

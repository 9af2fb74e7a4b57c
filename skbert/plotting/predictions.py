"""Predictions: what a display is given -> targets, scores and names of the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skbert.base.outputs import check_thresholds
from skbert.base.responses import positive_scores
from skbert.inputs.targets import Targets, encode_targets
from skbert.plotting.names import check_names

__all__ = [
    "LabelPredictions",
    "chosen_labels",
    "find_fitted",
    "given_predictions",
    "own_thresholds",
    "predictions_of",
    "truth_for",
]


@dataclass(frozen=True)
class LabelPredictions:
    """The truth, and how sure a model is of each label.

    Attributes
    ----------
    targets : Targets
    scores : ndarray of shape (n, n_labels), float64
        Finite wherever the target is known.
    names : ndarray of shape (n_labels,), object
    """

    targets: Targets
    scores: np.ndarray
    names: np.ndarray

    def known(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Return truth and scores of the rows in which a label is known.

        Returns
        -------
        truth : ndarray of shape (n_known,), float32
        scores : ndarray of shape (n_known,), float64
        """
        rows = self.targets.known[:, label]
        return self.targets.values[rows, label], self.scores[rows, label]


def given_predictions(
    y_true: Any, y_score: Any, label_names: ArrayLike | None, *, proba: bool
) -> LabelPredictions:
    """Check truth and scores that a user computed.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n, n_labels) or (n,)
    label_names : array-like of shape (n_labels,) or None
        None takes the columns of a DataFrame `y_true`.
    proba : bool
        The scores must be probabilities.

    Returns
    -------
    LabelPredictions

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, or a score of a
        known cell is not finite or, with `proba`, not between 0 and 1.
    """
    targets = encode_targets(y_true)
    names = targets.names if label_names is None else label_names
    return LabelPredictions(
        targets,
        _check_scores(y_score, targets, proba=proba),
        check_names(names, targets.n_labels),
    )


def predictions_of(
    estimator: Any, X: Any, y: Any, label_names: ArrayLike | None, *, proba: bool
) -> LabelPredictions:
    """Ask a fitted estimator for its scores.

    Parameters
    ----------
    estimator : fitted classifier
        Its `predict_proba` is asked; its `decision_function` where it has no other
        and `proba` is False.
    X : sequence of length n
        What the estimator predicts from.
    y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
    label_names : array-like of shape (n_labels,) or None
        None takes the estimator's or those of a DataFrame `y`.
    proba : bool
        Only probabilities will do.

    Returns
    -------
    LabelPredictions

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If it has neither method, or its labels are not those of `y`.
    """
    targets, names = truth_for(estimator, y, label_names)
    methods = ("predict_proba",) if proba else ("predict_proba", "decision_function")
    method = next((m for m in methods if hasattr(estimator, m)), None)
    if method is None:
        raise ValueError(
            f"{type(estimator).__name__} has no {' or '.join(methods)}, so there are "
            "no scores to draw. sklearn.calibration.CalibratedClassifierCV gives a "
            "classifier probabilities."
        )
    is_binary = targets.classes is not None
    scores = positive_scores(
        estimator, X, method, targets.n_labels, is_binary=is_binary
    )
    checked = _check_scores(scores, targets, proba=proba, name=f"The {method} of X")
    return LabelPredictions(targets, checked, names)


def truth_for(
    estimator: Any, y: Any, label_names: ArrayLike | None
) -> tuple[Targets, np.ndarray]:
    """Encode `y` as a fitted estimator does, and name its labels.

    Returns
    -------
    targets : Targets
    names : ndarray of shape (n_labels,), object

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If the columns of `y` are the estimator's labels in another order.
    """
    check_is_fitted(estimator)
    classes = getattr(estimator, "classes_", None)
    is_vector = isinstance(classes, np.ndarray) and classes.ndim == 1
    targets = encode_targets(y, classes=classes if is_vector else None)
    names = find_fitted(estimator, "label_names_")
    if names is None or len(names) != targets.n_labels:
        names = targets.names
    elif targets.label_names is not None:
        _check_order(targets.label_names, names)
        names = targets.label_names
    names = names if label_names is None else label_names
    return targets, check_names(names, targets.n_labels)


def _check_order(columns: np.ndarray, names: np.ndarray) -> None:
    if set(columns) == set(names) and list(columns) != list(names):
        raise ValueError(
            "The columns of y are the estimator's labels in another order. Bring them "
            "into its order: y[list(estimator.label_names_)]."
        )


def chosen_labels(estimator: Any, X: Any, targets: Targets) -> np.ndarray:
    """Return what a fitted estimator predicts, shape (n, n_labels), 0 or 1.

    Raises
    ------
    ValueError
        If it predicts another number of labels than `targets` has.
    """
    predicted = encode_targets(estimator.predict(X), classes=targets.classes).values
    if predicted.shape != targets.values.shape:
        raise ValueError(_wrong_shape("The predict of X", predicted, targets))
    return predicted


def own_thresholds(estimator: Any, n_labels: int) -> np.ndarray:
    """Return the thresholds with which an estimator predicts.

    Returns
    -------
    ndarray of shape (n_labels,), float64
        Its `thresholds_`, or those of the estimator inside it; 0.5 if there are none,
        which is what scikit-learn's own classifiers cut at.

    Raises
    ------
    ValueError
        If they are not probabilities but decision values.
    """
    if find_fitted(estimator, "response_method_") == "decision_function":
        raise ValueError(
            "The estimator's thresholds are cuts of decision values, and this picture "
            "is one of probabilities. Tune with response_method='predict_proba'."
        )
    found = find_fitted(estimator, "thresholds_")
    return check_thresholds(0.5 if found is None else found, n_labels, "thresholds_")


def find_fitted(estimator: Any, attribute: str) -> Any:
    """Return an attribute of an estimator or of the one that it wraps, or None.

    A `Pipeline` is looked into, a search, and a meta-estimator with `estimator_`.
    """
    while estimator is not None:
        if hasattr(estimator, attribute):
            return getattr(estimator, attribute)
        estimator = _wrapped(estimator)
    return None


def _wrapped(estimator: Any) -> Any:
    for name in ("best_estimator_", "estimator_"):
        if hasattr(estimator, name):
            return getattr(estimator, name)
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else None


def _check_scores(
    y_score: Any, targets: Targets, *, proba: bool, name: str = "y_score"
) -> np.ndarray:
    dense = y_score.toarray() if sparse.issparse(y_score) else y_score
    try:
        scores = np.asarray(dense, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if scores.ndim == 1:
        scores = scores[:, np.newaxis]
    if scores.shape != targets.values.shape:
        raise ValueError(_wrong_shape(name, scores, targets))
    known = scores[targets.known]
    if not np.isfinite(known).all():
        raise ValueError(f"{name} contains NaN or infinity where y is known.")
    if proba and np.any((known < 0) | (known > 1)):
        raise ValueError(
            f"{name} must hold probabilities, between 0 and 1: thresholds are cuts "
            "of probabilities."
        )
    return scores


def _wrong_shape(name: str, values: np.ndarray, targets: Targets) -> str:
    return (
        f"{name} has shape {values.shape}, y has {targets.values.shape}; they must "
        "be the same."
    )

"""Scores and predictions of any multi-label estimator, in one form."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skbert.base.outputs import MultiLabelOutputMixin
from skbert.inputs.targets import Targets

__all__ = [
    "CachedResponses",
    "positive_scores",
    "predicted_matrix",
    "response_method_of",
]

_METHODS = ("predict_proba", "decision_function")


def response_method_of(estimator: Any, response_method: str) -> str:
    """Return the method that gives an estimator's scores.

    Parameters
    ----------
    estimator : estimator
    response_method : {"auto", "predict_proba", "decision_function"}

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the estimator has no such method.
    """
    wanted = _METHODS if response_method == "auto" else (response_method,)
    for method in wanted:
        if hasattr(estimator, method):
            return method
    raise ValueError(
        f"{type(estimator).__name__} has no {' and no '.join(wanted)}, so there is "
        "nothing to cut at a threshold. Wrap it in CalibratedClassifierCV, per label "
        "through BinaryRelevanceClassifier, or use an estimator that has one."
    )


def positive_scores(
    estimator: Any, X: Any, method: str, n_labels: int, *, is_binary: bool = False
) -> np.ndarray:
    """Return the score of each label.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : sequence of length n
    method : {"predict_proba", "decision_function"}
    n_labels : int
        Expected number of labels.
    is_binary : bool, default=False
        Whether the estimator was fitted to one-dimensional y.

    Returns
    -------
    ndarray of shape (n, n_labels), float64

    Raises
    ------
    ValueError
        If the estimator has another number of labels.

    Notes
    -----
    `predict_proba` of forests, neighbours and `MultiOutputClassifier` returns a list
    with a matrix for each label, which has a column for each class.
    """
    answer = getattr(estimator, method)(X)
    if isinstance(answer, list):
        columns = [
            _positive_column(np.asarray(part), classes)
            for part, classes in zip(answer, estimator.classes_, strict=True)
        ]
        scores = np.column_stack(columns)
    else:
        scores = np.asarray(answer, dtype=np.float64)
        # For most classifiers, a y of one column is a binary problem.
        one_label = n_labels == 1 and scores.ndim == 2 and scores.shape[1] == 2
        if method == "predict_proba" and (is_binary or one_label):
            scores = scores[:, 1]
    if scores.ndim == 1:
        scores = scores[:, np.newaxis]
    if scores.shape[1] != n_labels:
        raise ValueError(
            f"y has {n_labels} label(s), but {type(estimator).__name__} was fitted to "
            f"{scores.shape[1]}."
        )
    return scores.astype(np.float64, copy=False)


def predicted_matrix(answer: Any, targets: Targets) -> np.ndarray:
    """Return what an estimator predicted as a 0/1 matrix.

    Parameters
    ----------
    answer : array or sparse matrix of shape (n, n_labels) or (n,)
        Result of `predict`.
    targets : Targets
        Targets to which the estimator was fitted.

    Returns
    -------
    ndarray of shape (n, n_labels), int64
    """
    dense = answer.toarray() if sparse.issparse(answer) else np.asarray(answer)
    if targets.classes is not None:
        dense = dense == targets.classes[1]
    return dense.reshape(len(dense), targets.n_labels).astype(np.int64)


class CachedResponses:
    """The scores and predictions of a fitted estimator for some rows.

    Nothing is computed twice. A Pipeline transforms the rows once. The classifiers of
    this package compare these scores with thresholds in `predict`, so that the
    predictions are derived from the scores.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : sequence of length n
    method : {"predict_proba", "decision_function"}
        Method that returns the scores.
    targets : Targets
        Targets to which the estimator was fitted.
    """

    def __init__(self, estimator: Any, X: Any, method: str, targets: Targets) -> None:
        self._classifier, self._X = _at_the_classifier(estimator, X)
        self._method = method
        self._targets = targets

    @cached_property
    def scores(self) -> np.ndarray:
        """The score of each label, shape (n, n_labels), float64."""
        return positive_scores(
            self._classifier,
            self._X,
            self._method,
            self._targets.n_labels,
            is_binary=self._targets.classes is not None,
        )

    @cached_property
    def predictions(self) -> np.ndarray:
        """The predictions as a 0/1 matrix, shape (n, n_labels), int64."""
        if _cuts(self._classifier, self._method):
            return self._classifier._reaches_threshold(self.scores).astype(np.int64)
        return predicted_matrix(self._classifier.predict(self._X), self._targets)


def _at_the_classifier(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the last step of a fitted Pipeline, and its input."""
    if isinstance(estimator, FrozenEstimator):
        return _at_the_classifier(estimator.estimator, X)
    if not isinstance(estimator, Pipeline):
        return estimator, X
    *transformers, (_, last) = estimator.steps
    for _, transformer in transformers:
        if transformer is not None and transformer != "passthrough":
            X = transformer.transform(X)
    return _at_the_classifier(last, X)


def _cuts(classifier: Any, method: str) -> bool:
    """Return whether `predict` only compares these scores with thresholds."""
    if not isinstance(classifier, MultiLabelOutputMixin):
        return False
    # A user's subclass may compute either of them in its own way.
    is_ours = type(classifier).__module__.startswith("skbert.")
    return is_ours and classifier._cut_method == method


def _positive_column(proba: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the column of class 1, which a constant label may lack."""
    column = np.flatnonzero(np.asarray(classes) == 1)
    return proba[:, column[0]] if len(column) else np.zeros(len(proba))

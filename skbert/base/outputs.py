"""What all classifiers share: thresholds, predictions, label names and score."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin

from skbert.inputs.targets import Targets, encode_targets
from skbert.metrics import nan_accuracy_score

__all__ = ["MultiLabelOutputMixin", "check_label_order", "check_thresholds"]


def check_label_order(targets: Targets, names: Any, owner: str) -> None:
    """Check that the columns of a frame y are in the order of other columns.

    Parameters
    ----------
    targets : Targets
    names : sequence of str or None
        None passes, and so do names that are not those of y in another order, because
        people rename columns.
    owner : str
        Owner of the names, for the message.

    Raises
    ------
    ValueError
        If the columns are the same in another order.
    """
    if names is None or targets.label_names is None:
        return
    theirs, ours = [str(name) for name in names], list(targets.label_names)
    if theirs != ours and sorted(theirs) == sorted(ours):
        raise ValueError(
            f"The columns of y are {ours}, those of {owner} are {theirs}: the same "
            f"labels in another order. Pass y[{theirs}]."
        )


def check_thresholds(
    value: ArrayLike, n_labels: int, name: str, *, are_probabilities: bool = True
) -> np.ndarray:
    """Return thresholds as a new array.

    Parameters
    ----------
    value : float or array-like of shape (n_labels,)
    n_labels : int
    name : str
        Name of the argument in messages.
    are_probabilities : bool, default=True

    Returns
    -------
    ndarray of shape (n_labels,), float64

    Raises
    ------
    ValueError
        If their number is not that of the labels, or one is NaN or no probability.
    """
    try:
        thresholds = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if thresholds.shape not in ((), (n_labels,)):
        raise ValueError(
            f"{name} has shape {thresholds.shape}, but there are {n_labels} label(s): "
            f"it must be a number or have shape ({n_labels},)."
        )
    if not are_probabilities and np.isnan(thresholds).any():
        raise ValueError(f"{name} holds NaN.")
    if are_probabilities and not np.all((thresholds >= 0) & (thresholds <= 1)):
        raise ValueError(f"{name} must hold numbers between 0 and 1.")
    return np.full(n_labels, thresholds)


class MultiLabelOutputMixin(ClassifierMixin):
    """The predictions of skbert's classifiers, given the labels that they choose.

    A class that inherits it calls `_set_labels` in `fit` and has a method
    ``_chosen(X)`` that returns a bool matrix of shape (n, n_labels).

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels, 2) or (2,)
    label_names_ : ndarray of shape (n_labels,), object
    thresholds_ : ndarray of shape (n_labels,), float64
    """

    classes_: np.ndarray
    label_names_: np.ndarray
    thresholds_: np.ndarray

    def _set_labels(
        self, names: ArrayLike, classes: np.ndarray | None, threshold: ArrayLike
    ) -> None:
        self.label_names_ = np.asarray(names, dtype=object)
        n_labels = len(self.label_names_)
        self.thresholds_ = check_thresholds(threshold, n_labels, "threshold")
        # scikit-learn's scorers look at `classes_` alone to tell what y is. Only a row
        # of classes for each label means multi-label to all of them.
        self.classes_ = np.tile([0, 1], (n_labels, 1)) if classes is None else classes

    @property
    def _is_multilabel(self) -> bool:
        return self.classes_.ndim == 2

    def _snapshot(self) -> Self:
        """Return a shallow copy, which a fit in another thread does not change."""
        snapshot = object.__new__(type(self))
        snapshot.__dict__.update(self.__dict__)  # at once, so that no fit interferes
        return snapshot

    def _chosen(self, X: Any) -> np.ndarray:
        raise NotImplementedError

    @property
    def _cut_method(self) -> str | None:
        """The method whose scores `predict` cuts at `thresholds_`, if it cuts any."""
        return "predict_proba"

    def _reaches_threshold(self, scores: np.ndarray) -> np.ndarray:
        """Return which scores of `_cut_method`, (n, n_labels), reach `thresholds_`."""
        return scores >= check_thresholds(
            self.thresholds_,
            len(self.label_names_),
            "thresholds_",
            are_probabilities=self._cut_method == "predict_proba",
        )

    def predict(self, X: Any) -> np.ndarray:
        """Return which labels have a probability of at least their threshold.

        Parameters
        ----------
        X : sequence of length n
            Input of the same form as in `fit`.

        Returns
        -------
        ndarray of shape (n, n_labels), int64
            0 or 1. After a fit on one-dimensional y, the classes, shape (n,).

        Raises
        ------
        ValueError
            If `thresholds_` has values outside [0, 1] or another shape.
        """
        fitted = self._snapshot()
        chosen = fitted._chosen(X)
        if fitted._is_multilabel:
            return chosen.astype(np.int64)
        return fitted.classes_[chosen[:, 0].astype(np.intp)]

    def predict_labels(self, X: Any) -> list[tuple[str, ...]]:
        """Return the names of each row's labels.

        Parameters
        ----------
        X : sequence of length n
            Input of the same form as in `fit`.

        Returns
        -------
        list of tuple of str, length n
            An empty tuple for a row without labels.
        """
        fitted = self._snapshot()
        return [tuple(fitted.label_names_[row]) for row in fitted._chosen(X)]

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the subset accuracy, the share of rows with all known labels right.

        Parameters
        ----------
        X : sequence of length n
            Input of the same form as in `fit`.
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            True labels, with NaN if a label is unknown.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        float
        """
        fitted = self._snapshot()
        chosen = fitted._chosen(X).astype(np.int64)
        classes = None if fitted._is_multilabel else fitted.classes_
        targets = encode_targets(y, classes=classes)
        check_label_order(targets, fitted.label_names_, type(self).__name__)
        return nan_accuracy_score(
            targets.with_nan(), chosen, sample_weight=sample_weight
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags

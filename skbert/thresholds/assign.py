"""Copies of estimators with other thresholds."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skbert.base.outputs import MultiLabelOutputMixin

__all__ = ["with_thresholds"]


def with_thresholds(estimator: Any, thresholds: ArrayLike) -> Any:
    """Return the estimator with these thresholds, if it has thresholds of its own.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator. It is not changed.
    thresholds : array-like of shape (n_labels,)
        Thresholds of probabilities.

    Returns
    -------
    estimator
        A shallow copy if the estimator is one of skbert, a Pipeline that ends in one,
        or a frozen one. Otherwise the estimator itself.
    """
    if getattr(estimator, "response_method_", "predict_proba") != "predict_proba":
        return estimator  # its thresholds are for decision values
    if isinstance(estimator, MultiLabelOutputMixin):
        result = copy(estimator)
        result.thresholds_ = np.array(thresholds)
        return result
    if isinstance(estimator, Pipeline):
        result = copy(estimator)
        name, last = estimator.steps[-1]
        result.steps = [
            *estimator.steps[:-1],
            (name, with_thresholds(last, thresholds)),
        ]
        return result
    if isinstance(estimator, FrozenEstimator):
        return FrozenEstimator(with_thresholds(estimator.estimator, thresholds))
    return estimator

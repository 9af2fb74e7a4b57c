"""Holders: an estimator -> a copy of it that cuts at given thresholds."""

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
    """Return the estimator with its own thresholds set, if it has such.

    Parameters
    ----------
    estimator : estimator
        Fitted; left as it is.
    thresholds : array-like of shape (n_labels,)
        For probabilities.

    Returns
    -------
    estimator
        A shallow copy, where the estimator is one of this library, or a Pipeline that
        ends in one, or one that is frozen. Otherwise the estimator itself.
    """
    if getattr(estimator, "response_method_", "predict_proba") != "predict_proba":
        return estimator  # it cuts decision values
    if isinstance(estimator, MultiLabelOutputMixin):
        holder = copy(estimator)
        holder.thresholds_ = np.array(thresholds)
        return holder
    if isinstance(estimator, Pipeline):
        holder = copy(estimator)
        name, last = estimator.steps[-1]
        holder.steps = [
            *estimator.steps[:-1],
            (name, with_thresholds(last, thresholds)),
        ]
        return holder
    if isinstance(estimator, FrozenEstimator):
        return FrozenEstimator(with_thresholds(estimator.estimator, thresholds))
    return estimator

"""Scoring: what a user passes as ``scoring`` -> one function of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names

from skbert.metrics import (
    Matrix,
    multilabel_log_loss,
    nan_accuracy_score,
    nan_average_precision_score,
    nan_count_score,
    nan_roc_auc_score,
)
from skbert.targets import encode_targets

__all__ = ["resolve_scoring"]


def _neg_log_loss(y_true: Matrix, y_proba: Matrix, **weight: Any) -> float:
    return -multilabel_log_loss(y_true, y_proba, **weight)


# Scores that take NaN, under the names of scikit-learn's scorers where it has them.
_PROBA_SCORES: dict[str, Callable[..., Any]] = {
    "average_precision": nan_average_precision_score,
    "average_precision_micro": partial(nan_average_precision_score, average="micro"),
    "roc_auc": nan_roc_auc_score,
    "roc_auc_micro": partial(nan_roc_auc_score, average="micro"),
    "neg_log_loss": _neg_log_loss,
}
_PRED_SCORES: dict[str, Callable[..., Any]] = {
    "accuracy": nan_accuracy_score,
    **{
        f"{name}_{average}": partial(nan_count_score, name=name, average=average)
        for name in ("f1", "jaccard", "precision", "recall")
        for average in ("macro", "micro", "samples", "weighted")
    },
}


def resolve_scoring(scoring: str | Callable[..., float]) -> Callable[..., float]:
    """Turn what a user calls `scoring` into a function of arrays.

    Parameters
    ----------
    scoring : str or callable
        A name from ``sklearn.metrics.get_scorer_names()``, "average_precision_micro",
        "roc_auc_micro", or a scorer with the signature ``scorer(estimator, X, y)``
        such as :func:`sklearn.metrics.make_scorer` returns.

    Returns
    -------
    callable
        ``score(y_true, y_proba, y_pred, *, sample_weight=None) -> float``, greater is
        better. All three arrays have shape (n_samples, n_labels); `y_true` may hold
        NaN for the names that have a twin in :mod:`skbert.metrics`:
        "average_precision", "roc_auc" (and with "_micro"), "neg_log_loss", "accuracy"
        and "f1_*", "jaccard_*", "precision_*", "recall_*" with each of macro, micro,
        samples and weighted. The value is nan when a probability is not finite, so
        that a model that diverged is never the best. It can be pickled if `scoring`
        can.

    Raises
    ------
    ValueError
        At once if `scoring` is neither; when called, if `y_true` holds NaN and the
        scorer does not take it, or whatever the scorer itself raises.

    Notes
    -----
    Scorers without a twin are scikit-learn's own, called with an estimator that
    returns the given probabilities and predictions. Its `X` is the row numbers, so
    that a scorer that reads texts or fitted attributes cannot work.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.scoring import resolve_scoring
    >>> score = resolve_scoring("f1_micro")
    >>> y_true = np.array([[1, 0], [np.nan, 1]])
    >>> y_proba = np.array([[0.9, 0.2], [0.6, 0.4]])
    >>> print(f"{score(y_true, y_proba, y_proba >= 0.5):.3f}")
    0.667
    >>> resolve_scoring("f1_mirco")
    Traceback (most recent call last):
        ...
    ValueError: Unknown scoring 'f1_mirco'. Did you mean 'f1_micro'? ...
    """
    if isinstance(scoring, str):
        return _resolve_name(scoring)
    if callable(scoring):
        # Turns down metric functions, which are a common slip, with advice.
        check_scoring(_GivenAnswers(), scoring=scoring)
        return _ScorerScore(scoring, getattr(scoring, "__name__", repr(scoring)))
    raise ValueError(
        "scoring must be a name or a callable scorer(estimator, X, y); got "
        f"{scoring!r}."
    )


def _resolve_name(name: str) -> Callable[..., float]:
    if name in _PROBA_SCORES:
        return _ArrayScore(_PROBA_SCORES[name], reads_proba=True)
    if name in _PRED_SCORES:
        return _ArrayScore(_PRED_SCORES[name], reads_proba=False)
    if name in get_scorer_names():
        return _ScorerScore(get_scorer(name), name)
    close = get_close_matches(name, _nan_names() + get_scorer_names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    others = sorted(set(get_scorer_names()) - set(_nan_names()))
    raise ValueError(
        f"Unknown scoring {name!r}.{hint} These take NaN in y: "
        f"{', '.join(_nan_names())}. These do not: {', '.join(others)}."
    )


def _nan_names() -> list[str]:
    return sorted([*_PROBA_SCORES, *_PRED_SCORES])


@dataclass(frozen=True)
class _ArrayScore:
    """A score of this module, as :func:`resolve_scoring` returns it."""

    score: Callable[..., Any]
    reads_proba: bool

    def __call__(self, y_true, y_proba, y_pred, *, sample_weight=None) -> float:
        if not np.isfinite(y_proba).all():
            return float("nan")
        answers = y_proba if self.reads_proba else y_pred
        return float(self.score(y_true, answers, sample_weight=sample_weight))


@dataclass(frozen=True)
class _ScorerScore:
    """A scorer of scikit-learn, as :func:`resolve_scoring` returns it."""

    scorer: Callable[..., float]
    name: str

    def __call__(self, y_true, y_proba, y_pred, *, sample_weight=None) -> float:
        truth = encode_targets(y_true)
        if not truth.known.all():
            raise ValueError(
                f"The scoring {self.name!r} does not take NaN (unknown labels) in y. "
                f"These do: {', '.join(_nan_names())}."
            )
        if not np.isfinite(y_proba).all():
            return float("nan")
        answers = _GivenAnswers(np.asarray(y_proba, np.float64), np.asarray(y_pred))
        rows = np.arange(len(truth))[:, np.newaxis]
        # Not every scorer has the argument: it is passed only when it says something.
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        y_int = truth.values.astype(np.int64)
        return float(self.scorer(answers, rows, y_int, **weight))


class _GivenAnswers(ClassifierMixin, BaseEstimator):
    """A fitted multi-label classifier whose answers are given; X is row numbers."""

    def __init__(self, probabilities=None, predictions=None):
        self.probabilities = probabilities
        self.predictions = predictions

    @property
    def classes_(self):
        # The one form with which every scikit-learn scorer is right for any number of
        # labels: scorers look at classes_ to learn what kind of target this is.
        return np.tile([0, 1], (self.probabilities.shape[1], 1))

    def fit(self, X, y):
        """Do nothing; scikit-learn asks for the method, and never calls it here."""

    def predict(self, X):
        return self.predictions[np.ravel(X)].astype(np.int64)

    def predict_proba(self, X):
        return self.probabilities[np.ravel(X)]

    def decision_function(self, X):
        return logit(self.predict_proba(X))

    def __sklearn_is_fitted__(self):
        return True

"""Scoring: what a user passes as ``scoring`` -> one function of arrays, or a scorer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names, make_scorer

from skbert.inputs.targets import encode_targets
from skbert.metrics import (
    multilabel_log_loss,
    nan_accuracy_score,
    nan_average_precision_score,
    nan_balanced_accuracy_score,
    nan_f1_score,
    nan_fbeta_score,
    nan_jaccard_score,
    nan_ndcg_score,
    nan_precision_score,
    nan_recall_score,
    nan_roc_auc_score,
    precision_at_k,
    recall_at_k,
)

__all__ = [
    "get_multilabel_scorer",
    "get_multilabel_scorer_names",
    "resolve_scoring",
]


@dataclass(frozen=True)
class _Score:
    """A score that takes NaN, as :func:`resolve_scoring` returns it."""

    function: Callable[..., Any]
    reads_proba: bool = False
    sign: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, y_true, y_proba, y_pred, *, sample_weight=None) -> float:
        if not np.isfinite(y_proba).all():
            return float("nan")
        answers = y_proba if self.reads_proba else y_pred
        value = self.function(
            y_true, answers, sample_weight=sample_weight, **self.options
        )
        return self.sign * float(value)

    def as_scorer(self) -> Callable[..., float]:
        """Return the score in the form that scikit-learn takes."""
        return make_scorer(
            self.function,
            response_method=self._response_method(),
            greater_is_better=self.sign > 0,
            **self.options,
        )

    def _response_method(self) -> tuple[str, ...]:
        if not self.reads_proba:
            return ("predict",)
        if self.function is multilabel_log_loss:
            return ("predict_proba",)
        # Probabilities first: unlike decision values they can be compared between
        # labels, and scores that ask for the same answers share one prediction.
        return ("predict_proba", "decision_function")


_LOG_LOSS = _Score(multilabel_log_loss, reads_proba=True, sign=-1)

# Under the names of scikit-learn's scorers where it has them.
_SCORES: dict[str, _Score] = {
    "accuracy": _Score(nan_accuracy_score),
    "balanced_accuracy": _Score(nan_balanced_accuracy_score),
    "neg_log_loss": _LOG_LOSS,
    "neg_multilabel_log_loss": _LOG_LOSS,
    "ndcg": _Score(nan_ndcg_score, reads_proba=True),
    "average_precision": _Score(nan_average_precision_score, reads_proba=True),
    "roc_auc": _Score(nan_roc_auc_score, reads_proba=True),
    **{
        f"{name}_{average}": _Score(
            function, reads_proba=True, options={"average": average}
        )
        for name, function, averages in (
            (
                "average_precision",
                nan_average_precision_score,
                ("micro", "samples", "weighted"),
            ),
            ("roc_auc", nan_roc_auc_score, ("micro", "weighted")),
        )
        for average in averages
    },
    **{
        f"{name}_{average}": _Score(function, options={"average": average})
        for name, function in {
            "f1": nan_f1_score,
            "jaccard": nan_jaccard_score,
            "precision": nan_precision_score,
            "recall": nan_recall_score,
        }.items()
        for average in ("macro", "micro", "samples", "weighted")
    },
}
_AT_K: dict[str, Callable[..., Any]] = {
    "ndcg": nan_ndcg_score,
    "precision": precision_at_k,
    "recall": recall_at_k,
}
_SHOWN_K = (1, 3, 5)

# Farther out than the log-odds of any float64 between 0 and 1: -744.5 to 36.8.
_LOG_ODDS_OF_CERTAINTY = 750.0

_TAKING_NAN = {
    nan_fbeta_score,
    *_AT_K.values(),
    *(score.function for score in _SCORES.values()),
}


def get_multilabel_scorer(name: str) -> Callable[..., float]:
    """Make a scorer that is right for several labels and takes NaN in ``y``.

    Parameters
    ----------
    name : str
        One of :func:`get_multilabel_scorer_names`, or "precision_at_<k>",
        "recall_at_<k>" or "ndcg_at_<k>" with any positive integer, as "recall_at_5".

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, sample_weight=None) -> float``, greater is better,
        made by :func:`sklearn.metrics.make_scorer`: it can be passed as ``scoring`` to
        all of scikit-learn and can be pickled. `y` has shape (n_samples, n_labels),
        with 0, 1 or NaN (unknown).

    Raises
    ------
    TypeError
        If `name` is no str.
    ValueError
        If the name is unknown; when called, whatever the score itself raises.

    See Also
    --------
    skbert.metrics.resolve_scoring : The same names as functions of arrays.

    Notes
    -----
    Scores of rankings ask for `predict_proba`, or for `decision_function` of an
    estimator without it; "neg_log_loss", which is "neg_multilabel_log_loss" here, for
    `predict_proba` alone.

    scikit-learn's scorers look at the estimator's `classes_`. They work for all of
    skbert's estimators, and for those of others that are fitted to three or more
    labels. For two labels a one-dimensional `classes_`, as of
    :class:`~sklearn.neural_network.MLPClassifier`, makes it look like a binary
    classifier, and scores of its probabilities raise an error.

    Pass a splitter that takes NaN, such as
    :class:`~skbert.MultilabelStratifiedKFold`, as ``cv`` if `y` holds
    any: an integer makes scikit-learn look at `y`, and refuse it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from skbert.baseline import make_tfidf_baseline
    >>> from skbert.model_selection import MultilabelStratifiedKFold
    >>> from skbert.metrics.scorers import get_multilabel_scorer
    >>> texts = ["the bill is wrong", "it crashes", "hello"] * 4
    >>> y = np.array([[1, 0], [0, 1], [0, 0]] * 4, dtype=float)
    >>> y[0, 1] = np.nan
    >>> cross_val_score(
    ...     make_tfidf_baseline(),
    ...     texts,
    ...     y,
    ...     scoring=get_multilabel_scorer("average_precision"),
    ...     cv=MultilabelStratifiedKFold(2),
    ... )
    array([1., 1.])
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name must be a str, such as 'f1_macro'; got {name!r}. A callable can be "
            "passed as scoring as it is."
        )
    score = _find_score(name)
    if score is None:
        raise ValueError(_unknown(name, []))
    return score.as_scorer()


def get_multilabel_scorer_names() -> list[str]:
    """Return the names that :func:`get_multilabel_scorer` knows.

    Returns
    -------
    list of str
        Sorted. Of the names that end in "_at_<k>" it has k = 1, 3 and 5; any other
        positive integer does as well.

    Examples
    --------
    >>> from skbert.metrics.scorers import get_multilabel_scorer_names
    >>> get_multilabel_scorer_names()[:3]
    ['accuracy', 'average_precision', 'average_precision_micro']
    """
    return sorted([*_SCORES, *(f"{name}_at_{k}" for name in _AT_K for k in _SHOWN_K)])


def _find_score(name: str) -> _Score | None:
    if name in _SCORES:
        return _SCORES[name]
    found = re.fullmatch(rf"({'|'.join(_AT_K)})_at_([1-9][0-9]*)", name)
    if found is None:
        return None
    options = {"k": int(found[2])}
    return _Score(_AT_K[found[1]], reads_proba=True, options=options)


def _unknown(name: str, others: list[str]) -> str:
    """Return what is wrong with a name, given names that are no score of skbert's."""
    ours = get_multilabel_scorer_names()
    close = [f"{name}_macro"] if f"{name}_macro" in ours else []  # a plain "f1"
    close += get_close_matches(name, ours + others, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    message = (
        f"Unknown scoring {name!r}.{hint} These take NaN in y: {', '.join(ours)}; "
        "other numbers after _at_ do, too."
    )
    if others:
        message += f" These do not: {', '.join(others)}."
    elif name in get_scorer_names():
        message += " scikit-learn has a scorer of that name, which does not."
    return message


def resolve_scoring(scoring: str | Callable[..., float]) -> Callable[..., float]:
    """Turn what a user calls `scoring` into a function of arrays.

    Parameters
    ----------
    scoring : str or callable
        A name that :func:`skbert.get_multilabel_scorer` knows, another name from
        ``sklearn.metrics.get_scorer_names()``, or a scorer with the signature
        ``scorer(estimator, X, y)`` such as :func:`sklearn.metrics.make_scorer`
        returns.

    Returns
    -------
    callable
        ``score(y_true, y_proba, y_pred, *, sample_weight=None) -> float``, greater is
        better. All three arrays have shape (n_samples, n_labels); `y_true` may hold
        NaN for the names that :func:`skbert.get_multilabel_scorer` knows, and for
        scorers that ``make_scorer`` made of functions of :mod:`skbert.metrics`. The
        value is nan when a probability is not finite, so that a model that diverged
        is never the best. It can be pickled if `scoring` can.

    Raises
    ------
    ValueError
        At once if `scoring` is neither; when called, if `y_true` holds NaN and the
        scorer does not take it, or whatever the scorer itself raises.

    Notes
    -----
    "neg_log_loss" is the one name that means something else than in scikit-learn:
    :func:`~skbert.multilabel_log_loss`.

    All other scorers are called with an estimator that returns the given probabilities
    and predictions. Its `X` is the row numbers, so that a scorer that reads texts or
    fitted attributes cannot work.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics.scorers import resolve_scoring
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
    score = _find_score(name)
    if score is not None:
        return score
    if name in get_scorer_names():
        return _ScorerScore(get_scorer(name), name)
    raise ValueError(_unknown(name, sorted({*get_scorer_names()} - {*_SCORES})))


@dataclass(frozen=True)
class _ScorerScore:
    """A scorer of scikit-learn, as :func:`resolve_scoring` returns it."""

    scorer: Callable[..., float]
    name: str

    def __call__(self, y_true, y_proba, y_pred, *, sample_weight=None) -> float:
        truth = encode_targets(y_true)
        all_known = bool(truth.known.all())
        if not all_known and not self._takes_nan():
            raise ValueError(
                f"The scoring {self.name!r} does not take NaN (unknown labels) in y. "
                f"These do: {', '.join(get_multilabel_scorer_names())}."
            )
        if not np.isfinite(y_proba).all():
            return float("nan")
        answers = _GivenAnswers(np.asarray(y_proba, np.float64), np.asarray(y_pred))
        rows = np.arange(len(truth))[:, np.newaxis]
        # Not every scorer has the argument: it is passed only when it says something.
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        y = truth.values.astype(np.int64) if all_known else truth.with_nan()
        return float(self.scorer(answers, rows, y, **weight))

    def _takes_nan(self) -> bool:
        # A scorer does not tell what it calls but by this attribute; without it, NaN
        # is refused, as it is of functions that nothing is known of.
        function = getattr(self.scorer, "_score_func", None)
        return any(function is known for known in _TAKING_NAN)


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
        scores = self.predict_proba(X)
        if not np.all((scores >= 0) & (scores <= 1)):
            return scores  # decision values already
        # Scores take no infinity, which a probability of 0 or 1 would give.
        return np.clip(logit(scores), -_LOG_ODDS_OF_CERTAINTY, _LOG_ODDS_OF_CERTAINTY)

    def __sklearn_is_fitted__(self):
        return True

"""Named scores, as scorers of scikit-learn or as functions of arrays."""

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
        # Probabilities come first. Unlike decision values, they can be compared between
        # labels, and scores that need the same output share one prediction.
        return ("predict_proba", "decision_function")


_LOG_LOSS = _Score(multilabel_log_loss, reads_proba=True, sign=-1)

# The names are those of scikit-learn's scorers if there are such.
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

# Beyond the log-odds of all float64 between 0 and 1, which are -744.5 to 36.8.
_LOG_ODDS_OF_CERTAINTY = 750.0

_TAKING_NAN = {
    nan_fbeta_score,
    *_AT_K.values(),
    *(score.function for score in _SCORES.values()),
}


def get_multilabel_scorer(name: str) -> Callable[..., float]:
    """Make a scorer that handles several labels and NaN in ``y`` correctly.

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
        If `name` is not a str.
    ValueError
        If the name is unknown; when called, whatever the score itself raises.

    See Also
    --------
    skbert.metrics.resolve_scoring : The same scores as functions of arrays.

    Notes
    -----
    Scores of rankings call `predict_proba`, or `decision_function` if there is no
    `predict_proba`. "neg_log_loss" is "neg_multilabel_log_loss" here and calls
    `predict_proba` only.

    scikit-learn's scorers read the estimator's `classes_`. They work for all estimators
    of skbert, and for others that are fitted to three or more labels. With two labels,
    an estimator whose `classes_` has one dimension, such as
    :class:`~sklearn.neural_network.MLPClassifier`, looks like a binary classifier, and
    scores of its probabilities raise an error.

    If `y` holds NaN, pass a splitter that takes it as ``cv``, such as
    :class:`~skbert.MultilabelStratifiedKFold`. If ``cv`` is an integer, scikit-learn
    checks `y` and refuses NaN.

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
            f"name must be a str, such as 'f1_macro'; got {name!r}. Pass a callable "
            "directly as scoring."
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
        Sorted. For the names that end in "_at_<k>", k = 1, 3 and 5 are listed. Any
        other positive integer works, too.

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
    """Return the message of the error for an unknown name."""
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
    """Turn a parameter `scoring` into a function of arrays.

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
        value is nan if a probability is not finite, so a model that diverged is never
        the best. The function can be pickled if `scoring` can.

    Raises
    ------
    ValueError
        If `scoring` is neither. The returned function raises it if `y_true` holds NaN
        and the scorer does not take NaN, and passes on what the scorer raises.

    Notes
    -----
    "neg_log_loss" is the only name with another meaning than in scikit-learn. It is
    :func:`~skbert.multilabel_log_loss`.

    scikit-learn's scorers get an estimator that returns the given probabilities and
    predictions. Its `X` holds the row numbers, so scorers that read texts or fitted
    attributes do not work.

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
        # Refuses metric functions, which are a common mistake, and gives advice.
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
        # Not every scorer takes sample_weight, so it is passed only if there is one.
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        y = truth.values.astype(np.int64) if all_known else truth.with_nan()
        return float(self.scorer(answers, rows, y, **weight))

    def _takes_nan(self) -> bool:
        # Only this attribute tells which function a scorer calls. Without it, and for
        # unknown functions, NaN is refused.
        function = getattr(self.scorer, "_score_func", None)
        return any(function is known for known in _TAKING_NAN)


class _GivenAnswers(ClassifierMixin, BaseEstimator):
    """A fitted multi-label classifier with given predictions; X holds row numbers."""

    def __init__(self, probabilities=None, predictions=None):
        self.probabilities = probabilities
        self.predictions = predictions

    @property
    def classes_(self):
        # Scorers look at classes_ to find the type of the target. With this form, all
        # of them are right for any number of labels.
        return np.tile([0, 1], (self.probabilities.shape[1], 1))

    def fit(self, X, y):
        """Do nothing: scikit-learn requires this method but does not call it here."""

    def predict(self, X):
        return self.predictions[np.ravel(X)].astype(np.int64)

    def predict_proba(self, X):
        return self.probabilities[np.ravel(X)]

    def decision_function(self, X):
        scores = self.predict_proba(X)
        if not np.all((scores >= 0) & (scores <= 1)):
            return scores  # decision values already
        # Scores refuse infinity, which probabilities of 0 and 1 would give.
        return np.clip(logit(scores), -_LOG_ODDS_OF_CERTAINTY, _LOG_ODDS_OF_CERTAINTY)

    def __sklearn_is_fitted__(self):
        return True

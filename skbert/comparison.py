"""Comparison of estimators on the same folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.utils import indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_consistent_length

from skbert.base.responses import CachedResponses, response_method_of
from skbert.inputs.targets import encode_targets
from skbert.metrics.scorers import resolve_scoring
from skbert.model_selection.folds import FoldTask, Split, check_all_rows, make_splits
from skbert.thresholds import TunedThresholdsClassifierCV
from skbert.thresholds.objectives import objective_names

__all__ = ["compare"]

Scoring = str | Callable[..., float]
_DEFAULT_SCORING = ("f1_micro", "f1_macro", "average_precision")
# Scores for which thresholds can be tuned exactly, without further parameters.
_TUNABLE = [
    name
    for name in objective_names()
    if name.startswith(("f1", "jaccard", "balanced_accuracy"))
]
# Columns of seconds.
_TIMES = ("fit_time", "predict_time")


def compare(
    estimators: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    scoring: Scoring | Iterable[str] | Mapping[str, Scoring] = _DEFAULT_SCORING,
    tune_thresholds: bool | Mapping[str, Any] = False,
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: int | None = 0,
) -> pd.DataFrame:
    """Cross-validate several estimators on the same folds.

    Parameters
    ----------
    estimators : dict of str to classifier
        Multi-label scikit-learn classifiers. The others are compared with the first,
        which is usually the baseline.
    X : sequence of length n
    y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
        0, 1, or NaN if a label is unknown.
    cv : int, float, splitter or iterable, default=5
        An int is the number of shuffled, multi-label stratified folds. A float is the
        share of one stratified held-out part. Otherwise a splitter, or pairs of
        (train, test) row numbers.
    scoring : str, list of str, dict, or callable, default=("f1_micro", "f1_macro", \
"average_precision")
        Names of scorers of :func:`skbert.get_multilabel_scorer` or scikit-learn, or
        scorers with the signature ``scorer(estimator, X, y)``, which get row numbers
        as X.
    tune_thresholds : bool or dict, default=False
        Whether to tune the thresholds of every estimator within the training rows of
        each fold, with :class:`TunedThresholdsClassifierCV`. A dict holds parameters of
        that class. The default of its `scoring` is the first metric that it can tune
        exactly, or "f1_macro". It fits every estimator six times for each fold, and
        twice with ``{"cv": 0.2}``.
    confidence : float, default=0.95
        Confidence level of the interval of the difference.
    n_jobs : int, default=None
        Number of fits that run at the same time. Times are comparable only for None.
    random_state : int or None, default=0
        Seed of the folds.

    Returns
    -------
    DataFrame
        A row for each estimator. The columns have two levels. Each metric has "mean"
        and "std" over the folds, "difference" (the mean difference to the first
        estimator), and "low" and "high", the ends of its confidence interval (NaN in
        the first row, and if there is one fold only). "fit_time" and "predict_time",
        in seconds for each fold, have "mean" and "std".

    Raises
    ------
    ValueError
        If there is no estimator, a metric is unknown or the data are wrong. Errors of
        estimators are raised with their names.

    See Also
    --------
    ComparisonDisplay : Draws the table.

    Notes
    -----
    The training sets of folds overlap, so that their scores are not independent and the
    usual t interval is far too narrow. The variance is corrected as Nadeau and Bengio
    [1]_ propose: ``(1 / k + n_test / n_train) * var(differences)``, with k - 1 degrees
    of freedom. With few folds the interval is wide, as it should be.

    Predictions come from each estimator's own `predict`. All scores are computed in the
    same way and skip unknown cells.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003.

    Examples
    --------
    >>> from skbert import compare, make_emails, make_tfidf_baseline
    >>> emails = make_emails(200, random_state=0)
    >>> table = compare(
    ...     {"words": make_tfidf_baseline(ngram_range=(1, 1)),
    ...      "pairs": make_tfidf_baseline()},
    ...     emails.data, emails.target, cv=3, scoring="f1_micro",
    ... )
    >>> list(table.index), list(table["f1_micro"].columns)
    (['words', 'pairs'], ['mean', 'std', 'difference', 'low', 'high'])
    """
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError(
            "estimators must be a dict of names to classifiers, such as "
            "{'tf-idf': make_tfidf_baseline(), 'skbert': clf}; got "
            f"{estimators!r}."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1; got {confidence!r}.")
    metrics = _named(scoring)
    scores = {name: resolve_scoring(metric) for name, metric in metrics.items()}
    targets = encode_targets(y)
    check_consistent_length(X, targets.values)
    for estimator in estimators.values():
        check_all_rows(estimator, X)
    X, y = indexable(X, y)
    splits = make_splits(cv, X, y, shuffle=True, random_state=random_state)
    if len({str(name) for name in estimators}) < len(estimators):
        raise ValueError("Two estimators have the same name.")
    entrants = {
        str(name): _tuned(estimator, tune_thresholds, metrics)
        for name, estimator in estimators.items()
    }
    tasks = [
        delayed(_measure)(name, FoldTask(estimator, X, y, targets), split, scores)
        for name, estimator in entrants.items()
        for split in splits
    ]
    measured = Parallel(n_jobs=n_jobs)(tasks)
    shape = (len(entrants), len(splits))
    folds = {
        column: np.array([row[column] for row in measured]).reshape(shape)
        for column in measured[0]
    }
    return _table(list(entrants), folds, splits, confidence)


def _named(scoring: Any) -> dict[str, Scoring]:
    """Return the metrics by name."""
    if isinstance(scoring, str):
        scoring = [scoring]
    elif callable(scoring):
        scoring = {getattr(scoring, "__name__", "score"): scoring}
    if not isinstance(scoring, Mapping):
        scoring = {name: name for name in scoring}
    if not scoring:
        raise ValueError("scoring names no metric.")
    if set(scoring) & set(_TIMES):
        raise ValueError(
            f"A metric cannot be called {' or '.join(_TIMES)}, which are seconds."
        )
    return {str(name): metric for name, metric in scoring.items()}


def _tuned(
    estimator: Any,
    tune_thresholds: bool | Mapping[str, Any],
    metrics: Mapping[str, Scoring],
) -> Any:
    """Return the estimator, or a wrapper that tunes its thresholds."""
    if not isinstance(tune_thresholds, (bool, np.bool_, Mapping)):
        raise ValueError(
            "tune_thresholds must be True, False, or a dict of parameters of "
            f"TunedThresholdsClassifierCV; got {tune_thresholds!r}."
        )
    if isinstance(tune_thresholds, (bool, np.bool_)) and not tune_thresholds:
        return estimator
    exact = [metric for metric in metrics.values() if metric in _TUNABLE]
    params: dict[str, Any] = {"scoring": exact[0] if exact else "f1_macro"}
    if isinstance(tune_thresholds, Mapping):
        params |= tune_thresholds
    return TunedThresholdsClassifierCV(estimator, **params)


def _measure(
    name: str, task: FoldTask, split: Split, scores: Mapping[str, Callable[..., float]]
) -> dict[str, float]:
    """Fit and score one estimator on one split."""
    train, test = split
    try:
        start = time.perf_counter()
        estimator = task.fit_rows(train)
        fitted = time.perf_counter()
        method = response_method_of(estimator, "auto")
        responses = CachedResponses(estimator, task.take(test), method, task.targets)
        predictions = responses.predictions
        predicted = time.perf_counter()
        truth = task.targets.take(test).with_nan()
        row = {
            metric: score(truth, responses.scores, predictions)
            for metric, score in scores.items()
        }
    except Exception as error:
        error.add_note(f"This happened to the estimator {name!r}.")
        raise
    return row | {"fit_time": fitted - start, "predict_time": predicted - fitted}


def _table(
    names: list[str],
    folds: Mapping[str, np.ndarray],
    splits: list[Split],
    confidence: float,
) -> pd.DataFrame:
    """Return the table of scores of shape (n_estimators, n_splits)."""
    columns: dict[tuple[str, str], np.ndarray] = {}
    for metric, values in folds.items():
        columns[metric, "mean"] = values.mean(axis=1)
        columns[metric, "std"] = values.std(axis=1)
        if metric in _TIMES:
            continue
        differences = values - values[0]
        margin = _margin(differences, splits, confidence)
        mean = differences.mean(axis=1)
        columns[metric, "difference"] = mean
        columns[metric, "low"] = mean - margin
        columns[metric, "high"] = mean + margin
    index = pd.Index(names, name="estimator")
    table = pd.DataFrame(columns, index=index)
    table.columns.names = ["metric", "statistic"]
    return table


def _margin(
    differences: np.ndarray, splits: list[Split], confidence: float
) -> np.ndarray:
    """Return half the width of each row's interval; NaN in the first row."""
    n_splits = len(splits)
    margin = np.full(len(differences), np.nan)
    if n_splits > 1:
        ratio = np.mean([len(test) / len(train) for train, test in splits])
        variance = (1 / n_splits + ratio) * differences[1:].var(axis=1, ddof=1)
        quantile = stats.t.ppf((1 + confidence) / 2, n_splits - 1)
        margin[1:] = quantile * np.sqrt(variance)
    return margin

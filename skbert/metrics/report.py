"""Report: one table with the scores of every label and their averages."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skbert.inputs.targets import Targets
from skbert.metrics.checks import Matrix, check_scores, check_truth_and_weight
from skbert.metrics.counts import (
    nan_f1_score,
    nan_precision_score,
    nan_recall_score,
)
from skbert.metrics.ranking import nan_average_precision_score

__all__ = ["multilabel_report"]

_AVERAGES = ("micro", "macro", "weighted", "samples")


def multilabel_report(
    y_true: Matrix,
    y_score: Matrix,
    label_names: ArrayLike | None = None,
    *,
    thresholds: ArrayLike = 0.5,
    sample_weight: ArrayLike | None = None,
) -> pd.DataFrame:
    """Table of the scores of every label, and of their averages.

    The multi-label counterpart of :func:`sklearn.metrics.classification_report`.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities, or other scores of which greater is more likely; finite wherever
        `y_true` is known.
    label_names : array-like of shape (n_labels,), default=None
        None takes the columns of a DataFrame `y_true`, or else "label_0", "label_1"
        and so on.
    thresholds : float or array-like of shape (n_labels,), default=0.5
        A label is predicted where its score reaches its threshold, in float64.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights. A row of weight 0 counts as unknown.

    Returns
    -------
    DataFrame of shape (n_labels + 4, 6)
        A row per label, then the rows "micro", "macro", "weighted" and "samples", the
        averages that :func:`~skbert.metrics.nan_f1_score` and
        :func:`~skbert.metrics.nan_average_precision_score` describe. The columns:

        - support: number of known positives, int64; with `sample_weight` their weight,
          float64. In the rows of averages it is the sum.
        - threshold: nan in the rows of averages.
        - precision, recall, f1: 0 where the denominator is 0, nan for a label of which
          nothing is known.
        - average_precision: of `y_score`, so that no threshold has a part in it; nan
          for a label without a known positive.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN, a score is not
        finite where `y_true` is known, a weight is negative, a threshold is not
        finite, or a label name occurs twice or is that of an average.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.metrics import multilabel_report
    >>> y = np.array([[1, 0], [np.nan, 1], [0, 1], [1, 1]])
    >>> P = np.array([[0.9, 0.3], [0.6, 0.8], [0.7, 0.4], [0.6, 0.9]])
    >>> multilabel_report(y, P, ["bill", "bug"])[["support", "precision", "recall"]]
              support  precision    recall
    bill            2   0.666667  1.000000
    bug             3   1.000000  0.666667
    micro           5   0.800000  0.800000
    macro           5   0.833333  0.833333
    weighted        5   0.866667  0.800000
    samples         5   0.750000  0.750000
    """
    truth, weight = check_truth_and_weight(y_true, sample_weight)
    scores = check_scores(y_score, truth)
    names = _check_names(label_names, truth)
    cuts = _check_thresholds(thresholds, truth.n_labels)
    known = truth.with_nan()
    pred = (scores >= cuts).astype(np.int64)
    support = truth.positives.astype(np.int64)
    if sample_weight is not None:
        support = weight @ truth.values
    n_averages = len(_AVERAGES)
    columns = {
        "support": np.append(support, [support.sum()] * n_averages),
        "threshold": np.append(cuts, [np.nan] * n_averages),
    }
    for name, score, answers in (
        ("precision", nan_precision_score, pred),
        ("recall", nan_recall_score, pred),
        ("f1", nan_f1_score, pred),
        ("average_precision", nan_average_precision_score, scores),
    ):
        of = partial(score, known, answers, sample_weight=sample_weight)
        columns[name] = np.hstack([of(average=a) for a in (None, *_AVERAGES)])
    return pd.DataFrame(columns, index=pd.Index([*names, *_AVERAGES], dtype=object))


def _check_names(label_names: ArrayLike | None, truth: Targets) -> list[str]:
    if label_names is None:
        names = truth.names.tolist()
    else:
        names = [str(name) for name in np.asarray(label_names, dtype=object).ravel()]
    if len(names) != truth.n_labels:
        raise ValueError(
            f"label_names has {len(names)} name(s), but y_true has {truth.n_labels} "
            "label(s)."
        )
    for i, name in enumerate(names):
        if name in _AVERAGES:
            raise ValueError(
                f"A label is called {name!r}, like one of the rows of averages. Pass "
                "label_names with another name for it."
            )
        if name in names[:i]:
            raise ValueError(
                f"label_names holds {name!r} twice; label names must be unique."
            )
    return names


def _check_thresholds(thresholds: ArrayLike, n_labels: int) -> np.ndarray:
    cuts = np.asarray(thresholds, dtype=np.float64)
    if cuts.shape not in ((), (n_labels,)):
        raise ValueError(
            f"thresholds has shape {cuts.shape}, but there are {n_labels} label(s): it "
            f"must be a number or have shape ({n_labels},)."
        )
    if not np.isfinite(cuts).all():
        raise ValueError("thresholds must hold finite numbers.")
    return np.full(n_labels, cuts)

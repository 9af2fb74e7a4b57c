"""Thresholds from known labels and scores."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from skbert.base.outputs import check_label_order
from skbert.inputs.arguments import check_sample_weight
from skbert.inputs.targets import Targets, encode_targets
from skbert.metrics import Matrix
from skbert.runtime.warn import warn_user
from skbert.thresholds.curves import Domain
from skbert.thresholds.exact import (
    TuningData,
    best_per_label,
    best_shared,
    tunable_labels,
)
from skbert.thresholds.objectives import Objective, resolve_objective

__all__ = [
    "DEFAULT_SHRINKAGE",
    "check_tunable",
    "find_thresholds",
    "shrink",
    "tune_exactly",
    "tuning_data",
    "warn_of_missing",
]

# Chosen on development data alone: see "Rare labels" in docs/thresholds.rst.
DEFAULT_SHRINKAGE = 20.0

_DOMAINS = {
    "predict_proba": Domain(),
    "decision_function": Domain(-np.inf, np.inf),
}
_NAMES_IN_A_WARNING = 10
_ROUNDING = 1e-9
_LARGEST_WEIGHT = 1e100


@validate_params(
    {
        "y_true": "no_validation",
        "y_score": "no_validation",
        "scoring": "no_validation",
        "scoring_params": [dict, None],
        "per_label": ["boolean"],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "response_method": [StrOptions({"predict_proba", "decision_function"})],
        "sample_weight": "no_validation",
    },
    prefer_skip_nested_validation=True,
)
def find_thresholds(
    y_true: Matrix,
    y_score: Matrix,
    *,
    scoring: str = "f1_macro",
    scoring_params: dict | None = None,
    per_label: bool = True,
    shrinkage: float = DEFAULT_SHRINKAGE,
    response_method: str = "predict_proba",
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Find the thresholds with the best score on given data, exactly.

    The data should be new to the model that scored it: a development set, or
    out-of-fold predictions, which :class:`TunedThresholdsClassifierCV` makes.

    Parameters
    ----------
    y_true : array-like, sparse matrix or DataFrame of shape (n_samples, n_labels)
        0, 1 or NaN (unknown: the cell does not count).
    y_score : array-like of shape (n_samples, n_labels)
        Probabilities or decision values.
    scoring : str, default="f1_macro"
        What to maximize: "f1_macro", "f1_micro", "f1_weighted"; the same with
        ``"fbeta_"`` and ``"jaccard_"`` for ``"f1_"``; "balanced_accuracy" (the mean
        over the labels); "precision_at_recall", the precision among the thresholds
        with at least the required recall, and "recall_at_precision", both per label.
    scoring_params : dict, default=None
        ``{"beta": 2.0}`` for the ``"fbeta_"`` names, ``{"recall": 0.8}`` for
        "precision_at_recall", ``{"precision": 0.9}`` for "recall_at_precision".
    per_label : bool, default=True
        A threshold per label, or else one for all of them.
    shrinkage : float, default=20.0
        Weight of the best shared threshold, as a number of positives. A label with n
        positives gets ``w * own + (1 - w) * shared`` with
        ``w = n / (n + shrinkage)``, in log-odds for probabilities. 0 switches shrinkage
        off. It is also off if `scoring` has a requirement, because a moved threshold
        would miss it.
    response_method : {"predict_proba", "decision_function"}, default="predict_proba"
        What `y_score` holds. Thresholds of probabilities lie between 0 and 1.
    sample_weight : array-like of shape (n_samples,), default=None
        A row of weight 2 counts like two rows.

    Returns
    -------
    ndarray of shape (n_labels,), float64
        A label is predicted where its score is at least its threshold.

    Raises
    ------
    ValueError
        If shapes differ, `y_true` holds anything but 0, 1 and NaN or no 1 at all, a
        score is not finite or no probability, or `scoring` is unknown.
    TypeError
        If `scoring_params` does not fit `scoring`.

    Warns
    -----
    UserWarning
        Once, with the names of all labels without a known positive. They get the
        shared threshold.

    See Also
    --------
    TunedThresholdsClassifierCV : Tunes the thresholds of an estimator, out of fold.

    Notes
    -----
    All distinct scores are candidates, so the result is the optimum on the data before
    shrinkage. For "micro" scores, the thresholds of all labels are optimized together
    by Dinkelbach's method [1]_. For other scores, each label is optimized by itself.
    Labels without a positive are left out.

    A threshold lies in the middle between the lowest score that is predicted and the
    next lower one. If several are equally good, the strictest is taken. If none has the
    required precision, nothing is predicted. Thresholds of probabilities are at most 1,
    so a probability of exactly 1 is always predicted.

    With few positives, the best threshold is mostly chance. The weight w is Bühlmann's
    credibility factor [2]_. It gives the best linear estimate of a label's value from n
    noisy observations and the mean of all labels, if `shrinkage` is the variance of one
    observation divided by the variance between labels.

    References
    ----------
    .. [1] W. Dinkelbach, "On Nonlinear Fractional Programming", Management Science 13,
       1967.
    .. [2] H. Bühlmann, "Experience Rating and Credibility", ASTIN Bulletin 4, 1967.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.thresholds import find_thresholds
    >>> y = np.array([[1, 0], [1, 1], [0, 0], [0, 0]])
    >>> proba = np.array([[0.3, 0.6], [0.4, 0.8], [0.1, 0.2], [0.2, 0.1]])
    >>> find_thresholds(y, proba, shrinkage=0)
    array([0.25, 0.7 ])
    >>> find_thresholds(y, proba, per_label=False)
    array([0.25, 0.25])
    """
    objective = resolve_objective(scoring, scoring_params)
    targets = encode_targets(y_true)
    check_label_order(targets, getattr(y_score, "columns", None), "y_score")
    data = tuning_data(targets, y_score, response_method, sample_weight)
    return tune_exactly(data, objective, per_label=per_label, shrinkage=shrinkage)


def tuning_data(
    targets: Targets,
    y_score: Any,
    response_method: str = "predict_proba",
    sample_weight: ArrayLike | None = None,
) -> TuningData:
    """Check the scores and leave out rows of weight 0.

    Parameters
    ----------
    targets : Targets
    y_score, response_method, sample_weight
        See :func:`find_thresholds`. Scores of a single label may have one dimension.

    Returns
    -------
    TuningData

    Raises
    ------
    ValueError
    """
    scores = np.asarray(y_score, dtype=np.float64)
    if scores.ndim == 1 and targets.n_labels == 1:
        scores = scores[:, np.newaxis]
    if scores.shape != targets.values.shape:
        raise ValueError(
            f"The scores have shape {scores.shape}, y has {targets.values.shape}; they "
            "must be the same."
        )
    _check_scores(scores[targets.known], response_method)
    if response_method == "predict_proba":
        scores = np.clip(scores, 0.0, 1.0)
    data = TuningData(targets, scores, domain=_DOMAINS[response_method])
    weight = check_sample_weight(sample_weight, len(targets), "sample_weight")
    if weight is None:
        return data
    if weight.max() > _LARGEST_WEIGHT:
        raise ValueError(
            f"sample_weight goes up to {weight.max():g}; sums of such weights "
            "overflow. Divide them by their mean."
        )
    data = replace(data, weight=weight)
    return data if weight.all() else data.take(np.flatnonzero(weight))


def _check_scores(scores: np.ndarray, response_method: str) -> None:
    if not np.isfinite(scores).all():
        raise ValueError("The scores contain NaN or infinity where y is known.")
    # Voting classifiers add up probabilities, and the sums have rounding errors.
    outside = (scores < -_ROUNDING) | (scores > 1 + _ROUNDING)
    if response_method == "predict_proba" and outside.any():
        raise ValueError(
            "The scores are not all between 0 and 1. If they are decision values, pass "
            "response_method='decision_function'."
        )


def tune_exactly(
    data: TuningData, objective: Objective, *, per_label: bool, shrinkage: float
) -> np.ndarray:
    """Find the best thresholds and shrink them.

    Parameters
    ----------
    data : TuningData
    objective : Objective
    per_label : bool
    shrinkage : float

    Returns
    -------
    ndarray of shape (n_labels,), float64

    Raises
    ------
    ValueError
        If there is no positive at all.

    Warns
    -----
    UserWarning
        If labels get the shared threshold because they have no positive.
    """
    check_tunable(data, objective)
    if per_label:
        # A threshold that is moved would miss its requirement.
        strength = shrinkage if objective.allows is None else 0.0
        own = best_per_label(data, objective)
        warn_of_missing(data, np.isnan(own))
        thresholds = own
        if strength > 0 or np.isnan(own).any():
            shared = best_shared(data, objective)
            thresholds = shrink(own, shared, data.positives, strength, data.domain)
    else:
        thresholds = np.full(data.targets.n_labels, best_shared(data, objective))
    return thresholds


def check_tunable(data: TuningData, objective: Objective) -> None:
    """Check that at least one threshold can be tuned.

    Raises
    ------
    ValueError
        If no label has the known cells that the score needs.
    """
    if len(tunable_labels(data, objective)) == 0:
        needs = (
            "a known positive and a known negative"
            if objective.name == "balanced_accuracy"
            else "a known positive"
        )
        raise ValueError(
            f"No label has {needs}, which {objective.name!r} needs, so no threshold "
            "can be chosen. Pass more rows."
        )


def warn_of_missing(data: TuningData, missing: np.ndarray) -> None:
    """Warn that some labels have no threshold of their own."""
    names = data.targets.names[missing]
    if len(names) == 0:
        return
    shown = ", ".join(map(repr, names[:_NAMES_IN_A_WARNING]))
    more = len(names) - _NAMES_IN_A_WARNING
    warn_user(
        f"{len(names)} label(s) have no positive, or nothing else, in the tuning data "
        "and get the threshold that is best for all labels together: "
        f"{shown}{f' and {more} more' if more > 0 else ''}.",
    )


def shrink(
    own: np.ndarray,
    shared: float,
    positives: np.ndarray,
    shrinkage: float,
    domain: Domain,
) -> np.ndarray:
    """Move thresholds toward the shared one, those of rare labels the furthest.

    Parameters
    ----------
    own : ndarray of shape (n_labels,)
        Best threshold of each label. nan is replaced by `shared`.
    shared : float
    positives : ndarray of shape (n_labels,)
        Number of positives, or their weight if rows have weights.
    shrinkage : float
        Weight of the shared threshold, as a number of positives.
    domain : Domain

    Returns
    -------
    ndarray of shape (n_labels,), float64
    """
    missing = np.isnan(own)
    weight = np.where(
        missing, 0.0, positives / np.maximum(positives + shrinkage, 1e-300)
    )
    own = np.where(missing, shared, own)
    moved = weight * own + (1 - weight) * shared
    if not np.isinf(domain.high):
        ends = np.array([own, np.full_like(own, shared)])
        # 0 and 1 have infinite log-odds, so their mean is taken as it is.
        inside = np.all((ends > 0) & (ends < 1), axis=0)
        log_odds = logit(np.where(inside, ends, 0.5))
        mean = expit(weight * log_odds[0] + (1 - weight) * log_odds[1])
        moved = np.where(inside, mean, moved)
    # Undo rounding errors of the log-odds.
    moved = np.clip(moved, np.minimum(own, shared), np.maximum(own, shared))
    return np.where(weight == 1, own, np.where(weight == 0, shared, moved))

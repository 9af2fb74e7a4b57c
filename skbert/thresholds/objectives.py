"""Scores whose best thresholds can be found exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from inspect import Parameter, signature
from numbers import Real
from typing import Any

import numpy as np

from skbert.inputs.targets import Targets

__all__ = ["Counts", "Objective", "count", "objective_names", "resolve_objective"]


@dataclass(frozen=True)
class Counts:
    """Weighted numbers of cells of a label, or of all labels together.

    Attributes
    ----------
    tp, predicted : float or ndarray
        True positives, and all predicted cells.
    positives, total : float or ndarray
        Known positives, and all known cells.
    """

    tp: Any
    predicted: Any
    positives: Any
    total: Any

    def at(self, cuts: Any) -> Counts:
        """Return the counts of some cuts of a curve."""
        return replace(self, tp=self.tp[cuts], predicted=self.predicted[cuts])

    def sum(self) -> Counts:
        """Return the sums over the labels, which are the last axis."""
        parts = (self.tp, self.predicted, self.positives, self.total)
        return Counts(*(np.sum(part, axis=-1) for part in parts))


def count(
    targets: Targets, chosen: np.ndarray, weight: np.ndarray | None = None
) -> Counts:
    """Count the cells of a prediction for each label.

    Parameters
    ----------
    targets : Targets
    chosen : ndarray of shape (n_samples, n_labels), bool
    weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    Counts
        Arrays of shape (n_labels,), float64.
    """
    rows = np.ones(len(targets)) if weight is None else weight
    known_and_chosen = targets.known & chosen
    return Counts(
        tp=rows @ (targets.values * known_and_chosen),
        predicted=rows @ known_and_chosen,
        positives=rows @ targets.values,
        total=rows @ targets.known,
    )


@dataclass(frozen=True)
class Objective:
    """A score that is computed from counts.

    Attributes
    ----------
    name : str
    average : {"macro", "weighted", "micro"}
    value : callable
        Function of `Counts` that returns the score elementwise, nan if undefined.
    allows : callable or None
        Function of `Counts` that tells which cuts meet the requirement. None means
        that there is no requirement.
    beta : float
        Beta of F-beta scores. 1 for Jaccard, which has the same best cuts as F1.
    """

    name: str
    average: str
    value: Callable[[Counts], Any]
    allows: Callable[[Counts], Any] | None = None
    beta: float = 1.0

    def score(self, counts: Counts) -> float:
        """Return the score over all labels from the counts of each label."""
        if self.average == "micro":
            return float(self.value(counts.sum()))
        weight = self.label_weights(counts)
        if not weight.any():
            return float("nan")
        return float(np.average(np.nan_to_num(self.value(counts)), weights=weight))

    def label_weights(self, counts: Counts) -> np.ndarray:
        """Return the weight of each label in the mean, 0 if its score is undefined."""
        values = np.asarray(self.value(counts))
        defined = ~np.isnan(values) & (np.asarray(counts.total) > 0)
        if self.average == "weighted" and np.any(counts.positives):
            return np.where(defined, counts.positives, 0.0)
        return defined.astype(np.float64)


# --- the scores ----------------------------------------------------------------------


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Return the quotient, 0 where the denominator is 0, as scikit-learn does."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(
        numerator, denominator, out=np.zeros(shape), where=np.asarray(denominator) > 0
    )


def _fbeta(counts: Counts, beta: float) -> np.ndarray:
    square = beta * beta
    return _ratio(
        (1 + square) * counts.tp, counts.predicted + square * counts.positives
    )


def _jaccard(counts: Counts) -> np.ndarray:
    return _ratio(counts.tp, counts.predicted + counts.positives - counts.tp)


def _precision(counts: Counts) -> np.ndarray:
    return _ratio(counts.tp, counts.predicted)


def _recall(counts: Counts) -> np.ndarray:
    return _ratio(counts.tp, counts.positives)


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    negatives = np.asarray(counts.total - counts.positives)
    true_negatives = negatives - (counts.predicted - counts.tp)
    value = (_recall(counts) + _ratio(true_negatives, negatives)) / 2
    both = (np.asarray(counts.positives) > 0) & (negatives > 0)
    return np.where(both, value, np.nan)


# A recall of 0.8 for 5 positives means 4 of them, even if 0.8 * 5 is rounded up.
_ROUNDING = 1e-12


def _has_recall(counts: Counts, recall: float) -> np.ndarray:
    return _recall(counts) >= recall - _ROUNDING


def _has_precision(counts: Counts, precision: float) -> np.ndarray:
    # Without predictions, no prediction is wrong.
    nothing = np.asarray(counts.predicted) == 0
    return nothing | (_precision(counts) >= precision - _ROUNDING)


# --- names ---------------------------------------------------------------------------


def _f1(name: str, average: str) -> Objective:
    return Objective(name, average, partial(_fbeta, beta=1.0))


def _fbeta_of(name: str, average: str, *, beta: float) -> Objective:
    beta = _positive("beta", beta)
    return Objective(name, average, partial(_fbeta, beta=beta), beta=beta)


def _jaccard_of(name: str, average: str) -> Objective:
    return Objective(name, average, _jaccard)


def _balanced(name: str, average: str) -> Objective:
    return Objective(name, average, _balanced_accuracy)


def _precision_at_recall(name: str, average: str, *, recall: float) -> Objective:
    allows = partial(_has_recall, recall=_share("recall", recall))
    return Objective(name, average, _precision, allows)


def _recall_at_precision(name: str, average: str, *, precision: float) -> Objective:
    allows = partial(_has_precision, precision=_share("precision", precision))
    return Objective(name, average, _recall, allows)


_AVERAGES = ("macro", "micro", "weighted")
_OBJECTIVES: dict[str, tuple[Callable[..., Objective], str]] = {
    **{f"f1_{average}": (_f1, average) for average in _AVERAGES},
    **{f"fbeta_{average}": (_fbeta_of, average) for average in _AVERAGES},
    **{f"jaccard_{average}": (_jaccard_of, average) for average in _AVERAGES},
    "balanced_accuracy": (_balanced, "macro"),
    "precision_at_recall": (_precision_at_recall, "macro"),
    "recall_at_precision": (_recall_at_precision, "macro"),
}


def objective_names() -> list[str]:
    """Return the names for :func:`resolve_objective`."""
    return list(_OBJECTIVES)


def resolve_objective(scoring: Any, params: dict | None = None) -> Objective:
    """Return the objective of a name.

    Parameters
    ----------
    scoring : str
        "f1_", "fbeta_" or "jaccard_" with "macro", "micro" or "weighted",
        "balanced_accuracy", "precision_at_recall" or "recall_at_precision".
    params : dict, default=None
        ``{"beta": 2.0}`` for the "fbeta_" names. The requirement ``{"recall": 0.8}`` or
        ``{"precision": 0.9}`` for the last two names.

    Raises
    ------
    ValueError
        If the name is unknown or a parameter is out of range.
    TypeError
        If a parameter is missing or superfluous.
    """
    if not isinstance(scoring, str) or scoring not in _OBJECTIVES:
        close = get_close_matches(str(scoring), _OBJECTIVES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"The best thresholds for scoring={scoring!r} cannot be found exactly; "
            f"method='exact' knows {', '.join(_OBJECTIVES)}.{hint} For any other score "
            "use method='optuna'."
        )
    make, average = _OBJECTIVES[scoring]
    _check_params(scoring, make, params or {})
    return make(scoring, average, **(params or {}))


def _check_params(scoring: str, make: Callable, params: dict) -> None:
    takes = [
        name
        for name, parameter in signature(make).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    ]
    if set(params) != set(takes):
        wanted = ", ".join(f"{name!r}: ..." for name in takes)
        raise TypeError(
            f"scoring={scoring!r} takes "
            + (f"scoring_params={{{wanted}}}" if takes else "no scoring_params")
            + f"; got {params!r}."
        )


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, Real) or not 1e-6 <= float(value) <= 1e6:
        raise ValueError(
            f"scoring_params[{name!r}] must be between 1e-6 and 1e6; got {value!r}."
        )
    return float(value)


def _share(name: str, value: Any) -> float:
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(
            f"scoring_params[{name!r}] must be between 0 and 1; got {value!r}."
        )
    return float(value)

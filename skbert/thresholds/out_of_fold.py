"""Tuning of thresholds on out-of-fold scores, by either method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from skbert.inputs.targets import Targets
from skbert.metrics.scorers import resolve_scoring
from skbert.model_selection.folds import HeldOut
from skbert.thresholds.exact import (
    TuningData,
    best_per_label,
    best_shared,
    tunable_labels,
)
from skbert.thresholds.objectives import (
    Objective,
    count,
    objective_names,
    resolve_objective,
)
from skbert.thresholds.sampled import SampledSearch, search_thresholds
from skbert.thresholds.tuning import (
    check_tunable,
    tune_exactly,
    tuning_data,
    warn_of_missing,
)

if TYPE_CHECKING:
    import optuna

__all__ = ["TunedThresholds", "make_tuner", "tuning_parts"]

_F1 = resolve_objective("f1_macro")


@dataclass(frozen=True)
class TunedThresholds:
    """Thresholds, and their scores on the data that they were tuned on.

    Attributes
    ----------
    thresholds : ndarray of shape (n_labels,), float64
    score : float
    label_results : dict of ndarrays of shape (n_labels,)
    study : optuna.Study or None
    """

    thresholds: np.ndarray
    score: float
    label_results: dict[str, np.ndarray]
    study: optuna.Study | None = None


def tuning_parts(
    held_out: Sequence[HeldOut],
    targets: Targets,
    method: str,
    weight: np.ndarray | None,
) -> list[TuningData]:
    """Return the tuning data of each split.

    A row that several splits hold out has a total weight of 1.
    """
    times = np.bincount(np.concatenate([part.rows for part in held_out]))
    if weight is None and times.max() > 1:
        weight = np.ones(len(targets))
    parts = []
    for part in held_out:
        weight_of_part = None
        if weight is not None:
            weight_of_part = weight[part.rows] / times[part.rows]
        truth = targets.take(part.rows)
        parts.append(tuning_data(truth, part.scores, method, weight_of_part))
    return parts


def make_tuner(estimator: Any) -> Callable[[list[TuningData]], TunedThresholds]:
    """Check the parameters of the estimator and return a function that tunes.

    Parameters
    ----------
    estimator : TunedThresholdsClassifierCV

    Returns
    -------
    callable
        Function of the tuning data of all splits that returns `TunedThresholds`.

    Raises
    ------
    TypeError, ValueError
        If `scoring` is unknown or `scoring_params` do not fit it.
    """
    if estimator.method == "exact":
        objective = resolve_objective(estimator.scoring, estimator.scoring_params)
        return _ExactTuner(objective, bool(estimator.per_label), estimator.shrinkage)
    search = SampledSearch(
        n_trials=estimator.n_trials,
        timeout=estimator.timeout,
        study=estimator.study,
        sampler=estimator.sampler,
        seed=_seed(estimator.random_state),
        progress=bool(estimator.verbose),
    )
    if isinstance(estimator.scoring, str) and estimator.scoring in objective_names():
        objective = resolve_objective(estimator.scoring, estimator.scoring_params)
        if objective.allows is not None:
            raise ValueError(
                f"scoring={estimator.scoring!r} has a requirement, which "
                "method='optuna' does not know; use method='exact'."
            )
        return _SamplingTuner(search, objective=objective)
    if estimator.scoring_params:
        raise TypeError(
            f"scoring={estimator.scoring!r} takes no scoring_params; got "
            f"{estimator.scoring_params!r}."
        )
    return _SamplingTuner(search, scorer=resolve_scoring(estimator.scoring))


def _seed(random_state: int | np.random.RandomState | None) -> int | None:
    if random_state is None:
        return None
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@dataclass(frozen=True)
class _ExactTuner:
    objective: Objective
    per_label: bool
    shrinkage: float

    def __call__(self, parts: list[TuningData]) -> TunedThresholds:
        data = pool(parts)
        thresholds = tune_exactly(
            data, self.objective, per_label=self.per_label, shrinkage=self.shrinkage
        )
        score = self.objective.score(_counts(data, thresholds))
        results = _label_results(parts, data, thresholds, self.objective)
        return TunedThresholds(thresholds, score, results)


@dataclass(frozen=True)
class _SamplingTuner:
    search: SampledSearch
    objective: Objective | None = None
    scorer: Callable[..., float] | None = None

    def __call__(self, parts: list[TuningData]) -> TunedThresholds:
        data = pool(parts)
        objective = self.objective or _F1
        check_tunable(data, objective)
        starts = self._starts(data)
        thresholds, study = search_thresholds(
            data,
            lambda thresholds: self._score(data, thresholds),
            tunable_labels(data, objective),
            starts,
            self.search,
        )
        results = _label_results(parts, data, thresholds, objective)
        score = self._score(data, thresholds)
        return TunedThresholds(thresholds, score, results, study)

    def _starts(self, data: TuningData) -> list[np.ndarray]:
        """Return the best thresholds for this score, or for two F1 scores."""
        objectives = (
            [resolve_objective("f1_macro"), resolve_objective("f1_micro")]
            if self.objective is None
            else [self.objective]
        )
        starts = []
        for number, objective in enumerate(objectives):
            own = best_per_label(data, objective)
            if number == 0:
                warn_of_missing(data, np.isnan(own))
            shared = best_shared(data, objective)
            starts.append(np.where(np.isnan(own), shared, own))
            starts.append(np.full(len(own), shared))
        return starts

    def _score(self, data: TuningData, thresholds: np.ndarray) -> float:
        if self.objective is not None:
            return self.objective.score(_counts(data, thresholds))
        assert self.scorer is not None  # one of the two is always given
        return self.scorer(
            data.targets.with_nan(),
            data.scores,
            data.scores >= thresholds,
            sample_weight=data.weight,
        )


def pool(parts: list[TuningData]) -> TuningData:
    """Concatenate the tuning data of all splits."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    targets = replace(
        first.targets,
        values=np.concatenate([part.targets.values for part in parts]),
        known=np.concatenate([part.targets.known for part in parts]),
    )
    weight = None
    if first.weight is not None:
        weight = np.concatenate([part.weight for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    return TuningData(targets, scores, weight, first.domain)


def _counts(data: TuningData, thresholds: np.ndarray):
    return count(data.targets, data.scores >= thresholds, data.weight)


def _label_results(
    parts: list[TuningData],
    data: TuningData,
    thresholds: np.ndarray,
    objective: Objective,
) -> dict[str, np.ndarray]:
    """Return the columns of `cv_results_`, label by label."""
    scores = np.array([_label_scores(part, thresholds, objective) for part in parts])
    own = np.array([best_per_label(part, objective) for part in parts])
    return {
        "threshold": thresholds.copy(),
        "score": _label_scores(data, thresholds, objective),
        **{f"split{i}_score": row for i, row in enumerate(scores)},
        "mean_score": _over_splits(np.mean, scores),
        "std_score": _over_splits(np.std, scores),
        "std_threshold": _over_splits(np.std, own),
        "support": np.rint(data.positives).astype(np.int64),
    }


def _label_scores(
    data: TuningData, thresholds: np.ndarray, objective: Objective
) -> np.ndarray:
    """Return the score of each label, nan if it is undefined or has no positive."""
    values = np.asarray(objective.value(_counts(data, thresholds)))
    return np.where(data.targets.positives > 0, values, np.nan)


def _over_splits(statistic: Callable, rows: np.ndarray) -> np.ndarray:
    """Return a statistic of each column, without nan; nan if nothing is left."""
    columns = [column[~np.isnan(column)] for column in rows.T]
    return np.array([statistic(c) if len(c) else np.nan for c in columns])

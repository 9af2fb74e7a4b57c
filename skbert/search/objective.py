"""Search: an estimator, its parameters' ranges and data -> an objective for Optuna."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import joblib
import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from scipy.special import expit
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils import _safe_indexing, indexable

from skbert.base.responses import CachedResponses, predicted_matrix
from skbert.classifier import TransformerMultiLabelClassifier
from skbert.inputs.targets import Targets, encode_targets
from skbert.metrics.scorers import resolve_scoring
from skbert.model_selection.fold_checks import check_folds, describe_fold
from skbert.model_selection.folds import check_all_rows, make_splits
from skbert.runtime.interrupt import interrupts_raised
from skbert.runtime.warn import warn_user
from skbert.search.space import check_space, most_epochs, split_steps, suggest_params
from skbert.search.study import NOT_RUN
from skbert.training.callbacks import EpochReports
from skbert.training.fit_plan import tokens_for

__all__ = ["CrossValidationObjective"]

# Study attribute that tells whether two processes score the same thing.
_FINGERPRINT = "skbert_folds"

_LONGEST_REASON = 2000  # characters; databases cut or refuse long attributes


class CrossValidationObjective:
    """The mean score over fixed folds, for :meth:`optuna.Study.optimize`.

    Each trial clones the estimator, sets the parameters that Optuna suggests, and fits
    and scores it on one fold after the other. For a
    :class:`~skbert.TransformerMultiLabelClassifier`, each epoch is scored on the
    held-out rows and reported, so that a pruner can stop bad trials early. Other
    estimators report once for each fold.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a Pipeline that ends in one. It is never changed.
    space : mapping of str to optuna.distributions.BaseDistribution
        Distribution of each parameter, by its scikit-learn path, such as
        ``"classifier__learning_rate"``.
    X : sequence of length n
        Input of the estimator; texts for the classifiers of this package.
    y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
        0, 1, or NaN if a label is unknown; or two classes in one dimension.
    cv : int, float, splitter or iterable of (train, test), default=5
        An int is the number of shuffled, multi-label stratified folds. A float is the
        share of one stratified held-out part. The splits are made once and are the
        same for all trials.
    scoring : str or callable, default="average_precision"
        Score to maximize. See :func:`skbert.metrics.resolve_scoring`.
    random_state : int, default=None
        Seed of the folds if `cv` is a number. None is 0, so that several processes
        have the same folds.
    error_score : float("nan") or "raise", default=nan
        What happens if the fit or the score of a trial fails. With nan, there is a
        warning, Optuna records the trial as failed and the study continues. "raise"
        ends the study. Pruning and Ctrl-C are not failures.

    Attributes
    ----------
    folds : list of (train, test)
        Row numbers, ndarrays of dtype int64.

    Raises
    ------
    TypeError, ValueError
        If a path or the score is unknown, X and y have different lengths, the training
        rows of a fold hold one class only, or the score is not defined on the held-out
        rows of a fold.

    Notes
    -----
    The held-out rows are used for scores only. They are not passed to `fit` as
    validation data, because then they would choose the best epoch that they judge. To
    choose the best epoch, set ``validation_fraction`` of the classifier, which takes
    training rows only.

    After epoch e of fold k, the objective reports the mean of the final scores of
    earlier folds and of the score of this epoch, at step ``k * n + e - 1``. Here n is
    the largest number of epochs that a trial can have, so that a step means the same in
    all trials. A trial is not pruned at its last step.

    If the classifier has a `checkpoint_dir` and the process of a trial is killed, the
    trial that repeats it continues in the interrupted fold and reaches the same value.
    The earlier epochs of that fold stay reported in the trial that was killed.

    A trial keeps the user attributes "fold_scores" and, if it failed, "error".

    Several processes can work on one study. See :func:`skbert.open_study` and
    :func:`skbert.run_trials`. The first trial stores a checksum of the folds, y and the
    scoring in the study, and a process with others gets an error.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> from skbert import make_tfidf_baseline
    >>> from skbert.search import CrossValidationObjective
    >>> from skbert import open_study
    >>> texts = ["a wrong bill", "it crashes", "hello", "a crash and a bill"] * 4
    >>> y = [[1, 0], [0, 1], [0, 0], [1, 1]] * 4
    >>> objective = CrossValidationObjective(
    ...     make_tfidf_baseline(),
    ...     {
    ...         "binaryrelevanceclassifier__estimator__C": FloatDistribution(
    ...             0.1, 100, log=True
    ...         )
    ...     },
    ...     texts,
    ...     y,
    ...     cv=2,
    ...     scoring="f1_micro",
    ... )
    >>> study = open_study(None, "tf-idf")
    >>> study.optimize(objective, n_trials=2)
    >>> print(f"{study.best_value:.2f}")
    1.00
    >>> objective.best_estimator(study).predict(["the bill"])
    array([[1, 0]])
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        space: Mapping[str, BaseDistribution],
        X: Any,
        y: Any,
        *,
        cv: int | float | Any | Iterable[tuple[Any, Any]] = 5,
        scoring: str | Callable[..., float] = "average_precision",
        random_state: int | None = None,
        error_score: float | str = np.nan,
    ) -> None:
        check_space(space, estimator)
        _check_error_score(error_score)
        self.estimator = estimator
        self.space = dict(space)
        self.scoring = scoring
        self.error_score = error_score
        self._score = resolve_scoring(scoring)
        self._targets = encode_targets(y)
        check_all_rows(estimator, X)
        self.X, self.y = indexable(X, y)
        self.folds = make_splits(
            cv, self.X, self.y, shuffle=True, random_state=random_state or 0
        )
        check_folds(self.folds, self._targets, scoring, self._score)
        self._epochs_per_fold = most_epochs(estimator, self.space)

    # --- a trial --------------------------------------------------------------------

    def __call__(self, trial: optuna.Trial) -> float:
        """Run one trial.

        Parameters
        ----------
        trial : optuna.Trial

        Returns
        -------
        float
            The mean of the folds' scores; nan if the trial failed.

        Raises
        ------
        optuna.TrialPruned
            If the pruner stops the trial.
        KeyboardInterrupt
            On Ctrl-C. (A classifier's `fit` by itself warns and returns.)
        ValueError
            If the study is minimized, or was started with other folds, y or scoring.
        """
        self._check_study(trial)
        params = suggest_params(trial, self.space)
        ending: optuna.TrialPruned | str
        try:
            return self._cross_validate(trial, params)
        except KeyboardInterrupt:
            trial.set_user_attr(NOT_RUN, "interrupted")
            raise
        except optuna.TrialPruned as pruned:
            ending = optuna.TrialPruned(str(pruned))
        except Exception as error:
            ending = _reason(error)
            trial.set_user_attr("error", ending)
            if self.error_score == "raise":
                raise
        # The traceback of the exception, which is gone now, kept the fit alive.
        _release_memory()
        if isinstance(ending, optuna.TrialPruned):
            raise ending
        warn_user(
            f"Trial {trial.number} failed and is recorded as such: {ending}",
            FitFailedWarning,
        )
        return float("nan")

    def _check_study(self, trial: optuna.Trial) -> None:
        study = getattr(trial, "study", None)
        if study is None:
            return  # an optuna.trial.FixedTrial has no study
        if study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError(
                "The study is not maximized, but a greater score is better. Create it "
                "with direction='maximize', as skbert.open_study does."
            )
        # A callable may count its calls.
        scoring = self.scoring if isinstance(self.scoring, str) else "callable"
        targets = self._targets
        mine = joblib.hash((self.folds, targets.values, targets.known, scoring))
        known = study.user_attrs.get(_FINGERPRINT)
        if known is None:
            study.set_user_attr(_FINGERPRINT, mine)
        elif known != mine:
            raise ValueError(
                f"The study {study.study_name!r} was begun with other folds, y or "
                "scoring, so that its scores cannot be compared with these. Pass the "
                "same ones (a splitter needs a random_state), or choose another "
                "study_name."
            )

    def _cross_validate(self, trial: optuna.Trial, params: dict[str, Any]) -> float:
        scores: list[float] = []
        for number in range(len(self.folds)):
            try:
                scores.append(self._run_fold(trial, params, scores))
            except optuna.TrialPruned:
                raise
            except Exception as error:
                error.add_note(describe_fold(self.folds, self._targets, number))
                raise
            trial.set_user_attr("fold_scores", scores)
        return float(np.mean(scores))

    def _run_fold(
        self, trial: optuna.Trial, params: dict[str, Any], finished: list[float]
    ) -> float:
        number = len(finished)
        train, test = self.folds[number]
        model = clone(self.estimator).set_params(**params)
        X_train, y_train = (_safe_indexing(data, train) for data in (self.X, self.y))
        X_test, truth = _safe_indexing(self.X, test), self._targets.take(test)
        steps, last = split_steps(model)
        by_epoch = isinstance(last, TransformerMultiLabelClassifier)
        if by_epoch:
            if steps is not None:
                X_train = steps.fit_transform(X_train, y_train)
                X_test = steps.transform(X_test)
            report = partial(self._report_epoch, trial, last, truth, finished)
            tokens = tokens_for(last, X_test, truth.n_labels)
            reports = EpochReports(tokens, report)
            # It comes first, so that it sees the epoch in which another one stops.
            last.set_params(net_callbacks=[reports, *(last.net_callbacks or [])])
            model = last
        with interrupts_raised():
            model.fit(X_train, y_train)
        # A subclass may predict in its own way.
        if type(last) is TransformerMultiLabelClassifier:
            score = self._score_logits(reports.final_logits(last.net_), last, truth)
        else:
            score = self._score(truth.with_nan(), *_answers(model, X_test, truth))
        if not math.isfinite(score):
            raise ValueError(f"The score is {score}.")
        if not by_epoch:
            step = (number + 1) * self._epochs_per_fold - 1
            self._report(trial, step, [*finished, score], "")
        return score

    def _report_epoch(
        self,
        trial: optuna.Trial,
        classifier: TransformerMultiLabelClassifier,
        truth: Targets,
        finished: list[float],
        epoch: int,
        logits: np.ndarray,
        is_last: bool,
    ) -> None:
        """Score the held-out rows after an epoch of fold ``len(finished)``."""
        score = self._score_logits(logits, classifier, truth)
        step = len(finished) * self._epochs_per_fold + epoch - 1
        self._report(trial, step, [*finished, score], f"epoch {epoch} of ", is_last)

    def _score_logits(
        self,
        logits: np.ndarray,
        classifier: TransformerMultiLabelClassifier,
        truth: Targets,
    ) -> float:
        proba = expit(logits.astype(np.float64))
        chosen = (proba >= np.asarray(classifier.threshold)).astype(np.int64)
        return self._score(truth.with_nan(), proba, chosen)

    def _report(
        self,
        trial: optuna.Trial,
        step: int,
        scores: list[float],
        where: str,
        is_last: bool = True,
    ) -> None:
        value = float(np.mean(scores))
        if not math.isfinite(value):
            return  # the final score or the loss will show the reason
        trial.report(value, step)
        # At the very end, pruning saves nothing and loses a complete trial.
        if is_last and len(scores) == len(self.folds):
            return
        if trial.should_prune():
            raise optuna.TrialPruned(
                f"Stopped after {where}fold {len(scores)} of {len(self.folds)}, with a "
                f"mean score of {value:.4g}."
            )

    # --- afterwards -----------------------------------------------------------------

    def best_estimator(self, study: optuna.Study) -> BaseEstimator:
        """Fit the estimator with a study's best parameters to all rows.

        Parameters
        ----------
        study : optuna.Study

        Returns
        -------
        estimator
            A new one, fitted.

        Raises
        ------
        ValueError
            If no trial is complete.
        """
        trials = study.get_trials(deepcopy=False)
        if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials):
            errors = [t.user_attrs["error"] for t in trials if "error" in t.user_attrs]
            first = f" The first error was: {errors[0]}" if errors else ""
            raise ValueError(
                f"The study {study.study_name!r} has no complete trial among its "
                f"{len(trials)}, so there are no best parameters.{first}"
            )
        best = clone(self.estimator).set_params(**study.best_params)
        return best.fit(self.X, self.y)


def _check_error_score(error_score: float | str) -> None:
    is_nan = isinstance(error_score, float) and math.isnan(error_score)
    if not is_nan and error_score != "raise":
        raise ValueError(
            f"error_score must be nan or 'raise'; got {error_score!r}. Optuna would "
            "take any other number for the score of a trial that worked."
        )


def _answers(model: Any, X: Any, truth: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and predictions, both of shape (n, n_labels)."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            responses = CachedResponses(model, X, method, truth)
            scores = responses.scores
            # Scores that rank probabilities take decisions, too, once in [0, 1].
            proba = scores if method == "predict_proba" else expit(scores)
            return proba, responses.predictions
    chosen = predicted_matrix(model.predict(X), truth)
    return chosen.astype(np.float64), chosen


def _reason(error: Exception) -> str:
    notes = getattr(error, "__notes__", [])
    text = ": ".join([*notes, type(error).__name__, str(error)])
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # pragma: gpu
        torch.cuda.empty_cache()

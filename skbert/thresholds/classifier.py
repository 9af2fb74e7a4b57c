"""The estimator that tunes another one's thresholds on out-of-fold scores."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skbert.base.outputs import (
    MultiLabelOutputMixin,
    check_label_order,
)
from skbert.base.responses import positive_scores, response_method_of
from skbert.base.routing import route_fit_params
from skbert.inputs.arguments import check_sample_weight, rows_with_weight
from skbert.inputs.targets import Targets, encode_targets
from skbert.model_selection.folds import (
    FoldTask,
    HeldOut,
    Split,
    check_all_rows,
    held_out_scores,
    make_splits,
)
from skbert.thresholds.assign import with_thresholds
from skbert.thresholds.out_of_fold import TunedThresholds, make_tuner, tuning_parts
from skbert.thresholds.tuning import DEFAULT_SHRINKAGE

__all__ = ["TunedThresholdsClassifierCV"]


def _has(method: str) -> Callable[[Any], bool]:
    """Return a check for `available_if` that the estimator has `method`."""

    def check(self) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class TunedThresholdsClassifierCV(
    MultiLabelOutputMixin, MetaEstimatorMixin, BaseEstimator
):
    """A multi-label classifier with thresholds that are tuned out of fold.

    This is the multi-label counterpart of
    :class:`sklearn.model_selection.TunedThresholdClassifierCV`. Each row is scored by a
    clone that was fitted without it. The thresholds with the best score are found on
    all these scores together. Then the estimator is fitted to all rows.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn multi-label classifier or Pipeline with `predict_proba` or
        `decision_function`. With ``cv="prefit"`` it must be fitted.
    scoring : str or callable, default="f1_macro"
        Score to maximize. With ``method="exact"``, a name for :func:`find_thresholds`:
        "f1_macro", "f1_micro", "f1_weighted", the same with ``"fbeta_"`` and
        ``"jaccard_"`` instead of ``"f1_"``, "balanced_accuracy", "precision_at_recall"
        or "recall_at_precision". With ``method="optuna"``, also any other name of a
        scorer, such as "f1_samples" or "accuracy" (of whole label sets), or a callable
        ``scorer(estimator, X, y)``.
    scoring_params : dict, default=None
        ``{"beta": 2.0}`` for the ``"fbeta_"`` names, ``{"recall": 0.8}`` for
        "precision_at_recall", ``{"precision": 0.9}`` for "recall_at_precision".
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        Output that is compared with the thresholds. "auto" uses probabilities if the
        estimator has them.
    method : {"exact", "optuna"}, default="exact"
        "exact" finds the optimum over all distinct scores. "optuna" tries `n_trials`
        sets of thresholds. It starts with the best ones for macro-F1 and micro-F1. A
        callable `scoring` gets row numbers as X.
    per_label : bool, default=True
        Whether each label has its own threshold, or all labels share one. Used by
        "exact" only.
    shrinkage : float, default=20.0
        Weight of the best shared threshold, as a number of positives. Thresholds of
        rare labels move toward it, see :func:`find_thresholds`. 0 switches shrinkage
        off. Used by "exact" only.
    cv : int, float, cross-validation splitter, iterable or "prefit", default=None
        - int, or None for 5: number of multi-label stratified folds, not shuffled;
        - float in (0, 1): share of the rows in one stratified held-out part;
        - a splitter, or an iterable of (train, test) row numbers;
        - "prefit": `estimator` is already fitted and is not changed. The data that
          `fit` gets is used for tuning only, and should be new to the estimator.
    refit : bool, default=True
        Whether to fit `estimator_` to all rows at the end. False requires a `cv` with
        a single split, and `estimator_` is the one fitted to its training rows. Ignored
        if ``cv="prefit"``.
    n_jobs : int, default=None
        Number of folds that are fitted at the same time.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out part if `cv` is a float, and of Optuna's sampler.
    n_trials : int, default=100
        Number of trials of "optuna".
    timeout : float, default=None
        Seconds after which "optuna" starts no further trial.
    study : optuna.Study, default=None
        Study to use instead of a new one in memory. It must maximize. Use it for a
        single fit only, because cross-validation clones the estimator and copies the
        study with it.
    sampler : optuna.samplers.BaseSampler, default=None
        None is the tree-structured Parzen estimator, seeded from `random_state`.
    verbose : int, default=0
        1 shows a progress bar of "optuna".

    Attributes
    ----------
    estimator_ : classifier
        The fitted estimator. If it is one of skbert, or a Pipeline that ends in one,
        and probabilities are used, it has the same `thresholds_`. So
        ``estimator_.save_pretrained(folder)`` keeps them. With ``cv="prefit"`` it is a
        shallow copy, and the estimator that was passed keeps its own thresholds.
    thresholds_ : ndarray of shape (n_labels,), float64
        A label is predicted if its score is at least its threshold. Can be assigned.
    best_score_ : float
        Score of `thresholds_` on the tuning data. It is slightly optimistic.
    cv_results_ : dict of ndarrays of shape (n_labels,)
        Columns for ``pd.DataFrame``: "label", "threshold", "score" (of the label, over
        all tuning rows), "split0_score" and so on, "mean_score" and "std_score" over
        the splits, "std_threshold" (of the best thresholds of the splits, before
        shrinkage) and "support" (weighted positives in the tuning data). The score of a
        label is F1 if `scoring` cannot be computed for a single label.
    study_ : optuna.Study
        Only with ``method="optuna"``.
    classes_ : ndarray of shape (n_labels, 2) or (2,)
    label_names_ : ndarray of shape (n_labels,), object
    response_method_ : str
        "predict_proba" or "decision_function".
    n_features_in_, feature_names_in_
        Those of `estimator_`, if it has them.

    See Also
    --------
    find_thresholds : The same search on given scores.
    sklearn.model_selection.TunedThresholdClassifierCV : For one binary label.

    Notes
    -----
    The scores of all splits are pooled, and the thresholds are tuned on them once.
    scikit-learn's class averages the curves of the splits instead. A rare label may
    have a single positive in each split, and such curves say nothing.

    Labels without a positive in the tuning data get the shared threshold, with one
    warning. Unknown cells (NaN in y) are left out. If there are any, `cv` must be an
    int, a float, "prefit", or a splitter that does not read y.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from skbert import BinaryRelevanceClassifier, TunedThresholdsClassifierCV
    >>> X, y = make_multilabel_classification(
    ...     500, n_classes=3, n_labels=1, random_state=0
    ... )
    >>> tuned = TunedThresholdsClassifierCV(BinaryRelevanceClassifier(), cv=3)
    >>> tuned.fit(X, y).thresholds_.round(2)
    array([0.47, 0.28, 0.4 ])
    >>> tuned.predict_labels(X[2:4])
    [('label_0', 'label_2'), ('label_2',)]
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "scoring": [str, callable],
        "scoring_params": [dict, None],
        "response_method": [StrOptions({"auto", "predict_proba", "decision_function"})],
        "method": [StrOptions({"exact", "optuna"})],
        "per_label": ["boolean"],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "cv": [
            "cv_object",
            StrOptions({"prefit"}),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither"), None],
        "study": "no_validation",
        "sampler": "no_validation",
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        scoring: str | Callable[..., float] = "f1_macro",
        scoring_params: dict | None = None,
        response_method: str = "auto",
        method: str = "exact",
        per_label: bool = True,
        shrinkage: float = DEFAULT_SHRINKAGE,
        cv: Any = None,
        refit: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_trials: int = 100,
        timeout: float | None = None,
        study: Any = None,
        sampler: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.scoring_params = scoring_params
        self.response_method = response_method
        self.method = method
        self.per_label = per_label
        self.shrinkage = shrinkage
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.n_trials = n_trials
        self.timeout = timeout
        self.study = study
        self.sampler = sampler
        self.verbose = verbose

    # --- fit ------------------------------------------------------------------------

    # The estimator's parameters are validated by its own fit.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> TunedThresholdsClassifierCV:
        """Tune the thresholds, and fit the estimator.

        Parameters
        ----------
        X : sequence of length n, whatever `estimator` takes
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, bool, or NaN where a label is unknown.
        sample_weight : array-like of shape (n,), default=None
            Weights for the `fit` of the estimator and for the score that is tuned. A
            row of weight 0 is in no fold if `cv` is a number. A split of
            another `cv` is left out if all rows that it holds out have weight 0. (With
            metadata routing, the estimator must request the weights, or say that it
            does not want them.)
        **fit_params : dict
            Metadata for the estimator's `fit` and the splitter, such as `groups`; with
            ``enable_metadata_routing=True`` only.

        Returns
        -------
        self : TunedThresholdsClassifierCV

        Raises
        ------
        ValueError
            If the data or a parameter is wrong; if the estimator has neither
            `predict_proba` nor `decision_function`; if a fold lacks a class that the
            estimator needs; if all rows that `cv` holds out have weight 0; if with
            ``cv="prefit"`` the numbers of labels differ.
        sklearn.exceptions.NotFittedError
            With ``cv="prefit"``, if `estimator` is not fitted.
        """
        targets = encode_targets(y)
        check_consistent_length(X, targets.values)
        tune = make_tuner(self)
        method = response_method_of(self.estimator, self.response_method)
        weight = check_sample_weight(sample_weight, len(targets), "sample_weight")
        if isinstance(self.cv, str):
            estimator, held_out = self._ask_fitted(X, targets, method)
        else:
            routed = route_fit_params(self, self.estimator, sample_weight, fit_params)
            check_all_rows(self.estimator, X)
            X, y = indexable(X, y)
            task = FoldTask(self.estimator, X, y, targets, routed.estimator)
            splits = self._make_splits(X, y, weight, routed.splitter)
            estimator, held_out = self._fit_folds(task, splits, method)
        tuned = tune(tuning_parts(held_out, targets, method, weight))
        self._set_fitted(tuned, estimator, targets, method)
        return self

    def _ask_fitted(
        self, X: Any, targets: Targets, method: str
    ) -> tuple[Any, list[HeldOut]]:
        try:
            check_is_fitted(self.estimator)
        except NotFittedError as error:
            raise NotFittedError(
                f"cv='prefit' needs a fitted estimator, and this "
                f"{type(self.estimator).__name__} is not. Call its fit first, or use "
                "cv=5 to have it fitted out of fold."
            ) from error
        _check_same_target(self.estimator, X, targets)
        scores = positive_scores(
            self.estimator,
            X,
            method,
            targets.n_labels,
            is_binary=targets.classes is not None,
        )
        return self.estimator, [HeldOut(np.arange(len(targets)), scores)]

    def _make_splits(
        self, X: Any, y: Any, weight: np.ndarray | None, split_params: dict
    ) -> list[Split]:
        """Return the splits whose held-out rows have a weight."""
        rows = None
        if self.cv is None or isinstance(self.cv, Real):
            rows = rows_with_weight(weight)
        if rows is not None:
            X, y = rows, _safe_indexing(y, rows)  # only the length of X matters
        splits = make_splits(
            self.cv, X, y, random_state=self.random_state, split_params=split_params
        )
        if not self.refit and len(splits) > 1:
            raise ValueError(
                f"refit=False needs a cv with one split; this one has {len(splits)}. "
                "Use a float such as cv=0.2, or refit=True."
            )
        if rows is not None:
            return [(rows[train], rows[test]) for train, test in splits]
        return splits if weight is None else _splits_with_weight(splits, weight)

    def _fit_folds(
        self, task: FoldTask, splits: list[Split], method: str
    ) -> tuple[Any, list[HeldOut]]:
        if not self.refit:
            train, test = splits[0]
            estimator = task.fit_rows(train)
            return estimator, [task.score(estimator, test, method)]
        held_out = held_out_scores(task, splits, method, self.n_jobs)
        return task.fit(), held_out

    def _set_fitted(
        self, tuned: TunedThresholds, estimator: Any, targets: Targets, method: str
    ) -> None:
        self.response_method_ = method
        self.estimator_ = estimator
        self._set_labels(_label_names(estimator, targets), targets.classes, 0.5)
        self.thresholds_ = tuned.thresholds
        self.best_score_ = tuned.score
        self.cv_results_ = {"label": self.label_names_, **tuned.label_results}
        if tuned.study is not None:
            self.study_ = tuned.study
        elif hasattr(self, "study_"):  # of an earlier fit
            del self.study_

    # --- predict --------------------------------------------------------------------

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each label, by `estimator_`.

        Parameters
        ----------
        X : sequence of length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n, 2) after a fit on one-dimensional y.
        """
        proba = self._scores(X, "predict_proba")
        return proba if self._is_multilabel else np.hstack([1 - proba, proba])

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the decision value of each label, by `estimator_`.

        Parameters
        ----------
        X : sequence of length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n,) after a fit on one-dimensional y.
        """
        values = self._scores(X, "decision_function")
        return values if self._is_multilabel else values[:, 0]

    def _scores(self, X: Any, method: str) -> np.ndarray:
        check_is_fitted(self)
        return positive_scores(
            self.estimator_,
            X,
            method,
            len(self.label_names_),
            is_binary=not self._is_multilabel,
        )

    @property
    def thresholds_(self) -> Any:
        """Threshold of each label, shape (n_labels,), float64."""
        return self._thresholds

    @thresholds_.setter
    def thresholds_(self, value: Any) -> None:
        self._thresholds = value
        # If `estimator_` is saved or used by itself, it predicts the same.
        if self.response_method_ == "predict_proba":
            self.estimator_ = with_thresholds(self.estimator_, value)

    def _chosen(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._reaches_threshold(self._scores(X, self.response_method_))

    @property
    def _cut_method(self) -> str:
        return self.response_method_

    # --- what scikit-learn asks -------------------------------------------------------

    @property
    def n_features_in_(self) -> int:
        """Number of features, if `estimator_` has it."""
        return self._of_estimator("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features, if `estimator_` has them."""
        return self._of_estimator("feature_names_in_")

    def _of_estimator(self, name: str) -> Any:
        if not hasattr(self, "estimator_"):
            raise AttributeError(
                f"{type(self).__name__} has no {name} before it is fitted."
            )
        return getattr(self.estimator_, name)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of the metadata of `fit`.

        Returns
        -------
        MetadataRouter
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
            .add(
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _splits_with_weight(splits: list[Split], weight: np.ndarray) -> list[Split]:
    """Return the splits that hold out a row whose weight is not 0."""
    kept = [(train, test) for train, test in splits if weight[test].any()]
    if not kept:
        raise ValueError(
            "All rows that cv holds out have a sample_weight of 0, so there is nothing "
            "to tune thresholds on. Hold out rows with a weight, or pass a number as "
            "cv: it splits such rows only."
        )
    return kept


def _check_same_target(estimator: Any, X: Any, targets: Targets) -> None:
    """Check that a fitted estimator knows the labels or classes of y."""
    names = getattr(estimator, "label_names_", None)
    check_label_order(targets, names, type(estimator).__name__)
    classes = np.asarray(getattr(estimator, "classes_", targets.classes), dtype=object)
    if targets.classes is not None and list(classes) != list(targets.classes):
        raise ValueError(
            f"y holds the classes {targets.classes.tolist()}, but "
            f"{type(estimator).__name__} was fitted to {classes.tolist()}."
        )
    answer = estimator.predict(_safe_indexing(X, [0]))
    is_flat = not sparse.issparse(answer) and np.ndim(answer) == 1
    if targets.classes is None and targets.n_labels > 1 and is_flat:
        raise ValueError(
            f"y has {targets.n_labels} labels, but {type(estimator).__name__} was "
            "fitted to one-dimensional y. Fit it to a label matrix."
        )


def _label_names(estimator: Any, targets: Targets) -> np.ndarray:
    """Return the names that y has, or those that the estimator was fitted to."""
    if targets.label_names is None:
        return getattr(estimator, "label_names_", targets.names)
    return targets.names

"""Baselines without a transformer: one scikit-learn classifier per label."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    _fit_context,
    clone,
    is_classifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_method_params,
    check_consistent_length,
    check_is_fitted,
)

from skbert.base.outputs import MultiLabelOutputMixin, check_thresholds
from skbert.base.routing import route_fit_params
from skbert.inputs.arguments import (
    check_classes_have_weight,
    check_sample_weight,
    rows_with_weight,
)
from skbert.inputs.targets import Targets, encode_targets, warn_of_constant_labels
from skbert.inputs.texts import check_texts

__all__ = ["BinaryRelevanceClassifier", "make_tfidf_baseline"]

# Words of any length, so that "I" and "u" count, and every ! and ?. With one threshold
# chosen on dev, micro-F1 on GoEmotions is .554, and .539 with scikit-learn's default
# pattern. On e-mails there is no difference.
_TOKEN_PATTERN = r"(?u)\b\w+\b|[!?]"


class _PriorClassifier(ClassifierMixin, BaseEstimator):
    """The classifier of a constant label: the same log-odds for every row."""

    def __init__(self, logit):
        self.logit = logit

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X):
        n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
        return np.full(n_samples, self.logit)

    def predict_proba(self, X):
        positive = expit(self.decision_function(X))
        return np.column_stack([1 - positive, positive])

    def predict(self, X):
        return (self.decision_function(X) >= 0).astype(np.int64)


def _estimators_have(method: str) -> Callable[[Any], bool]:
    """Return a check for `available_if` that the sub-estimators have `method`."""

    def check(self) -> bool:
        for estimator in self._learned() or [self._base_estimator()]:
            getattr(estimator, method)  # its own AttributeError gives the reason
        return True

    return check


class BinaryRelevanceClassifier(
    MultiLabelOutputMixin, MetaEstimatorMixin, BaseEstimator
):
    """One scikit-learn classifier for each label, with a multi-label interface.

    Every label is a binary problem by itself ("binary relevance"). Unlike
    :class:`sklearn.multiclass.OneVsRestClassifier`, it takes unknown labels (NaN), has
    a threshold for each label, and tells scikit-learn's scorers that it is multi-label,
    so that they are right for any number of labels.

    Parameters
    ----------
    estimator : classifier, default=None
        Classifier that is cloned and fitted to the 0/1 targets of each label. None is
        :class:`~sklearn.linear_model.LogisticRegression` with its defaults.
    threshold : float or array-like of shape (n_labels,), default=0.5
        Threshold of each label, which `fit` copies to `thresholds_`. For an estimator
        without `predict_proba` it must be 0.5.
    n_jobs : int, default=None
        Number of labels that are fitted at the same time. None is 1 outside of a
        :class:`joblib.parallel_config` context, and -1 is all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels, 2) or (2,)
        A row ``[0, 1]`` for each label, or the two classes of a one-dimensional y.
    estimators_ : list of classifiers, length n_labels
        The classifier of a constant label always predicts its prior.
    label_names_ : ndarray of shape (n_labels,), object
        Columns of y if it is a table, else "label_0", "label_1", ...
    thresholds_ : ndarray of shape (n_labels,), float64
        A label is predicted if its probability is at least its threshold. It may be
        assigned.
    n_features_in_ : int
        Number of features, if the sub-estimators have it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` is a DataFrame and the sub-estimators have them.

    See Also
    --------
    make_tfidf_baseline : The same after TF-IDF, from texts.
    sklearn.multioutput.ClassifierChain : Uses other labels as features of a label.

    Notes
    -----
    - A row with an unknown label is left out of the fit of that label only.
    - A row of weight 0 is left out.
    - A label without known positives or without known negatives cannot be learned. The
      probability of every row is its smoothed prior ``(positives + 0.5) / (n + 1)``, in
      which every row counts once, whatever its weight. One warning names all such
      labels.
    - An estimator without `predict_proba`, such as :class:`~sklearn.svm.LinearSVC`,
      uses its own `predict`, which is ``decision_function(X) > 0`` for scikit-learn's
      linear classifiers. A threshold is a probability and has no meaning there, so that
      other values than 0.5 are refused. Wrap the estimator in
      :class:`sklearn.calibration.CalibratedClassifierCV` to use thresholds.

    References
    ----------
    M.-L. Zhang et al., "Binary relevance for multi-label learning: an overview",
    Frontiers of Computer Science 12, 2018.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from skbert.baseline import BinaryRelevanceClassifier
    >>> X, y = make_multilabel_classification(n_classes=3, random_state=0)
    >>> clf = BinaryRelevanceClassifier().fit(X, y)
    >>> clf.predict(X[1:3])
    array([[0, 1, 0],
           [0, 1, 1]])
    >>> clf.thresholds_ = [0.3, 0.5, 0.5]
    >>> clf.predict_labels(X[1:3])
    [('label_1',), ('label_0', 'label_1', 'label_2')]
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        threshold: float | ArrayLike = 0.5,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.n_jobs = n_jobs

    # --- fit ------------------------------------------------------------------------

    # The sub-estimators' parameters are validated by their own fit.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, **fit_params: Any
    ) -> BinaryRelevanceClassifier:
        """Fit a clone of the estimator to every label.

        Parameters
        ----------
        X : array-like, sparse matrix or whatever `estimator` takes, length n
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, bool, or NaN if a label is unknown. One dimension with two classes is
            ordinary binary classification.
        sample_weight : array-like of shape (n,), default=None
            Weights for the `fit` of every sub-estimator. Rows of weight 0 are left out.
        **fit_params : dict
            Further metadata for them, with ``enable_metadata_routing=True`` only.

        Returns
        -------
        self : BinaryRelevanceClassifier

        Raises
        ------
        ValueError
            If `y` is not of that form, `X` and `y` differ in length, `estimator` is no
            classifier or does not take `sample_weight`, `sample_weight` does not hold
            numbers >= 0 or leaves nothing to learn from, or `threshold` has the wrong
            shape or cannot be used with the estimator.
        """
        targets = encode_targets(y)
        check_consistent_length(X, targets.values)
        estimator = self._base_estimator()
        if not is_classifier(estimator):
            raise ValueError(
                f"estimator must be a classifier; {estimator!r} is none, by its tags."
            )
        params = route_fit_params(self, estimator, sample_weight, fit_params).estimator
        thresholds = check_thresholds(self.threshold, targets.n_labels, "threshold")
        if np.any(thresholds != 0.5) and not hasattr(estimator, "predict_proba"):
            raise ValueError(_no_thresholds(estimator))
        weight = check_sample_weight(sample_weight, len(targets), "sample_weight")
        rows = rows_with_weight(weight)
        if rows is not None:
            X, targets, params = _take_rows(X, targets, params, rows)
            check_classes_have_weight(targets)
        warn_of_constant_labels(targets)
        X = _shareable(X, targets)
        estimators = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_label)(estimator, X, targets, label, params)
            for label in range(targets.n_labels)
        )
        self._set_fitted(targets, thresholds, estimators)
        return self

    def _base_estimator(self) -> Any:
        return LogisticRegression() if self.estimator is None else self.estimator

    def _set_fitted(
        self, targets: Targets, thresholds: np.ndarray, estimators: list
    ) -> None:
        self.estimators_ = estimators
        self._set_labels(targets.names, targets.classes, thresholds)
        first = (self._learned() or [None])[0]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(first, name):
                setattr(self, name, getattr(first, name))
            elif hasattr(self, name):  # from an earlier fit
                delattr(self, name)

    def _learned(self) -> list:
        """Return the fitted sub-estimators of the labels that are not constant."""
        estimators = getattr(self, "estimators_", [])
        return [e for e in estimators if not isinstance(e, _PriorClassifier)]

    # --- predict --------------------------------------------------------------------

    @available_if(_estimators_have("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each label.

        It exists only if the estimator has the method.

        Parameters
        ----------
        X : array-like, sparse matrix or whatever `estimator` takes, length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n, 2), a column for each class, after a fit on one-dimensional y.
        """
        check_is_fitted(self)
        proba = self._positive_proba(X)
        return proba if self._is_multilabel else np.hstack([1 - proba, proba])

    @available_if(_estimators_have("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the decision value of each label; greater is more likely.

        Only there if the estimator has the method. A constant label has its prior's
        log-odds.

        Parameters
        ----------
        X : array-like, sparse matrix or whatever `estimator` takes, length n

        Returns
        -------
        ndarray of shape (n, n_labels), float64
            Shape (n,) after a fit on one-dimensional y.
        """
        check_is_fitted(self)
        values = self._columns(lambda estimator: estimator.decision_function(X))
        return values if self._is_multilabel else values[:, 0]

    @property
    def _cut_method(self) -> str | None:
        return "predict_proba" if hasattr(self, "predict_proba") else None

    def _chosen(self, X: Any) -> np.ndarray:
        """Return a boolean matrix of shape (n, n_labels)."""
        check_is_fitted(self)
        if self._cut_method is not None:
            return self._reaches_threshold(self._positive_proba(X))
        if np.any(np.asarray(self.thresholds_) != 0.5):
            raise ValueError(_no_thresholds(self._base_estimator()))
        return self._columns(lambda estimator: estimator.predict(X)) == 1

    def _positive_proba(self, X: Any) -> np.ndarray:
        return self._columns(lambda estimator: estimator.predict_proba(X)[:, 1])

    def _columns(self, answer: Callable[[Any], np.ndarray]) -> np.ndarray:
        """Return the answers of the sub-estimators side by side, float64."""
        columns = [answer(estimator) for estimator in self.estimators_]
        return np.column_stack(columns).astype(np.float64, copy=False)

    # --- metadata and tags ------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata that is passed to `fit`.

        Returns
        -------
        MetadataRouter
        """
        return MetadataRouter(owner=self).add(
            estimator=self._base_estimator(),
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self._base_estimator()).input_tags
        return tags


def _take_rows(
    X: Any, targets: Targets, params: dict, rows: np.ndarray
) -> tuple[Any, Targets, dict]:
    """Return some rows of the input, the targets and the metadata."""
    (X,) = indexable(X)  # not every sparse format is indexable
    params = _check_method_params(X, params, indices=rows)
    return _safe_indexing(X, rows), targets.take(rows), params


def _shareable(X: Any, targets: Targets) -> Any:
    """Return X in a form that all labels can be fitted on, in parallel or not."""
    if not targets.known.all():
        (X,) = indexable(X)  # not every sparse format is indexable
    if getattr(X, "format", None) in ("csr", "csc") and not X.has_canonical_format:
        # Many estimators sort the indices of a sparse matrix in place. Threads would
        # race, and processes would fail, because they get X as a read-only map.
        X = X.copy()
        X.sum_duplicates()
    return X


def _fit_label(
    estimator: Any, X: Any, targets: Targets, label: int, params: dict
) -> Any:
    """Fit a clone to one label, on the rows with a known value."""
    truth = targets.values[:, label].astype(np.int64)
    if targets.constant[label]:
        return _PriorClassifier(targets.prior_logits()[label]).fit(X, truth)
    known = targets.known[:, label]
    rows = None if known.all() else np.flatnonzero(known)
    params = _check_method_params(X, params, indices=rows)
    if rows is not None:
        X, truth = _safe_indexing(X, rows), truth[rows]
    return clone(estimator).fit(X, truth, **params)


def _no_thresholds(estimator: Any) -> str:
    return (
        f"{type(estimator).__name__} has no predict_proba, so a threshold other than "
        "0.5 cannot be applied. Wrap it in CalibratedClassifierCV to have one."
    )


class _TextVectorizer(TfidfVectorizer):
    """A TfidfVectorizer that takes the same forms of texts as the transformer."""

    def fit(self, raw_documents, y=None):
        return super().fit(check_texts(raw_documents), y)

    def fit_transform(self, raw_documents, y=None):
        return super().fit_transform(check_texts(raw_documents), y)

    def transform(self, raw_documents):
        return super().transform(check_texts(raw_documents))


def make_tfidf_baseline(
    *,
    C: float = 10.0,
    class_weight: dict | str | None = None,
    ngram_range: tuple[int, int] = (1, 2),
    max_features: int | None = 50_000,
    threshold: float | ArrayLike = 0.5,
    n_jobs: int | None = None,
) -> Pipeline:
    """Make the baseline that a transformer has to beat: TF-IDF, logistic regression.

    Parameters
    ----------
    C : float, default=10.0
        Inverse strength of the regularization, see
        :class:`~sklearn.linear_model.LogisticRegression`.
    class_weight : dict, "balanced" or None, default=None
        Of the logistic regressions. "balanced" finds more of the rare labels at
        threshold 0.5, and makes the probabilities too high.
    ngram_range : tuple of (int, int), default=(1, 2)
        Shortest and longest sequence of words that is a feature.
    max_features : int or None, default=50_000
        How many features are kept, the most frequent ones. It bounds time and memory
        on large data and, unlike `min_df`, leaves tiny data alone.
    threshold : float or array-like of shape (n_labels,), default=0.5
        Of :class:`BinaryRelevanceClassifier`.
    n_jobs : int, default=None
        How many labels are fitted at the same time.

    Returns
    -------
    Pipeline
        Unfitted, with the steps "tfidfvectorizer" (1-2-grams of words, ! and ?,
        sublinear term frequencies) and "binaryrelevanceclassifier". It takes
        texts in every form that :class:`TransformerMultiLabelClassifier` does.

    Raises
    ------
    TypeError, ValueError
        When fitted, if an entry is not a text, or no text holds a word.

    References
    ----------
    G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval",
    Information Processing & Management 24, 1988; R.-E. Fan et al., "LIBLINEAR: A
    Library for Large Linear Classification", JMLR 9, 2008; both as implemented in
    scikit-learn.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbert.baseline import make_tfidf_baseline
    >>> texts = ["the bill is wrong", "it crashes", "hello"] * 4
    >>> y = pd.DataFrame({"billing": [1, 0, 0] * 4, "bug": [0, 1, 0] * 4})
    >>> baseline = make_tfidf_baseline().fit(texts, y)
    >>> baseline.predict(["a wrong bill", "it crashes again"])
    array([[1, 0],
           [0, 1]])
    """
    vectorizer = _TextVectorizer(
        ngram_range=ngram_range,
        token_pattern=_TOKEN_PATTERN,
        max_features=max_features,
        sublinear_tf=True,
    )
    classifier = BinaryRelevanceClassifier(
        # Among scikit-learn's solvers the fastest here, and deterministic: 43,410
        # texts and 28 labels in about 10 s.
        LogisticRegression(
            C=C, class_weight=class_weight, solver="liblinear", max_iter=1000
        ),
        threshold=threshold,
        n_jobs=n_jobs,
    )
    return Pipeline(
        [("tfidfvectorizer", vectorizer), ("binaryrelevanceclassifier", classifier)]
    )

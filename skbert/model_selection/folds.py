"""Folds of a cross-validation, and out-of-fold scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params

from skbert.base.responses import positive_scores
from skbert.inputs.targets import Targets, constant_labels_told_elsewhere
from skbert.model_selection.split import (
    MultilabelStratifiedKFold,
    RandomState,
    multilabel_train_test_split,
)
from skbert.runtime.interrupt import interrupts_raised

__all__ = [
    "FoldTask",
    "HeldOut",
    "Split",
    "check_all_rows",
    "held_out_scores",
    "make_splits",
]

Split = tuple[np.ndarray, np.ndarray]
_DEFAULT_FOLDS = 5


def make_splits(
    cv: Any,
    X: Any,
    y: Any,
    *,
    shuffle: bool = False,
    random_state: RandomState = None,
    split_params: dict | None = None,
) -> list[Split]:
    """Return the row numbers of each split.

    Parameters
    ----------
    cv : int, float, splitter, iterable or None
        An int is the number of multi-label stratified folds, and None is 5. A float is
        the share of one stratified held-out part.
    X, y
    shuffle : bool, default=False
        Whether to shuffle the rows before they are dealt to folds.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling, or of the held-out part.
    split_params : dict, default=None
        Arguments of the splitter's `split`, such as `groups`.

    Returns
    -------
    list of (ndarray, ndarray)
        Training and held-out rows.

    Raises
    ------
    ValueError
        If there is no split, or a part of a split is empty.
    """
    n_samples = len(y) if not hasattr(y, "shape") else y.shape[0]
    _check_cv(cv)
    if cv is None or isinstance(cv, Integral):
        n_splits = _DEFAULT_FOLDS if cv is None else int(cv)
        cv = MultilabelStratifiedKFold(
            n_splits, shuffle=shuffle, random_state=random_state if shuffle else None
        )
    if isinstance(cv, Real):
        train, test, *_ = multilabel_train_test_split(
            np.arange(n_samples), y, test_size=float(cv), random_state=random_state
        )
        return [(np.sort(train), np.sort(test))]
    if hasattr(cv, "split"):
        cv = _split(cv, X, y, split_params or {})
    splits = [
        (_row_numbers(train, n_samples), _row_numbers(test, n_samples))
        for train, test in cv
    ]
    if not splits:
        raise ValueError(
            "cv gives no split. An iterator can be read only once: pass a list of "
            "(train, test) row numbers, or an int for multi-label stratified folds."
        )
    for number, (train, test) in enumerate(splits, start=1):
        _check_split(train, test, f"Split {number} of cv")
    return splits


def check_all_rows(estimator: Any, X: Any) -> None:
    """Check all texts before anything is fitted, if the estimator takes texts.

    A fold would find an error late, and count rows from its own beginning. The input of
    other estimators, such as a Pipeline, is unknown and not checked.

    Parameters
    ----------
    estimator : object
    X : array-like of shape (n_samples,)

    Raises
    ------
    TypeError, ValueError
        If an entry is not a text. The message has its row number.
    """
    if hasattr(estimator, "_check_texts"):
        estimator._check_texts(X)


def _check_cv(cv: Any) -> None:
    if cv is None or hasattr(cv, "split") and not isinstance(cv, (str, bytes)):
        return
    is_number = isinstance(cv, Real) and not isinstance(cv, (bool, np.bool_))
    if is_number and not isinstance(cv, Integral) and not 0 < float(cv) < 1:
        raise ValueError(
            f"cv={cv!r}: a float is the share of the rows that is held out, between 0 "
            "and 1; an int is a number of folds."
        )
    if not is_number and (
        isinstance(cv, (str, bytes, Mapping, bool)) or not isinstance(cv, Iterable)
    ):
        raise ValueError(
            "cv must be a number of folds, a held-out share, a splitter, or an "
            f"iterable of (train, test) row numbers; got {cv!r}."
        )


def _split(cv: Any, X: Any, y: Any, params: dict) -> list:
    try:
        return list(cv.split(X, y, **params))
    except ValueError as error:
        if "groups" in str(error):
            error.add_note(
                "Pass cv=list(splitter.split(X, y, groups)); or, where there is "
                "metadata routing, enable it and pass groups to fit."
            )
        raise


def _row_numbers(rows: Any, n_samples: int) -> np.ndarray:
    """Return row numbers as int64; ``rows`` may be a mask."""
    numbers = np.asarray(rows)
    if numbers.dtype == bool:
        numbers = np.flatnonzero(numbers)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= n_samples):
        raise ValueError(
            f"cv has row numbers from {numbers.min()} to {numbers.max()}, but X has "
            f"{n_samples} rows."
        )
    return numbers.astype(np.int64)


def _check_split(train: np.ndarray, test: np.ndarray, name: str) -> None:
    if len(train) == 0 or len(test) == 0:
        raise ValueError(f"{name} has no rows to train on, or none that it holds out.")
    if np.intersect1d(train, test).size:
        raise ValueError(
            f"{name} trains on rows that it holds out: the scores would be worth "
            "nothing."
        )


@dataclass(frozen=True)
class HeldOut:
    """Scores of rows by an estimator that was not fitted to them.

    Attributes
    ----------
    rows : ndarray of shape (n_held_out,), int
    scores : ndarray of shape (n_held_out, n_labels), float64
    """

    rows: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class FoldTask:
    """The fit of every fold.

    Attributes
    ----------
    estimator : estimator
        Estimator that is cloned before each fit.
    X, y
        Indexable data.
    targets : Targets
        Targets of y.
    fit_params : dict
    """

    estimator: Any
    X: Any
    y: Any
    targets: Targets
    fit_params: dict = field(default_factory=dict)

    def fit(self) -> Any:
        """Return a clone that is fitted to all rows."""
        return clone(self.estimator).fit(self.X, self.y, **self.fit_params)

    def fit_rows(self, rows: np.ndarray) -> Any:
        """Return a clone that is fitted to some rows.

        Raises
        ------
        ValueError
            Whatever the fit raises. The message names labels that lack a class in
            these rows.
        """
        params = _check_method_params(self.X, self.fit_params, indices=rows)
        X, y = self.take(rows), _safe_indexing(self.y, rows)
        try:
            with interrupts_raised():
                return clone(self.estimator).fit(X, y, **params)
        except ValueError as error:
            constant = self.targets.take(rows).constant
            if not constant.any():
                raise
            labels = ", ".join(repr(str(n)) for n in self.targets.names[constant][:10])
            raise ValueError(
                f"{type(self.estimator).__name__} could not be fitted to the training "
                f"rows of a fold, which lack a class of {labels}: {error} Use fewer, "
                "or stratified, folds (an int cv), leave such labels out, or take an "
                "estimator that copes with them, such as BinaryRelevanceClassifier."
            ) from error

    def take(self, rows: np.ndarray) -> Any:
        """Return some rows of X."""
        return _safe_indexing(self.X, rows)

    def score(self, estimator: Any, rows: np.ndarray, method: str) -> HeldOut:
        """Return the scores of some rows by a fitted estimator.

        Parameters
        ----------
        estimator : estimator
        rows : ndarray of int
        method : {"predict_proba", "decision_function"}
        """
        scores = positive_scores(
            estimator,
            self.take(rows),
            method,
            self.targets.n_labels,
            is_binary=self.targets.classes is not None,
        )
        return HeldOut(rows, scores)


def held_out_scores(
    task: FoldTask, splits: Sequence[Split], method: str, n_jobs: int | None = None
) -> list[HeldOut]:
    """Fit a clone on each split and score its held-out rows.

    Parameters
    ----------
    task : FoldTask
    splits : sequence of (train, test)
    method : {"predict_proba", "decision_function"}
    n_jobs : int, default=None

    Returns
    -------
    list of HeldOut
    """
    return Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_score)(task, split, method) for split in splits
    )


def _fit_and_score(task: FoldTask, split: Split, method: str) -> HeldOut:
    train, test = split
    # The fit to all rows or the search for thresholds will warn, once.
    with constant_labels_told_elsewhere():
        return task.score(task.fit_rows(train), test, method)

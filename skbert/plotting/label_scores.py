"""Label scores: one score per label, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skbert.base.outputs import check_thresholds
from skbert.inputs.targets import Targets
from skbert.metrics import (
    nan_average_precision_score,
    nan_f1_score,
    nan_roc_auc_score,
)
from skbert.plotting.bars import draw_bars, draw_dots, label_axes
from skbert.plotting.canvas import (
    FEW,
    Display,
    add_legend,
    given_axes,
    import_pyplot,
)
from skbert.plotting.names import (
    check_names,
    is_tall,
    name_rows,
    note_rows,
    plain_score_name,
)
from skbert.plotting.predictions import (
    chosen_labels,
    given_predictions,
    predictions_of,
    truth_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LabelScoresDisplay"]

# The first read 0 and 1, the others scores.
_OF_CHOICES: dict[str, Callable[..., Any]] = {"f1": nan_f1_score}
_OF_RANKINGS: dict[str, Callable[..., Any]] = {
    "average_precision": nan_average_precision_score,
    "roc_auc": nan_roc_auc_score,
}


class LabelScoresDisplay(Display):
    """A score of each label, the models side by side.

    Use :meth:`from_estimators`, :meth:`from_estimator` or :meth:`from_predictions` to
    make one, or pass the constructor scores of any kind.

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_labels,)
        Scores of each model; nan where there is none.
    score_name : str, default="score"
    label_names : array-like of shape (n_labels,), default=None
    positives : array-like of shape (n_labels,), default=None
        Known positives of each label.

    Attributes
    ----------
    ax_ : matplotlib Axes
    axes_ : ndarray of Axes, shape (1,)
    figure_ : matplotlib Figure

    Notes
    -----
    A label without known positives has no score here: that its F1 is 0 by convention
    would look as if the models had failed.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.plotting import LabelScoresDisplay
    >>> y_true = np.array([[1, 0], [0, 1], [1, 1], [0, np.nan]])
    >>> first = np.array([[0.9, 0.2], [0.4, 0.3], [0.6, 0.7], [0.7, 0.9]])
    >>> display = LabelScoresDisplay.from_predictions(
    ...     y_true, {"TF-IDF": first, "MiniLM": first**2}, label_names=["bill", "bug"]
    ... )
    >>> {name: values.round(2).tolist() for name, values in display.scores.items()}
    {'TF-IDF': [0.8, 0.67], 'MiniLM': [0.67, 0.0]}
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        scores: Mapping[str, ArrayLike],
        *,
        score_name: str = "score",
        label_names: ArrayLike | None = None,
        positives: ArrayLike | None = None,
    ) -> None:
        self.scores = scores
        self.score_name = score_name
        self.label_names = label_names
        self.positives = positives

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        name: str | None = None,
        score: str = "f1",
        label_names: ArrayLike | None = None,
        ax: Axes | None = None,
        kind: str = "auto",
        sort_by: str | None = "support",
    ) -> LabelScoresDisplay:
        """Draw the scores of one fitted estimator.

        Parameters
        ----------
        estimator : fitted classifier
        X, y
            See :meth:`from_estimators`.
        name : str, default=None
            Of the estimator; None takes that of its class.
        score, label_names, ax, kind, sort_by
            See :meth:`from_estimators`.

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        ImportError, sklearn.exceptions.NotFittedError, ValueError
            See :meth:`from_estimators`.
        """
        return cls.from_estimators(
            {name or type(estimator).__name__: estimator},
            X,
            y,
            score=score,
            label_names=label_names,
            ax=ax,
            kind=kind,
            sort_by=sort_by,
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: Any,
        y: Any,
        *,
        score: str = "f1",
        label_names: ArrayLike | None = None,
        ax: Axes | None = None,
        kind: str = "auto",
        sort_by: str | None = "support",
    ) -> LabelScoresDisplay:
        """Draw the scores of several fitted estimators on the same data.

        Parameters
        ----------
        estimators : dict of str to fitted classifier
        X : sequence of length n
            What they predict from, such as texts.
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        score : {"f1", "average_precision", "roc_auc"}, default="f1"
            "f1" is that of `predict`; the others read `predict_proba`, or
            `decision_function` of an estimator that has no probabilities.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y`, or the estimator's names.
        ax, kind, sort_by
            See :meth:`plot`.

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If an estimator is not fitted.
        ValueError
            If there are no estimators, `score` is unknown, or `y` does not suit them.
        """
        import_pyplot()  # before the estimators are at work for minutes
        _check_request(estimators, score, "estimators")
        scores = {}
        for name, estimator in estimators.items():
            targets, names = truth_for(estimator, y, label_names)
            if score in _OF_CHOICES:
                answers = chosen_labels(estimator, X, targets)
            else:
                answers = predictions_of(estimator, X, y, names, proba=False).scores
            scores[name] = _per_label(score, targets, answers)
        return cls(
            scores, score_name=score, label_names=names, positives=_positives(targets)
        ).plot(ax, kind=kind, sort_by=sort_by)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_scores: Mapping[str, ArrayLike],
        *,
        score: str = "f1",
        thresholds: ArrayLike | Mapping[str, ArrayLike] = 0.5,
        label_names: ArrayLike | None = None,
        ax: Axes | None = None,
        kind: str = "auto",
        sort_by: str | None = "support",
    ) -> LabelScoresDisplay:
        """Draw the scores of given probabilities.

        Parameters
        ----------
        y_true : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        y_scores : dict of str to array-like of shape (n, n_labels) or (n,)
            Probabilities of each model; for the scores other than "f1" any finite
            numbers.
        score : {"f1", "average_precision", "roc_auc"}, default="f1"
        thresholds : float, array-like of shape (n_labels,), or dict, default=0.5
            For "f1": a label is predicted from there on. A dict has an entry for each
            model.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y_true`.
        ax, kind, sort_by
            See :meth:`plot`.

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are no models, `score` is unknown, shapes differ, values are out
            of range, or `thresholds` lacks a model.
        """
        import_pyplot()
        _check_request(y_scores, score, "y_scores")
        scores = {}
        for name, y_score in y_scores.items():
            needs_cut = score in _OF_CHOICES
            found = given_predictions(y_true, y_score, label_names, proba=needs_cut)
            answers = found.scores
            if needs_cut:
                answers = answers >= _thresholds_of(name, thresholds, len(found.names))
            scores[name] = _per_label(score, found.targets, answers)
        return cls(
            scores,
            score_name=score,
            label_names=found.names,
            positives=_positives(found.targets),
        ).plot(ax, kind=kind, sort_by=sort_by)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "auto",
        sort_by: str | None = "support",
    ) -> LabelScoresDisplay:
        """Draw a row per label.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure that is large enough.
        kind : {"auto", "bars", "dots"}, default="auto"
            "bars" draws a bar with its number for every model, "dots" a dot for every
            model on a line. "auto" is "bars" for up to 9 labels.
        sort_by : {"support", "difference"} or None, default="support"
            "support" puts the label with the most known positives first, "difference"
            that for which the last model gains most over the first; None keeps the
            order of the columns.

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` or `sort_by` is unknown, there is no second model to differ, or
            `scores` are of different lengths.
        """
        import_pyplot()
        if kind not in ("auto", "bars", "dots"):
            raise ValueError(f"kind must be 'auto', 'bars' or 'dots'; got {kind!r}.")
        matrix = _as_matrix(self.scores)
        names = check_names(self.label_names, matrix.shape[1])
        order = self._order(matrix, sort_by)
        bars = kind == "bars" or (kind == "auto" and len(names) <= FEW)
        if ax is None:
            axes = label_axes(names, len(matrix), bars=bars)
        else:
            axes = given_axes(ax, 1)
        draw = draw_bars if bars else draw_dots
        handles = draw(axes[0], matrix[:, order])
        self._dress(axes[0], names, order, handles)
        self._set_axes(axes)
        return self

    def _order(self, matrix: np.ndarray, sort_by: str | None) -> np.ndarray:
        if sort_by not in ("support", "difference", None):
            raise ValueError(
                f"sort_by must be 'support', 'difference' or None; got {sort_by!r}."
            )
        if sort_by == "difference":
            if len(matrix) < 2:
                raise ValueError(
                    "sort_by='difference' needs two models; there is one. Use "
                    "sort_by='support'."
                )
            return np.argsort(matrix[0] - matrix[-1], kind="stable")  # nan is last
        if sort_by is None or self.positives is None:
            return np.arange(matrix.shape[1])
        return np.argsort(-np.asarray(self.positives, dtype=float), kind="stable")

    def _dress(self, ax: Axes, names: np.ndarray, order: np.ndarray, handles) -> None:
        plain = plain_score_name(self.score_name)
        plain = plain[0].upper() + plain[1:]
        ax.set_xlabel(plain)
        name_rows(ax, names[order])
        add_legend(
            ax,
            handles,
            list(self.scores),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=2.2 if is_tall(len(names)) else 0.3,
            ncols=min(len(handles), 4),
            title=f"{plain} of each label",
            alignment="left",
        )
        if self.positives is not None:
            notes = np.asarray(self.positives)[order]
            note_rows(ax, [f"{n:.0f}" for n in notes], "positives")


# --- scores ------------------------------------------------------------------------


def _check_request(models: Any, score: str, argument: str) -> None:
    if not isinstance(models, Mapping) or not models:
        got = "an empty dict" if isinstance(models, Mapping) else type(models).__name__
        raise ValueError(
            f"{argument} must be a dict with an entry for each model, such as "
            f"{{'MiniLM': ...}}; got {got}."
        )
    known = [*_OF_CHOICES, *_OF_RANKINGS]
    if score not in known:
        raise ValueError(
            f"score must be one of {', '.join(map(repr, known))}; got {score!r}. Any "
            "other per-label score can be passed to LabelScoresDisplay itself."
        )


def _thresholds_of(name: str, thresholds: Any, n_labels: int) -> np.ndarray:
    if isinstance(thresholds, Mapping):
        if name not in thresholds:
            raise ValueError(
                f"thresholds has no entry for {name!r}; a dict needs one per model."
            )
        return check_thresholds(thresholds[name], n_labels, f"thresholds[{name!r}]")
    return check_thresholds(thresholds, n_labels, "thresholds")


def _per_label(score: str, targets: Targets, answers: np.ndarray) -> np.ndarray:
    """Return the score of each label, nan where there is no known positive."""
    function = (_OF_CHOICES | _OF_RANKINGS)[score]
    values = function(targets.with_nan(), answers, average=None)
    return np.where(targets.positives > 0, values, np.nan)


def _positives(targets: Targets) -> np.ndarray:
    return targets.positives.astype(int)


def _as_matrix(scores: Mapping[str, ArrayLike]) -> np.ndarray:
    """Return scores of shape (n_models, n_labels), float64."""
    rows = [np.asarray(values, dtype=np.float64) for values in scores.values()]
    shapes = {name: np.shape(values) for name, values in scores.items()}
    if len(set(shapes.values())) != 1 or rows[0].ndim != 1:
        raise ValueError(
            f"scores must hold one number per label for every model; shapes: {shapes}."
        )
    return np.array(rows)

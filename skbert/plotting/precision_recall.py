"""Precision-recall curves: one per label, and that of all cells together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skbert.base.outputs import check_thresholds
from skbert.plotting.canvas import (
    FEW,
    GREY,
    Display,
    add_legend,
    given_axes,
    import_pyplot,
    line_style,
    new_axes,
)
from skbert.plotting.curves import operating_point, recall_curve
from skbert.plotting.names import (
    check_names,
    name_width,
    shown_name,
)
from skbert.plotting.predictions import (
    LabelPredictions,
    given_predictions,
    own_thresholds,
    predictions_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MultilabelPrecisionRecallDisplay"]

_N_NAMED = 3  # best and worst labels that have a name where there are many
_MICRO: dict[str, Any] = {"color": "black", "linewidth": 2.5}


class MultilabelPrecisionRecallDisplay(Display):
    """Precision against recall for each label, and for all cells together.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    precision, recall : sequence of ndarray, length n_labels
        Of each label, float64; empty for a label without known positives.
    average_precision : ndarray of shape (n_labels,), float64
        nan for a label without known positives.
    micro : tuple of (ndarray, ndarray, float)
        Precision, recall and average precision of all known cells together.
    label_names : array-like of shape (n_labels,), default=None
    operating_points : ndarray of shape (n_labels, 2), default=None
        Recall and precision at the thresholds; nan where nothing is predicted.

    Attributes
    ----------
    ax_ : matplotlib Axes
    axes_ : ndarray of Axes, shape (1,)
    figure_ : matplotlib Figure

    See Also
    --------
    sklearn.metrics.PrecisionRecallDisplay : The same for one binary problem.
    sklearn.metrics.precision_recall_curve : Computes the curves.

    Notes
    -----
    The curves are steps: J. Davis and M. Goadrich, "The relationship between
    precision-recall and ROC curves", ICML 2006, show that straight lines between the
    points would promise too much. The average precision is the area under the steps.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.plotting import MultilabelPrecisionRecallDisplay
    >>> y_true = np.array([[1, 0], [0, 1], [1, 1], [0, np.nan]])
    >>> y_score = np.array([[0.9, 0.4], [0.4, 0.3], [0.6, 0.7], [0.7, 0.9]])
    >>> display = MultilabelPrecisionRecallDisplay.from_predictions(
    ...     y_true, y_score, label_names=["billing", "bug"]
    ... )
    >>> display.average_precision.round(2)
    array([0.83, 0.83])
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        precision: Sequence[np.ndarray],
        recall: Sequence[np.ndarray],
        *,
        average_precision: np.ndarray,
        micro: tuple[np.ndarray, np.ndarray, float],
        label_names: ArrayLike | None = None,
        operating_points: np.ndarray | None = None,
    ) -> None:
        self.precision = precision
        self.recall = recall
        self.average_precision = average_precision
        self.micro = micro
        self.label_names = label_names
        self.operating_points = operating_points

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        label_names: ArrayLike | None = None,
        show_thresholds: bool = False,
        ax: Axes | None = None,
    ) -> MultilabelPrecisionRecallDisplay:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : fitted classifier with `predict_proba` or `decision_function`
            Also a Pipeline or search that ends in one.
        X : sequence of length n
            What the estimator predicts from, such as texts.
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y`, or the estimator's names.
        show_thresholds : bool, default=False
            Mark where the estimator's thresholds put it on each curve; needs
            probabilities.
        ax : Axes, default=None
            See :meth:`plot`.

        Returns
        -------
        MultilabelPrecisionRecallDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no scores, `y` does not suit it or holds no positive.
        """
        import_pyplot()  # before the estimator is at work for minutes
        found = predictions_of(estimator, X, y, label_names, proba=show_thresholds)
        cuts = own_thresholds(estimator, len(found.names)) if show_thresholds else None
        return _from(cls, found, cuts).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: ArrayLike,
        *,
        thresholds: ArrayLike | None = None,
        label_names: ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> MultilabelPrecisionRecallDisplay:
        """Draw the curves of given scores.

        Parameters
        ----------
        y_true : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        y_score : array-like of shape (n, n_labels) or (n,)
            Probabilities or decision values; probabilities if there are `thresholds`.
        thresholds : float or array-like of shape (n_labels,), default=None
            Marks where these cuts lie on the curves.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y_true`.
        ax : Axes, default=None
            See :meth:`plot`.

        Returns
        -------
        MultilabelPrecisionRecallDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If shapes differ, values are out of range, or `y_true` holds no positive.
        """
        import_pyplot()
        proba = thresholds is not None
        found = given_predictions(y_true, y_score, label_names, proba=proba)
        cuts = None
        if thresholds is not None:
            cuts = check_thresholds(thresholds, len(found.names), "thresholds")
        return _from(cls, found, cuts).plot(ax)

    def plot(self, ax: Axes | None = None) -> MultilabelPrecisionRecallDisplay:
        """Draw the curves.

        Up to 9 labels have a colour each; of more, all are grey but the three with
        the best and the three with the worst average precision. Labels without known
        positives have no curve.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure, with the legend beside the axes.

        Returns
        -------
        MultilabelPrecisionRecallDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        import_pyplot()
        names = check_names(self.label_names, len(self.precision))
        named, others = self._named_and_others()
        entries = self._entries(names, named, len(others))
        place: dict[str, Any] = {"loc": "best"}
        if ax is None:
            width = 5.6 + name_width(entries)
            axes = new_axes(1, 1, width=width, height=5.0).ravel()
            place = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)}
        else:
            axes = given_axes(ax, 1)
        handles = self._draw(axes[0], named, others)
        add_legend(axes[0], handles, entries, **place)
        axes[0].set(
            xlim=(0, 1.02),
            ylim=(0, 1.02),
            xlabel="Recall",
            ylabel="Precision",
            title="Precision and recall of each label",
        )
        self._set_axes(axes)
        return self

    def _named_and_others(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels with a colour, best first, and the grey ones."""
        drawn = np.flatnonzero(~np.isnan(self.average_precision))
        ranked = drawn[np.argsort(-self.average_precision[drawn], kind="stable")]
        if len(ranked) <= FEW:
            return ranked, ranked[:0]
        ends = np.r_[ranked[:_N_NAMED], ranked[-_N_NAMED:]]
        return ends, ranked[_N_NAMED:-_N_NAMED]

    def _entries(self, names: np.ndarray, named: np.ndarray, n_grey: int) -> list[str]:
        """Return what the legend says, in the order of `_draw`."""
        entries = [f"all labels (AP {self.micro[2]:.2f})"]
        for label in named:
            ap = self.average_precision[label]
            entries.append(f"{shown_name(names[label])} (AP {ap:.2f})")
        if n_grey:
            entries.append(f"{n_grey} labels in between")
        if self.operating_points is not None:
            entries.append("at the threshold")
        n_missing = int(np.isnan(self.average_precision).sum())
        if n_missing:
            entries.append(f"not drawn: {n_missing} without known positives")
        return entries

    def _draw(self, ax: Axes, named: np.ndarray, others: np.ndarray) -> list[Any]:
        from matplotlib.lines import Line2D

        micro = ax.step(self.micro[1], self.micro[0], where="post", zorder=3, **_MICRO)
        handles: list[Any] = [micro[0]]
        for i, label in enumerate(named):
            handles.append(self._add_curve(ax, label, **line_style(i)))
        for label in others:
            grey = self._add_curve(ax, label, color=GREY, linewidth=0.7, zorder=1)
        if len(others):
            handles.append(grey)
        if self.operating_points is not None:
            for i, label in enumerate(named):
                self._add_point(ax, label, line_style(i)["color"])
            handles.append(Line2D([], [], color="black", marker="o", linestyle="none"))
        if np.isnan(self.average_precision).any():
            handles.append(Line2D([], [], linestyle="none"))
        return handles

    def _add_curve(self, ax: Axes, label: int, **style: Any) -> Any:
        return ax.step(
            self.recall[label], self.precision[label], where="post", **style
        )[0]

    def _add_point(self, ax: Axes, label: int, colour: str) -> None:
        points = np.asarray(self.operating_points, dtype=float)
        recall, precision = points[label]
        ax.plot([recall], [precision], "o", color=colour, zorder=4, clip_on=False)


def _from(
    cls: type[MultilabelPrecisionRecallDisplay],
    found: LabelPredictions,
    thresholds: np.ndarray | None,
) -> MultilabelPrecisionRecallDisplay:
    targets = found.targets
    if not targets.values.any():
        raise ValueError(
            "y holds no known positive, and without one there is no recall to draw."
        )
    curves = [recall_curve(*found.known(i)) for i in range(targets.n_labels)]
    points = None
    if thresholds is not None:
        pairs = zip(range(targets.n_labels), thresholds, strict=True)
        points = np.array([operating_point(*found.known(i), cut) for i, cut in pairs])
    return cls(
        [precision for precision, _, _ in curves],
        [recall for _, recall, _ in curves],
        average_precision=np.array([ap for _, _, ap in curves]),
        micro=recall_curve(targets.values[targets.known], found.scores[targets.known]),
        label_names=found.names,
        operating_points=points,
    )

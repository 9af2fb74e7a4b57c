"""Threshold curves: F1 against threshold, with the cut that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skbert.base.outputs import check_thresholds
from skbert.plotting.canvas import (
    COLOURS,
    FEW,
    Display,
    add_colorbar,
    add_legend,
    given_axes,
    import_pyplot,
    line_style,
    new_axes,
)
from skbert.plotting.curves import f1_at, f1_curve
from skbert.plotting.names import (
    ROW_HEIGHT,
    TEXT_SIZE,
    check_names,
    name_rows,
    name_width,
    note_rows,
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

__all__ = ["ThresholdDisplay"]

_GRID = np.linspace(0, 1, 201)  # where a heatmap looks the curves up


class ThresholdDisplay(Display):
    """F1 of each label against its threshold, with the chosen cut.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    cuts : sequence of ndarray, length n_labels
        Of each label, its distinct scores, ascending; empty for a label without
        known positives.
    f1 : sequence of ndarray, length n_labels
        Its F1, float64, where everything with at least that score is predicted.
    thresholds : ndarray of shape (n_labels,), float64
        The chosen cuts.
    label_names : array-like of shape (n_labels,), default=None
    positives : array-like of shape (n_labels,), default=None
        Known positives: labels are drawn in this order, the most frequent first.

    Attributes
    ----------
    f1_at_thresholds_ : ndarray of shape (n_labels,), float64
        F1 at the chosen cut; nan for a label without known positives.
    ax_ : matplotlib Axes
        The axes; the first of them if there are several.
    axes_ : ndarray of Axes
        All of them.
    figure_ : matplotlib Figure

    See Also
    --------
    TunedThresholdsDisplay : The thresholds that a search chose.

    Notes
    -----
    F1 changes only at a score that occurs, so the curves are exact steps: between two
    scores it is that of the upper one. Z. C. Lipton, C. Elkan and B. Naryanaswamy,
    "Optimal thresholding of classifiers to maximize F1 measure", ECML 2014, say what
    the best cut has to do with the best F1.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.plotting import ThresholdDisplay
    >>> y_true = np.array([[1, 0], [0, 1], [1, 1], [0, np.nan]])
    >>> y_score = np.array([[0.9, 0.2], [0.4, 0.3], [0.6, 0.7], [0.5, 0.9]])
    >>> display = ThresholdDisplay.from_predictions(
    ...     y_true, y_score, thresholds=[0.6, 0.5], label_names=["billing", "bug"]
    ... )
    >>> display.f1_at_thresholds_.round(2)
    array([1.  , 0.67])
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        cuts: Sequence[np.ndarray],
        f1: Sequence[np.ndarray],
        *,
        thresholds: np.ndarray,
        label_names: ArrayLike | None = None,
        positives: ArrayLike | None = None,
    ) -> None:
        self.cuts = cuts
        self.f1 = f1
        self.thresholds = thresholds
        self.label_names = label_names
        self.positives = positives

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        label_names: ArrayLike | None = None,
        ax: Axes | Sequence[Axes] | np.ndarray | None = None,
        kind: str = "auto",
    ) -> ThresholdDisplay:
        """Draw the curves of a fitted estimator's probabilities, with its cuts.

        Parameters
        ----------
        estimator : fitted classifier with `predict_proba`
            Also a Pipeline or search that ends in one. The cuts are its
            `thresholds_`, 0.5 where it has none.
        X : sequence of length n
            What the estimator predicts from, such as texts.
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y`, or the estimator's names.
        ax, kind
            See :meth:`plot`.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no probabilities, or `y` does not suit it.
        """
        import_pyplot()  # before the estimator is at work for minutes
        found = predictions_of(estimator, X, y, label_names, proba=True)
        thresholds = own_thresholds(estimator, found.targets.n_labels)
        return _from(cls, found, thresholds).plot(ax, kind=kind)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: ArrayLike,
        *,
        thresholds: ArrayLike = 0.5,
        label_names: ArrayLike | None = None,
        ax: Axes | Sequence[Axes] | np.ndarray | None = None,
        kind: str = "auto",
    ) -> ThresholdDisplay:
        """Draw the curves of given probabilities.

        Parameters
        ----------
        y_true : array-like, sparse matrix or DataFrame of shape (n, n_labels) or (n,)
            0, 1, or NaN where a label is unknown; such cells do not count.
        y_score : array-like of shape (n, n_labels) or (n,)
            Probabilities.
        thresholds : float or array-like of shape (n_labels,), default=0.5
            The chosen cuts.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame `y_true`.
        ax, kind
            See :meth:`plot`.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If shapes differ, or values are out of range.
        """
        import_pyplot()
        found = given_predictions(y_true, y_score, label_names, proba=True)
        cuts = check_thresholds(thresholds, found.targets.n_labels, "thresholds")
        return _from(cls, found, cuts).plot(ax, kind=kind)

    @property
    def f1_at_thresholds_(self) -> np.ndarray:
        """F1 at the chosen cuts, shape (n_labels,)."""
        return np.array(
            [self._f1_of(i, cut) for i, cut in enumerate(self.thresholds)], dtype=float
        )

    def _f1_of(self, label: int, threshold: ArrayLike) -> np.ndarray:
        return f1_at(self.cuts[label], self.f1[label], threshold)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | np.ndarray | None = None,
        *,
        kind: str = "auto",
    ) -> ThresholdDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            For lines, one Axes that takes them all, at most 9, or one per label; for a
            heatmap one Axes. None makes a figure that is large enough.
        kind : {"auto", "lines", "heatmap"}, default="auto"
            "lines" draws a panel per label, "heatmap" a row per label, coloured by F1.
            "auto" is "lines" for up to 9 labels.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` is unknown, or there are too many or too few axes.
        """
        n_labels = len(self.cuts)
        if kind not in ("auto", "lines", "heatmap"):
            raise ValueError(
                f"kind must be 'auto', 'lines' or 'heatmap'; got {kind!r}."
            )
        names = check_names(self.label_names, n_labels)
        if kind == "heatmap" or (kind == "auto" and n_labels > FEW):
            self._plot_heatmap(ax, names)
        elif ax is None or np.size(np.asarray(ax, dtype=object)) > 1:
            self._plot_panels(ax, names)
        else:
            self._plot_together(ax, names)
        return self

    def _order(self) -> np.ndarray:
        """Return the labels, the most frequent first."""
        if self.positives is None:
            return np.arange(len(self.cuts))
        return np.argsort(-np.asarray(self.positives, dtype=float), kind="stable")

    # --- lines ----------------------------------------------------------------------

    def _plot_panels(self, ax: Any, names: np.ndarray) -> None:
        n_labels = len(names)
        panels = _panels(n_labels) if ax is None else given_axes(ax, n_labels)
        for panel, label in zip(panels, self._order(), strict=True):
            self._plot_panel(panel, label, names[label])
        if ax is None:
            figure = panels[0].figure
            figure.supxlabel("Threshold", fontsize="medium")
            figure.supylabel("F1", fontsize="medium")
        self._set_axes(panels)

    def _plot_panel(self, panel: Axes, label: int, name: str) -> None:
        cut, f1 = self.thresholds[label], self.f1_at_thresholds_[label]
        title = _broken(shown_name(name))
        count = "" if self.positives is None else _count(self.positives, label)
        if np.isnan(f1):
            panel.text(0.5, 0.5, "no known positives", ha="center", va="center")
        else:
            self._add_line(panel, label, color=COLOURS[0])
            panel.plot([cut], [f1], "o", color=COLOURS[1], zorder=3)
            title += f"\nF1 {f1:.2f} at {cut:.2f}{count}"
        panel.axvline(cut, color=COLOURS[1], linewidth=1, linestyle="--")
        panel.set_title(title, fontsize=TEXT_SIZE, parse_math=False)
        panel.set(xlim=(0, 1), ylim=(0, 1.05))
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])

    def _add_line(self, ax: Axes, label: int, **style: Any) -> Any:
        x = np.concatenate([[0.0], self.cuts[label], [1.0]])
        y = np.concatenate([self.f1[label][:1], self.f1[label], [0.0]])
        if self.cuts[label][-1] >= 1.0:  # a score of 1 is predicted at every threshold
            x, y = x[:-1], y[:-1]
        return ax.step(x, y, where="pre", **style)[0]

    def _plot_together(self, ax: Any, names: np.ndarray) -> None:
        if len(names) > FEW:
            raise ValueError(
                f"One axes can take the lines of {FEW} labels at most; these are "
                f"{len(names)}. Leave ax out, pass an axes per label, or set "
                "kind='heatmap'."
            )
        (axes,) = given_axes(ax, 1)
        drawn = [i for i in self._order() if len(self.cuts[i])]
        lines = []
        for i, label in enumerate(drawn):
            lines.append(self._add_line(axes, label, **line_style(i)))
            cut, f1 = self.thresholds[label], self.f1_at_thresholds_[label]
            axes.plot([cut], [f1], "o", color=line_style(i)["color"], zorder=3)
        add_legend(axes, lines, names[drawn])
        axes.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="Threshold", ylabel="F1")
        axes.set_title("F1 at each threshold (dots: the chosen ones)")
        self._set_axes(np.array([axes]))

    # --- heatmap --------------------------------------------------------------------

    def _plot_heatmap(self, ax: Any, names: np.ndarray) -> None:
        order = self._order()
        (axes,) = _tall_axes(names) if ax is None else given_axes(ax, 1)
        half = _GRID[1] / 2
        pyplot = import_pyplot()
        image = axes.imshow(
            np.array(
                [f1_at(self.cuts[label], self.f1[label], _GRID) for label in order]
            ),
            cmap=pyplot.get_cmap("viridis").with_extremes(bad="0.85"),
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="nearest",
            extent=(-half, 1 + half, len(names) - 0.5, -0.5),
        )
        axes.plot(
            self.thresholds[order],
            np.arange(len(names)),
            linestyle="none",
            marker="o",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor="black",
        )
        axes.set_xlabel("Threshold")
        name_rows(axes, names[order])
        note_rows(axes, [self._note(label) for label in order], "F1 (positives)")
        axes.set_title("F1 at each threshold (dots: the chosen ones)", loc="left")
        add_colorbar(axes, image, "F1 (grey: no known positives)")
        self._set_axes(np.array([axes]))

    def _note(self, label: int) -> str:
        f1 = self.f1_at_thresholds_[label]
        shown = "–" if np.isnan(f1) else f"{f1:.2f}"
        return shown + ("" if self.positives is None else _count(self.positives, label))


def _from(
    cls: type[ThresholdDisplay], found: LabelPredictions, thresholds: np.ndarray
) -> ThresholdDisplay:
    curves = [f1_curve(*found.known(i)) for i in range(found.targets.n_labels)]
    return cls(
        [cuts for cuts, _ in curves],
        [f1 for _, f1 in curves],
        thresholds=thresholds,
        label_names=found.names,
        positives=found.targets.positives.astype(int),
    )


def _count(positives: ArrayLike, label: int) -> str:
    return f" ({int(np.asarray(positives)[label])})"


def _broken(name: str) -> str:
    """Return a name in lines that a panel has room for, broken after an underscore."""
    return fill(name.replace("_", "_ "), 34).replace("_ ", "_")


def _panels(n_panels: int) -> np.ndarray:
    """Return new axes in a grid, shape (n_panels,)."""
    n_columns = {1: 1, 2: 2, 4: 2}.get(n_panels, 3 if n_panels <= FEW else 5)
    n_rows = -(-n_panels // n_columns)
    axes = new_axes(
        n_rows,
        n_columns,
        width=2.8 * n_columns + 0.5,
        height=2.2 * n_rows + 0.5,
        sharex=True,
        sharey=True,
    ).ravel()
    for unused in axes[n_panels:]:
        unused.set_axis_off()
    for lowest in axes[max(0, n_panels - n_columns) : n_panels]:
        lowest.tick_params(labelbottom=True)
    return axes[:n_panels]


def _tall_axes(names: np.ndarray) -> np.ndarray:
    return new_axes(
        1,
        1,
        width=7.5 + name_width(names),
        height=1.6 + ROW_HEIGHT * max(len(names), FEW),
    ).ravel()

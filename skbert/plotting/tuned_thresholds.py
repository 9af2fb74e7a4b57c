"""Tuned thresholds: what a search over folds chose for each label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plotting.canvas import (
    COLOURS,
    FEW,
    GREY,
    Display,
    given_axes,
    import_pyplot,
    new_axes,
)
from skbert.plotting.names import (
    ROW_HEIGHT,
    name_rows,
    name_width,
    note_rows,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TunedThresholdsDisplay"]

_COLUMNS = ("label", "threshold", "score", "std_score", "support")


class TunedThresholdsDisplay(Display):
    """The tuned threshold of each label, beside its score and how folds differ.

    Use :meth:`from_cv_results` to make one.

    Parameters
    ----------
    cv_results : dict of array-like, each of shape (n_labels,)
        "label" (str), "threshold", "score", "std_score" (float; nan where there is no
        spread), "support" (int). If they are there, also "mean_score" and
        ``split{k}_score`` of the folds, and "std_threshold".

    Attributes
    ----------
    ax_ : matplotlib Axes
        That of the thresholds.
    axes_ : ndarray of Axes, shape (2,)
        That of the thresholds and that of the scores.
    figure_ : matplotlib Figure

    See Also
    --------
    ThresholdDisplay : F1 at all thresholds.

    References
    ----------
    W. S. Cleveland, "Graphical methods for data presentation: full scale breaks, dot
    charts, and multibased logging", The American Statistician 38, 1984.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.plotting import TunedThresholdsDisplay
    >>> display = TunedThresholdsDisplay.from_cv_results(
    ...     {
    ...         "label": np.array(["billing", "bug"]),
    ...         "threshold": np.array([0.31, 0.45]),
    ...         "score": np.array([0.71, 0.64]),
    ...         "std_score": np.array([0.02, 0.06]),
    ...         "support": np.array([120, 44]),
    ...     }
    ... )
    >>> [tick.get_text() for tick in display.ax_.get_yticklabels()]
    ['billing', 'bug']
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(self, cv_results: Mapping[str, Any]) -> None:
        self.cv_results = cv_results

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        ax: Sequence[Axes] | np.ndarray | None = None,
    ) -> TunedThresholdsDisplay:
        """Draw the ``cv_results_`` of a `TunedThresholdsClassifierCV`.

        Parameters
        ----------
        cv_results : dict of array-like, each of shape (n_labels,)
            See the constructor.
        ax : array-like of Axes, shape (2,), default=None
            For the thresholds and for the scores. None makes a figure.

        Returns
        -------
        TunedThresholdsDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a column is missing, or `ax` does not hold two axes.
        """
        missing = [name for name in _COLUMNS if name not in cv_results]
        if missing:
            raise ValueError(
                f"cv_results lacks {', '.join(map(repr, missing))}. Pass the "
                "cv_results_ of a fitted TunedThresholdsClassifierCV."
            )
        return cls(cv_results).plot(ax)

    def plot(
        self, ax: Sequence[Axes] | np.ndarray | None = None
    ) -> TunedThresholdsDisplay:
        """Draw a row per label, that with the greatest support first.

        Bars are one standard deviation over the folds to either side, around the
        threshold and around the mean score of the folds, whose own scores are the
        small rings. The diamond is "score", which need not be their mean.

        Parameters
        ----------
        ax : array-like of Axes, shape (2,), default=None
            For the thresholds and for the scores. None makes a figure.

        Returns
        -------
        TunedThresholdsDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `ax` does not hold two axes.
        """
        import_pyplot()
        table = {key: np.asarray(value) for key, value in self.cv_results.items()}
        order = np.argsort(-table["support"].astype(float), kind="stable")
        table = {key: column[order] for key, column in table.items()}
        names = table["label"]
        axes = _new_pair(names) if ax is None else given_axes(ax, 2)
        _plot_thresholds(axes[0], table)
        _plot_scores(axes[1], table)
        for panel in axes:
            name_rows(panel, names)
            panel.grid(axis="y", color="0.92")
            panel.set_axisbelow(True)
        if ax is None:
            axes[1].tick_params(labelleft=False)
        note_rows(axes[1], [str(n) for n in table["support"]], "support")
        self._set_axes(axes)
        return self


def _new_pair(names: np.ndarray) -> np.ndarray:
    return new_axes(
        1,
        2,
        width=7.5 + name_width(names),
        height=1.2 + ROW_HEIGHT * max(len(names), FEW),
        sharey=True,
    ).ravel()


def _plot_thresholds(ax: Axes, table: dict[str, np.ndarray]) -> None:
    thresholds = table["threshold"]
    rows = np.arange(len(thresholds))
    spread = table.get("std_threshold")
    ax.errorbar(thresholds, rows, xerr=spread, fmt="o", color=COLOURS[0], capsize=2)
    ax.set(xlabel="Threshold", title="Chosen threshold")
    if np.all((thresholds >= 0) & (thresholds <= 1)):  # otherwise decision values
        ax.axvline(0.5, color=GREY, linestyle="--", linewidth=1, zorder=0)
        ax.set_xlim(-0.02, 1.02)


def _plot_scores(ax: Axes, table: dict[str, np.ndarray]) -> None:
    rows = np.arange(len(table["score"]))
    folds = [key for key in table if re.fullmatch(r"split\d+_score", key)]
    for key in folds:
        ax.plot(table[key], rows, "o", markersize=4, color=GREY, fillstyle="none")
    middle = table.get("mean_score", table["score"])
    ax.errorbar(
        middle, rows, xerr=table["std_score"], fmt="none", ecolor=COLOURS[1], capsize=2
    )
    ax.plot(table["score"], rows, "D", markersize=5, color=COLOURS[1])
    title = "Score" if len(folds) < 2 else f"Score (rings: the {len(folds)} folds)"
    ax.set(xlabel="Score (bar: standard deviation)", title=title)

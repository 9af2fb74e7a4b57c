"""Co-occurrence: how often a text with one label also has another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skbert.inputs.targets import encode_targets
from skbert.plotting.canvas import (
    Display,
    add_colorbar,
    given_axes,
    import_pyplot,
    new_axes,
)
from skbert.plotting.names import (
    ROW_HEIGHT,
    TEXT_SIZE,
    check_names,
    is_tall,
    name_columns,
    name_rows,
    name_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LabelCooccurrenceDisplay"]

_MOST_NUMBERED = 12  # labels whose cells hold numbers


class LabelCooccurrenceDisplay(Display):
    """How many of the texts with one label also have another.

    Use :meth:`from_targets` to make one.

    Parameters
    ----------
    counts : ndarray of shape (n_labels, n_labels), int64
        Texts known to have both labels; on the diagonal those that have the label.
    row_counts : ndarray of shape (n_labels, n_labels), int64
        Texts with the row's label in which the column's label is known.
    label_names : array-like of shape (n_labels,), default=None

    Attributes
    ----------
    shares : ndarray of shape (n_labels, n_labels), float64
        ``counts / row_counts``, the share of the texts with the row's label that also
        have the column's; nan where there are none.
    ax_ : matplotlib Axes
    axes_ : ndarray of Axes, shape (1,)
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skbert.plotting import LabelCooccurrenceDisplay
    >>> y = pd.DataFrame({"billing": [1, 1, 0, 0], "bug": [1, 0, 1, None]})
    >>> display = LabelCooccurrenceDisplay.from_targets(y)
    >>> display.shares
    array([[1. , 0.5],
           [0.5, 1. ]])
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        counts: np.ndarray,
        row_counts: np.ndarray,
        *,
        label_names: ArrayLike | None = None,
    ) -> None:
        self.counts = counts
        self.row_counts = row_counts
        self.label_names = label_names

    @classmethod
    def from_targets(
        cls,
        y: Any,
        *,
        label_names: ArrayLike | None = None,
        values: str = "share",
        sort_by: str | None = None,
        ax: Axes | None = None,
    ) -> LabelCooccurrenceDisplay:
        """Count and draw the pairs of labels of a target matrix.

        Parameters
        ----------
        y : array-like, sparse matrix or DataFrame of shape (n, n_labels)
            0, 1, or NaN where a label is unknown; a pair counts where both are known.
        label_names : array-like of shape (n_labels,), default=None
            None takes the columns of a DataFrame.
        values, sort_by, ax
            See :meth:`plot`.

        Returns
        -------
        LabelCooccurrenceDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `y` is not a label matrix, or another argument is unknown.
        """
        import_pyplot()
        targets = encode_targets(y)
        present = targets.values.astype(np.float64)
        names = targets.names if label_names is None else label_names
        return cls(
            (present.T @ present).astype(np.int64),
            (present.T @ targets.known).astype(np.int64),
            label_names=check_names(names, targets.n_labels),
        ).plot(ax, values=values, sort_by=sort_by)

    @property
    def shares(self) -> np.ndarray:
        """Conditional shares, shape (n_labels, n_labels)."""
        totals = self.row_counts.astype(np.float64)
        return self.counts / np.where(totals == 0, np.nan, totals)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        values: str = "share",
        sort_by: str | None = None,
    ) -> LabelCooccurrenceDisplay:
        """Draw the matrix; up to 12 labels have a number in every cell.

        The diagonal is grey, since a label always goes with itself; with numbers it
        says how many texts have the label.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure that is large enough.
        values : {"share", "count"}, default="share"
            The share of the texts with the row's label, or the number of texts.
        sort_by : {"support"} or None, default=None
            "support" puts the most frequent label first, None keeps the order of the
            columns of `y`.

        Returns
        -------
        LabelCooccurrenceDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `values` or `sort_by` is unknown.
        """
        pyplot = import_pyplot()
        if values not in ("share", "count"):
            raise ValueError(f"values must be 'share' or 'count'; got {values!r}.")
        order = self._order(sort_by)
        names = check_names(self.label_names, len(self.counts))[order]
        axes = _new_axes(names) if ax is None else given_axes(ax, 1)
        cells = self.shares if values == "share" else self.counts.astype(float)
        cells = cells[np.ix_(order, order)]
        np.fill_diagonal(cells, np.nan)
        image = axes[0].imshow(
            cells,
            cmap=pyplot.get_cmap("viridis").with_extremes(bad="0.85"),
            vmin=0,
            # All would be dark if rare pairs were held against 1.
            vmax=np.max(cells, initial=0.0, where=~np.isnan(cells)) or 1.0,
            interpolation="nearest",
            # The figure makes cells square; "equal" would let the layout cut names off.
            aspect="auto",
        )
        name_rows(axes[0], names)
        name_columns(axes[0], names)
        if len(names) <= _MOST_NUMBERED:
            _add_numbers(axes[0], image, cells, np.diag(self.counts)[order], values)
        axes[0].set(
            title="Labels that go together",
            xlabel="also have the label\n(grey: itself, or no such text)",
            ylabel="Texts with the label",
        )
        what = "Share of the texts" if values == "share" else "Number of texts"
        add_colorbar(axes[0], image, what)
        self._set_axes(axes)
        return self

    def _order(self, sort_by: str | None) -> np.ndarray:
        if sort_by not in ("support", None):
            raise ValueError(f"sort_by must be 'support' or None; got {sort_by!r}.")
        if sort_by is None:
            return np.arange(len(self.counts))
        return np.argsort(-np.diag(self.counts), kind="stable")


def _new_axes(names: np.ndarray) -> np.ndarray:
    n_labels, margin = len(names), name_width(names)
    cell = 0.45 if n_labels <= _MOST_NUMBERED else ROW_HEIGHT
    side = max(n_labels * cell, 2.4)
    above_and_below = margin * (2 if is_tall(n_labels) else 1)
    width, height = side + margin + 1.6, side + above_and_below + 1.1
    return new_axes(1, 1, width=width, height=height).ravel()


def _add_numbers(
    ax: Axes, image: Any, cells: np.ndarray, positives: np.ndarray, values: str
) -> None:
    for (row, column), value in np.ndenumerate(cells):
        if row == column:
            text, colour = f"n={positives[row]}", "black"
        elif np.isnan(value):
            continue
        else:
            text = f"{value:.2f}" if values == "share" else f"{value:.0f}"
            colour = "black" if image.norm(value) > 0.6 else "white"
        ax.text(
            column,
            row,
            text,
            color=colour,
            ha="center",
            va="center",
            fontsize=TEXT_SIZE - 1.5,
        )

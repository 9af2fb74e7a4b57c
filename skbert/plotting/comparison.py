"""Comparison: estimators on the same folds, and how far they are from the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skbert.plotting.canvas import (
    COLOURS,
    Display,
    given_axes,
    import_pyplot,
    new_axes,
)
from skbert.plotting.names import (
    name_rows,
    name_width,
    note_rows,
    plain_score_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ComparisonDisplay"]

_TIMES = ("fit_time", "predict_time")
_NO_METRICS = ("score_time", *_TIMES)
_HOW = "Pass what skbert.compare returns, as it is."


class ComparisonDisplay(Display):
    """Scores of estimators on the same folds, and their differences to the first.

    Use :meth:`from_results` to make one.

    Parameters
    ----------
    table : DataFrame
        What `compare` returns: a row per estimator; columns (metric, statistic) with
        "mean" and "std" of each metric, "difference", "low" and "high" (difference to
        the first row and its confidence interval), and "mean" of "fit_time" and
        "predict_time" in seconds.

    Attributes
    ----------
    metrics : list of str
    ax_ : matplotlib Axes
        That of the first metric's scores.
    axes_ : ndarray of Axes, shape (1, n_metrics) or (2, n_metrics)
        Scores, and below them the differences where there are any.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skbert.plotting import ComparisonDisplay
    >>> table = pd.DataFrame(
    ...     {("f1_macro", "mean"): [0.52, 0.58], ("f1_macro", "std"): [0.02, 0.01]},
    ...     index=pd.Index(["TF-IDF", "MiniLM"], name="estimator"),
    ... )
    >>> display = ComparisonDisplay.from_results(table)
    >>> display.metrics
    ['f1_macro']
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_results(
        cls,
        table: pd.DataFrame,
        *,
        ax: Axes | Sequence[Axes] | np.ndarray | None = None,
    ) -> ComparisonDisplay:
        """Draw the table that `compare` returns.

        Parameters
        ----------
        table : DataFrame
            See the constructor.
        ax : Axes or array-like of Axes, default=None
            See :meth:`plot`.

        Returns
        -------
        ComparisonDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `table` is not a DataFrame.
        ValueError
            If it is not of that form.
        """
        if not isinstance(table, pd.DataFrame):
            raise TypeError(
                f"table must be a DataFrame; got {type(table).__name__}. {_HOW}"
            )
        display = cls(table)
        if table.columns.nlevels != 2 or len(table) == 0 or not display.metrics:
            raise ValueError(
                "table has no scores to draw: it needs a row per estimator and columns "
                f"(metric, 'mean') and (metric, 'std'). {_HOW}"
            )
        return display.plot(ax)

    @property
    def metrics(self) -> list[str]:
        """Names of the scores, in the order of the table."""
        if self.table.columns.nlevels != 2:
            return []
        names = self.table.columns.get_level_values(0)
        return [
            name
            for name in dict.fromkeys(names)
            if name not in _NO_METRICS and (name, "mean") in self.table.columns
        ]

    def plot(
        self, ax: Axes | Sequence[Axes] | np.ndarray | None = None
    ) -> ComparisonDisplay:
        """Draw the scores and, below them, the differences.

        The bars beside a score are one standard deviation over the folds to either
        side; those beside a difference are its confidence interval, and the dot is
        filled where they leave out zero. The mean times of one fit and one prediction
        stand at the right.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            An axes per metric, and as many again for the differences if there are.
            None makes a figure.

        Returns
        -------
        ComparisonDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are more or fewer axes.
        """
        import_pyplot()
        names = [str(name) for name in self.table.index]
        n_rows = 2 if self._has_differences() else 1
        shape = n_rows, len(self.metrics)
        if ax is None:
            axes = _new_axes(shape, names)
        else:
            axes = given_axes(ax, n_rows * len(self.metrics)).reshape(shape)
        for column, metric in enumerate(self.metrics):
            self._draw_scores(axes[0, column], metric)
            if n_rows == 2:
                self._draw_differences(axes[1, column], metric)
        for panel in axes.flat:
            name_rows(panel, names)
            panel.grid(axis="y", color="0.92")
            panel.set_axisbelow(True)
        for panel in axes[:, 1:].flat if ax is None else ():
            panel.tick_params(labelleft=False)
        self._note_times(axes[0, -1])
        self._set_axes(axes)
        return self

    def _column(self, metric: str, statistic: str) -> np.ndarray:
        """Return a column, shape (n_estimators,), float64; nan if it is not there."""
        if (metric, statistic) not in self.table.columns:
            return np.full(len(self.table), np.nan)
        return self.table[metric, statistic].to_numpy(dtype=np.float64)

    def _has_differences(self) -> bool:
        # Of the first row to itself it is nothing to draw.
        return any(
            not np.isnan(self._column(metric, "difference")[1:]).all()
            for metric in self.metrics
        )

    def _draw_scores(self, ax: Axes, metric: str) -> None:
        ax.errorbar(
            self._column(metric, "mean"),
            np.arange(len(self.table)),
            xerr=self._column(metric, "std"),
            fmt="o",
            color=COLOURS[0],
            capsize=3,
        )
        plain = plain_score_name(metric)
        ax.set(title=plain[0].upper() + plain[1:], xlabel="mean ± standard deviation")
        ax.margins(x=0.1)
        ax.locator_params(axis="x", nbins=5)

    def _draw_differences(self, ax: Axes, metric: str) -> None:
        low, difference, high = (
            self._column(metric, name) for name in ("low", "difference", "high")
        )
        ax.axvline(0, color="black", linewidth=1)
        ax.plot([0], [0], "D", color="black", fillstyle="none")  # the first itself
        for row in 1 + np.flatnonzero(~np.isnan(difference[1:])):
            clear = low[row] > 0 or high[row] < 0
            # Not an error bar: an interval need not hold the difference itself.
            ax.plot([low[row], high[row]], [row, row], "|-", color=COLOURS[1])
            fill = "full" if clear else "none"
            ax.plot(difference[row], row, "o", color=COLOURS[1], fillstyle=fill)
        ax.set_xlabel("difference to the first\n(filled: interval without 0)")
        ax.margins(x=0.1)
        ax.locator_params(axis="x", nbins=5)

    def _note_times(self, ax: Axes) -> None:
        fit, predict = (self._column(name, "mean") for name in _TIMES)
        if np.isnan(fit).all():
            return
        notes = [
            f"{_duration(a)}{'' if np.isnan(b) else f' / {_duration(b)}'}"
            for a, b in zip(fit, predict, strict=True)
        ]
        both = not np.isnan(predict).all()
        note_rows(ax, notes, "fit / predict" if both else "fit")


def _new_axes(shape: tuple[int, int], names: list[str]) -> np.ndarray:
    n_rows, n_metrics = shape
    return new_axes(
        n_rows,
        n_metrics,
        width=2.9 * max(n_metrics, 1.4) + name_width(names) + 1.0,
        height=n_rows * (1.2 + 0.28 * max(len(names), 2)),
        sharey=True,
    )


def _duration(seconds: float) -> str:
    """Return a time in the unit in which it is easy to read."""
    if np.isnan(seconds):
        return "–"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"

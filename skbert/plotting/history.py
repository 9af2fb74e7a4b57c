"""History: losses and validation scores of a fit, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert.plotting.canvas import (
    Display,
    add_legend,
    given_axes,
    import_pyplot,
    line_style,
    marker_style,
    new_axes,
)
from skbert.plotting.names import (
    plain_score_name,
)
from skbert.plotting.predictions import find_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TrainingHistoryDisplay"]

_LOSSES = {"train_loss": "training", "valid_loss": "validation"}


class TrainingHistoryDisplay(Display):
    """Losses and validation scores of every epoch, the best epoch marked.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    history : list of dict
        One per epoch: ``epoch`` (int), ``train_loss``, and with validation data
        ``valid_loss`` and ``valid_*`` scores (float), with ``valid_*_best`` (bool)
        beside the score that chose the best epoch.

    Attributes
    ----------
    best_epoch_ : int or None
        The epoch whose weights were kept; None without validation data.
    ax_ : matplotlib Axes
        That of the losses.
    axes_ : ndarray of Axes, shape (1,) or (2,)
        Losses, and scores where there are any.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skbert.plotting import TrainingHistoryDisplay
    >>> history = [
    ...     {"epoch": 1, "train_loss": 0.6, "valid_f1_macro": 0.3},
    ...     {"epoch": 2, "train_loss": 0.4, "valid_f1_macro": 0.5},
    ... ]
    >>> history[0]["valid_f1_macro_best"] = history[1]["valid_f1_macro_best"] = True
    >>> display = TrainingHistoryDisplay(history).plot()
    >>> display.best_epoch_
    2
    >>> import matplotlib.pyplot as plt
    >>> plt.close(display.figure_)
    """

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | Sequence[Axes] | np.ndarray | None = None
    ) -> TrainingHistoryDisplay:
        """Draw the ``history_`` of a fitted estimator.

        Parameters
        ----------
        estimator : TransformerMultiLabelClassifier
            Fitted; also a Pipeline, search or meta-estimator around one.
        ax : Axes or array-like of Axes, default=None
            See :meth:`plot`.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no history, because it is of another kind or was not trained
            but loaded.
        """
        check_is_fitted(estimator)
        history = find_fitted(estimator, "history_")
        if history is None:
            raise ValueError(
                f"{type(estimator).__name__} has no history_: only a "
                "TransformerMultiLabelClassifier is trained in epochs."
            )
        if len(history) == 0:
            raise ValueError(
                "history_ is empty: the model was loaded, and no fit was recorded in "
                "its folder. Call fit to have one."
            )
        return cls(history).plot(ax)

    @property
    def best_epoch_(self) -> int | None:
        """The epoch whose weights were kept."""
        best = [
            row["epoch"]
            for row in self.history
            if any(row[key] for key in row if key.endswith("_best"))
        ]
        return int(best[-1]) if best else None

    def plot(
        self, ax: Axes | Sequence[Axes] | np.ndarray | None = None
    ) -> TrainingHistoryDisplay:
        """Draw the losses and, beside them, the validation scores.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            One for the losses, and a second one if there are validation scores. None
            makes a figure.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are more or fewer axes.
        """
        import_pyplot()
        scores = self._score_keys()
        n_axes = 2 if scores else 1
        if ax is None:
            axes = new_axes(1, n_axes, width=4.8 * n_axes, height=4.2).ravel()
        else:
            axes = given_axes(ax, n_axes)
        losses = {
            key: name
            for key, name in _LOSSES.items()
            if any(key in row for row in self.history)
        }
        self._draw(axes[0], losses, "Loss")
        if scores:
            self._draw(axes[1], scores, "Validation score")
        self._set_axes(axes)
        return self

    def _score_keys(self) -> dict[str, str]:
        """Return the columns that are validation scores, and their plain names."""
        keys = [key for row in self.history for key in row if key.startswith("valid_")]
        return {
            key: plain_score_name(key)
            for key in dict.fromkeys(keys)
            if key not in _LOSSES and not key.endswith("_best") and self._is_number(key)
        }

    def _is_number(self, key: str) -> bool:
        return all(isinstance(row.get(key, 0.0), Real) for row in self.history)

    def _draw(self, ax: Axes, columns: dict[str, str], title: str) -> None:
        from matplotlib.ticker import MaxNLocator

        epochs = [row["epoch"] for row in self.history]
        handles = [
            ax.plot(
                epochs,
                [row.get(key, np.nan) for row in self.history],
                markersize=5,
                **(marker_style(i) | line_style(i)),
            )[0]
            for i, key in enumerate(columns)
        ]
        names = list(columns.values())
        if self.best_epoch_ is not None:
            handles.append(ax.axvline(self.best_epoch_, color="black", linestyle=":"))
            names.append(f"best epoch: {self.best_epoch_}")
        ax.set(title=title, xlabel="Epoch")
        ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        # Below the axes, where no line can run through it.
        add_legend(
            ax, handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2
        )

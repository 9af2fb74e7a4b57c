"""Bars: scores drawn in a row per label, as bars or as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plotting.canvas import COLOURS, GREY, marker_style, new_axes
from skbert.plotting.names import ROW_HEIGHT, TEXT_SIZE, name_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bars", "draw_dots", "label_axes"]


def label_axes(names: np.ndarray, n_models: int, *, bars: bool) -> np.ndarray:
    """Return new axes, shape (1,), with room for the bars or dots of every label."""
    row = max(2 * ROW_HEIGHT, 0.1 + ROW_HEIGHT * n_models) if bars else ROW_HEIGHT
    height = 1.3 + max(row * len(names), 1.0)
    return new_axes(1, 1, width=6.2 + name_width(names), height=height).ravel()


def draw_bars(ax: Axes, matrix: np.ndarray) -> list[Any]:
    """Draw a bar for every model and label, with its number.

    Parameters
    ----------
    ax : Axes
    matrix : ndarray of shape (n_models, n_labels), float64
        nan has no bar.

    Returns
    -------
    list of length n_models
        What a legend shows.
    """
    n_models, n_labels = matrix.shape
    thickness = 0.84 / n_models
    handles = []
    for i, values in enumerate(matrix):
        rows = np.arange(n_labels) + (i - (n_models - 1) / 2) * thickness
        colour = COLOURS[i % len(COLOURS)]
        handles.append(ax.barh(rows, np.nan_to_num(values), thickness, color=colour))
        for row, value in zip(rows, values, strict=True):
            ax.text(
                0 if np.isnan(value) else max(value, 0.0),
                row,
                " –" if np.isnan(value) else f" {value:.2f}",
                va="center",
                fontsize=TEXT_SIZE,
            )
    _limit(ax, matrix, room=0.12)
    return handles


def draw_dots(ax: Axes, matrix: np.ndarray) -> list[Any]:
    """Draw a dot for every model and label, those of a label on one line.

    Parameters
    ----------
    ax : Axes
    matrix : ndarray of shape (n_models, n_labels), float64
        nan has no dot.

    Returns
    -------
    list of length n_models
        What a legend shows.
    """
    n_models, n_labels = matrix.shape
    rows = np.arange(n_labels)
    some = ~np.isnan(matrix).all(axis=0)
    low, high = (f(matrix[:, some], axis=0) for f in (np.nanmin, np.nanmax))
    ax.hlines(rows[some], low, high, color=GREY, linewidth=2, zorder=1)
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    sizes = np.linspace(8, 5, n_models)  # equal scores do not hide one another
    handles = [
        ax.plot(values, rows, linestyle="none", markersize=size, **marker_style(i))[0]
        for i, (values, size) in enumerate(zip(matrix, sizes, strict=True))
    ]
    _limit(ax, matrix, room=0.02)
    return handles


def _limit(ax: Axes, matrix: np.ndarray, *, room: float) -> None:
    """Show the whole range of scores that lie between 0 and 1."""
    known = matrix[~np.isnan(matrix)]
    if np.all((known >= 0) & (known <= 1)):
        ax.set_xlim(0 if room > 0.1 else -room, 1 + room)
        ax.set_xticks(np.linspace(0, 1, 6))

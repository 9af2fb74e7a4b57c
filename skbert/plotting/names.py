"""Names: of labels, models and scores, and how they stand beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ROW_HEIGHT",
    "TEXT_SIZE",
    "check_names",
    "is_tall",
    "name_columns",
    "name_rows",
    "name_width",
    "note_rows",
    "plain_score_name",
    "shown_name",
]

TEXT_SIZE = 9.0  # points, of names and numbers
ROW_HEIGHT = 0.19  # inches: what a name of that size needs
_CHARACTER_WIDTH = 0.075  # inches, on average
_LONGEST_NAME = 60  # characters
_TALL = 27  # rows from which on the axis below is a long way from the first one


def check_names(names: Any, n_labels: int) -> np.ndarray:
    """Return label names as text.

    Parameters
    ----------
    names : array-like of shape (n_labels,) or None
        None makes names up.
    n_labels : int

    Returns
    -------
    ndarray of shape (n_labels,), object

    Raises
    ------
    ValueError
        If there are not as many as labels.
    """
    if names is None:
        names = [f"label_{i}" for i in range(n_labels)]
    names = np.array([str(name) for name in names], dtype=object)
    if len(names) != n_labels:
        raise ValueError(
            f"label_names has {len(names)} names, but there are {n_labels} label(s)."
        )
    return names


def shown_name(name: Any) -> str:
    """Return a name on one line, its middle left out where it is very long."""
    name = " ".join(str(name).split())
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def name_width(names: Sequence[Any] | np.ndarray) -> float:
    """Return about how many inches the longest name needs."""
    return _CHARACTER_WIDTH * max(len(shown_name(name)) for name in names)


def name_rows(ax: Axes, names: Sequence[Any] | np.ndarray) -> None:
    """Give every row of the axes its name; the first row is at the top.

    Names keep their dollar signs, and are made smaller where the axes leave them less
    room than they need.
    """
    ax.set_yticks(
        np.arange(len(names)),
        [shown_name(name) for name in names],
        fontsize=_fitting_size(ax, len(names)),
        parse_math=False,
    )
    ax.set_ylim(len(names) - 0.5, -0.5)
    if is_tall(len(names)):
        ax.tick_params(axis="x", top=True, labeltop=True)


def is_tall(n_rows: int) -> bool:
    """Return whether so many rows have their x axis on top as well."""
    return n_rows > _TALL


def name_columns(ax: Axes, names: Sequence[Any] | np.ndarray) -> None:
    """Give every column of the axes its name, to be read upwards."""
    ax.set_xticks(
        np.arange(len(names)),
        [shown_name(name) for name in names],
        fontsize=_fitting_size(ax, len(names), "width"),
        parse_math=False,
        rotation=90,
    )


def note_rows(ax: Axes, notes: Sequence[str], heading: str) -> None:
    """Write a note at the right of every row, and a heading above the notes."""
    size = _fitting_size(ax, len(notes))
    for row, note in enumerate(notes):
        ax.text(
            1.015,
            row,
            note,
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=size,
        )
    # Above the tick labels where there are any, which may reach as far.
    ax.annotate(
        heading,
        (1.015, 1.0),
        xytext=(0, 18 if is_tall(len(notes)) else 2),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=TEXT_SIZE,
    )


def _fitting_size(ax: Axes, n_names: int, side: str = "height") -> float:
    """Return the font size, in points, at which so many names do not overlap."""
    room = getattr(ax.get_window_extent(), side) / ax.figure.dpi  # inches
    return float(np.clip(0.85 * 72 * room / n_names, 3.0, TEXT_SIZE))


def plain_score_name(name: str) -> str:
    """Return the name of a score in plain words: "f1_macro" is "F1 macro"."""
    words = name.removeprefix("valid_").replace("_", " ")
    return (
        words.replace("f1", "F1")
        .replace("roc auc", "ROC AUC")
        .replace("neg ", "negative ")
    )

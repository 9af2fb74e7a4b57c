"""Canvas: figures and axes, the colours on them, legends and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plotting.names import TEXT_SIZE, shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage
    from matplotlib.legend import Legend

__all__ = [
    "COLOURS",
    "FEW",
    "GREY",
    "Display",
    "add_colorbar",
    "add_legend",
    "given_axes",
    "import_pyplot",
    "line_style",
    "marker_style",
    "new_axes",
]

# Up to so many labels get a colour, a panel or a number each; more are drawn as one
# picture with a row per label.
FEW = 9

# The palette of Okabe and Ito, "Color Universal Design", 2008: told apart by people of
# every kind of colour vision. Its yellow is too pale for lines on white, its black is
# kept for what stands out.
COLOURS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#666666",
)
GREY = "#B0B0B0"
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")


class Display:
    """What all displays share: where they were drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes; the first of them if there are several. Set by ``plot``.
    axes_ : ndarray of Axes
        All axes that were drawn on.
    figure_ : matplotlib Figure
    """

    ax_: Axes
    axes_: np.ndarray
    figure_: Figure | SubFigure

    def _set_axes(self, axes: np.ndarray) -> None:
        self.axes_ = axes
        self.ax_ = axes.flat[0]
        self.figure_ = self.ax_.figure


# --- axes --------------------------------------------------------------------------


def import_pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If matplotlib is not installed; it names the extra that brings it.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "The displays of skbert.plotting need matplotlib, which cannot be "
            'imported. Install it by: pip install "skbert[plot]"'
        ) from error
    return pyplot


def new_axes(
    n_rows: int, n_columns: int, *, width: float, height: float, **options: Any
) -> np.ndarray:
    """Make a figure with a grid of axes.

    Parameters
    ----------
    n_rows, n_columns : int
    width, height : float
        Of the figure, in inches.
    **options : dict
        Of :func:`matplotlib.pyplot.subplots`.

    Returns
    -------
    ndarray of Axes, shape (n_rows, n_columns)
    """
    _, axes = import_pyplot().subplots(
        n_rows,
        n_columns,
        figsize=(width, height),
        layout="constrained",
        squeeze=False,
        **options,
    )
    return axes


def given_axes(ax: Axes | Sequence[Axes] | np.ndarray, n_axes: int) -> np.ndarray:
    """Return the axes that a user passed as ``ax``.

    Parameters
    ----------
    ax : Axes or array-like of Axes
    n_axes : int
        How many the display needs.

    Returns
    -------
    ndarray of Axes, shape (n_axes,)

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) != n_axes:
        raise ValueError(
            f"ax holds {len(axes)} axes, but this picture needs {n_axes}. Pass as "
            "many, or leave ax out to get a new figure."
        )
    return axes


# --- colours, legends --------------------------------------------------------------


def line_style(i: int) -> dict[str, Any]:
    """Return colour and dashes of the i-th line; 28 differ."""
    n_colours = len(COLOURS)
    return {
        "color": COLOURS[i % n_colours],
        "linestyle": _DASHES[i // n_colours % len(_DASHES)],
    }


def marker_style(i: int) -> dict[str, Any]:
    """Return colour and shape of the i-th marker; 56 differ."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def add_legend(
    ax: Axes, handles: Sequence[Any], names: Sequence[Any] | np.ndarray, **options: Any
) -> Legend:
    """Add a legend whose entries are any names at all.

    matplotlib would leave out names that begin with an underscore, and read dollar
    signs as formulas.
    """
    options = {"fontsize": TEXT_SIZE, "frameon": False} | options
    legend = ax.legend(handles, [str(i) for i in range(len(handles))], **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(shown_name(name))
    return legend


def add_colorbar(ax: Axes, image: AxesImage, label: str) -> None:
    """Add a colour bar at the right of the axes' top, no taller than four inches."""
    height = ax.get_window_extent().height / ax.figure.dpi
    shrink = min(1.0, 4.0 / height)
    bar = ax.figure.colorbar(
        image, ax=ax, shrink=shrink, anchor=(0.0, 1.0), aspect=20, pad=0.02
    )
    bar.set_label(label)

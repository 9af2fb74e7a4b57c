"""What the tests of pictures share: data, and a look at what was drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

N_LABELS = (2, 9, 10, 90)
LONG_NAME = "a_label_name_of_exactly_forty_characters"


@pytest.fixture(autouse=True)
def agg_canvas():
    """Draw into memory, and leave no figure open. Import it to use it."""
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def label_data(n_labels, n_rows=200, seed=0):
    """Make targets with unknown cells, probabilities and names of labels.

    Every second label is rare, the last one of several has no positive.
    """
    rng = np.random.default_rng(seed)
    prior = np.where(np.arange(n_labels) % 2, 0.05, 0.4)
    y = (rng.random((n_rows, n_labels)) < prior).astype(float)
    y[0] = 1
    p = np.clip(0.35 * y + 0.65 * rng.random(y.shape), 0, 1)
    y[rng.random(y.shape) < 0.1] = np.nan
    y[0, 0] = 1
    if n_labels > 2:
        y[y[:, -1] == 1, -1] = 0
    names = [f"label_{i}" for i in range(n_labels)]
    names[-1] = LONG_NAME
    return y, p, names


def named(display):
    """Return the names of what a display was made of."""
    return [name for name in vars(display) if not name.endswith("_")]


def tick_names(ax, axis="y"):
    """Return the names beside the rows, from the top."""
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


def legend_names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def _words(figure):
    """Return all texts of a figure that can be seen."""
    found = [t for t in (figure._supxlabel, figure._supylabel) if t is not None]
    for ax in figure.axes:
        if not ax.axison:
            continue
        found += [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    found += [tick.label1, tick.label2]
        if ax.get_legend() is not None:
            found += ax.get_legend().get_texts()
    return [t for t in found if t.get_visible() and t.get_text().strip()]


def assert_readable(figure):
    """Check that no two texts overlap and none is cut off."""
    figure.canvas.draw()
    words = _words(figure)
    assert words
    boxes = [word.get_window_extent() for word in words]
    corners = np.array([[b.x0, b.y0, b.x1, b.y1] for b in boxes])
    width, height = figure.canvas.get_width_height()
    inside = (corners >= -1).all(axis=1)
    inside &= (corners[:, 2] <= width + 1) & (corners[:, 3] <= height + 1)
    assert inside.all(), [
        w.get_text() for w, i in zip(words, inside, strict=True) if not i
    ]
    x0, y0, x1, y1 = (corners[:, [i]] for i in range(4))
    apart = (x1 <= x0.T + 1) | (x0 >= x1.T - 1) | (y1 <= y0.T + 1) | (y0 >= y1.T - 1)
    np.fill_diagonal(apart, True)
    pairs = [(words[i].get_text(), words[j].get_text()) for i, j in np.argwhere(~apart)]
    assert not pairs, pairs

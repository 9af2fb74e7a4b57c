"""Tests of skbert.plotting.cooccurrence."""

import numpy as np
import pytest
from scipy import sparse

from pictures import (
    agg_canvas,  # noqa: F401
    label_data,
    tick_names,
)
from skbert.plotting import LabelCooccurrenceDisplay

Y = np.array([[1, 1, 0], [1, 0, 0], [1, np.nan, 0], [0, 1, 0]])


def test_shares_are_of_the_texts_in_which_both_are_known():
    display = LabelCooccurrenceDisplay.from_targets(Y)
    nan = np.nan
    np.testing.assert_array_equal(
        display.shares, [[1, 0.5, 0], [0.5, 1, 0], [nan, nan, nan]]
    )
    np.testing.assert_array_equal(display.counts, [[3, 1, 0], [1, 2, 0], [0, 0, 0]])


def test_the_diagonal_and_labels_without_texts_are_grey():
    display = LabelCooccurrenceDisplay.from_targets(Y)
    cells = display.ax_.images[0].get_array()
    expected = np.eye(3, dtype=bool)
    expected[2] = True
    np.testing.assert_array_equal(np.ma.getmaskarray(cells), expected)
    assert cells[0, 1] == 0.5


def test_rows_and_columns_are_named():
    y, _, names = label_data(20)
    display = LabelCooccurrenceDisplay.from_targets(y, label_names=names)
    assert tick_names(display.ax_) == tick_names(display.ax_, "x") == names
    assert display.ax_.images[0].get_array().shape == (20, 20)


@pytest.mark.parametrize(("n_labels", "n_numbers"), [(3, 7), (12, 133), (13, 0)])
def test_only_few_labels_have_numbers(n_labels, n_numbers):
    y, _, _ = label_data(n_labels)  # the last row holds its own count only
    display = LabelCooccurrenceDisplay.from_targets(y)
    assert len(display.ax_.texts) == n_numbers


def test_counts_can_be_drawn_and_labels_sorted():
    display = LabelCooccurrenceDisplay.from_targets(
        sparse.csr_matrix([[0, 1, 1], [0, 1, 0], [1, 1, 1]]),
        label_names=["rare", "frequent", "middle"],
        values="count",
        sort_by="support",
    )
    assert tick_names(display.ax_) == ["frequent", "middle", "rare"]
    cells = np.ma.filled(display.ax_.images[0].get_array(), -1)
    np.testing.assert_array_equal(cells, [[-1, 2, 1], [2, -1, 1], [1, 1, -1]])
    assert {t.get_text() for t in display.ax_.texts} == {"n=3", "n=2", "n=1", "2", "1"}


def test_unknown_requests_are_told():
    with pytest.raises(ValueError, match="values must be 'share' or 'count'"):
        LabelCooccurrenceDisplay.from_targets(Y, values="lift")
    with pytest.raises(ValueError, match="sort_by must be 'support' or None"):
        LabelCooccurrenceDisplay.from_targets(Y, sort_by="name")

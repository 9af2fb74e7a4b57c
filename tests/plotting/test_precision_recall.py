"""Tests of skbert.plotting.precision_recall."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.svm import LinearSVC

from pictures import (
    agg_canvas,  # noqa: F401
    label_data,
    legend_names,
)
from skbert.baseline import BinaryRelevanceClassifier
from skbert.metrics import nan_average_precision_score
from skbert.plotting import MultilabelPrecisionRecallDisplay as Display


def test_curves_are_those_of_scikit_learn(answers):
    y, p, _, _ = answers
    display = Display.from_predictions(y, p)
    for label in range(5):
        precision, recall, _ = precision_recall_curve(y[:, label], p[:, label])
        np.testing.assert_array_equal(display.precision[label], precision)
        np.testing.assert_array_equal(display.recall[label], recall)
    np.testing.assert_allclose(
        display.average_precision, average_precision_score(y, p, average=None)
    )
    assert display.micro[2] == pytest.approx(
        average_precision_score(y, p, average="micro")
    )


def test_average_precision_is_that_of_the_known_cells():
    y, p, _ = label_data(5)
    display = Display.from_predictions(y, p)
    np.testing.assert_allclose(
        display.average_precision, nan_average_precision_score(y, p, average=None)
    )
    micro = nan_average_precision_score(y, p, average="micro")
    assert display.micro[2] == pytest.approx(micro)


def test_few_labels_have_a_curve_and_a_legend_entry_each():
    y, p, names = label_data(5)
    display = Display.from_predictions(y, p, label_names=names)
    entries = legend_names(display.ax_)
    assert len(display.ax_.lines) == 5  # all labels together, and the four with one
    assert entries[0].startswith("all labels (AP ")
    assert sorted(e.split(" ")[0] for e in entries[1:5]) == sorted(names[:4])
    assert entries[-1] == "not drawn: 1 without known positives"
    styles = {(x.get_color(), x.get_linestyle()) for x in display.ax_.lines}
    assert len(styles) == 5


def test_of_many_labels_the_best_and_the_worst_are_named():
    y, p, names = label_data(20)
    display = Display.from_predictions(y, p, label_names=names)
    entries = legend_names(display.ax_)
    ranked = np.argsort(-display.average_precision[:19], kind="stable")
    shown = [entry.split(" (AP")[0] for entry in entries[1:7]]
    assert shown == [names[i] for i in [*ranked[:3], *ranked[-3:]]]
    assert entries[7] == "13 labels in between"
    assert len(display.ax_.lines) == 1 + 19


def test_the_thresholds_lie_on_the_curves():
    y, p, _ = label_data(4)
    display = Display.from_predictions(y, p, thresholds=[0.3, 0.5, 0.4, 0.5])
    for label in range(3):
        known = ~np.isnan(y[:, label])
        truth, chosen = y[known, label] == 1, p[known, label] >= 0.3
        recall, precision = display.operating_points[label]
        if label == 0:
            assert recall == pytest.approx((truth & chosen).sum() / truth.sum())
            assert precision == pytest.approx((truth & chosen).sum() / chosen.sum())
        on_curve = np.isclose(display.recall[label], recall)
        assert precision in display.precision[label][on_curve]
    assert np.isnan(display.operating_points[3]).all()
    assert "at the threshold" in legend_names(display.ax_)


def test_a_threshold_above_all_scores_has_no_point(answers):
    y, p, _, _ = answers
    display = Display.from_predictions(y, p / 2, thresholds=0.9)
    assert np.isnan(display.operating_points).all()


def test_decision_values_will_do_without_thresholds(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier(LinearSVC()).fit(X, y)
    display = Display.from_estimator(clf, X, y)
    expected = nan_average_precision_score(y, clf.decision_function(X), average=None)
    np.testing.assert_allclose(display.average_precision, expected)
    with pytest.raises(ValueError, match="has no predict_proba"):
        Display.from_estimator(clf, X, y, show_thresholds=True)


def test_the_estimators_thresholds_can_be_shown(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier(threshold=0.3).fit(X, y)
    display = Display.from_estimator(clf, X, y, show_thresholds=True)
    proba = clf.predict_proba(X)
    same = Display.from_predictions(y, proba, thresholds=0.3)
    np.testing.assert_array_equal(display.operating_points, same.operating_points)


def test_targets_without_a_positive_have_no_curve():
    with pytest.raises(ValueError, match="holds no known positive"):
        Display.from_predictions(np.zeros((3, 2)), np.ones((3, 2)))

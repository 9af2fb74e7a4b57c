"""Tests of skbert.plotting.label_scores."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from pictures import (
    agg_canvas,  # noqa: F401
    label_data,
    legend_names,
    tick_names,
)
from skbert.baseline import BinaryRelevanceClassifier, make_tfidf_baseline
from skbert.metrics import (
    nan_average_precision_score,
    nan_f1_score,
    nan_roc_auc_score,
)
from skbert.plotting import LabelScoresDisplay

PAIR = {"first": [0.9, 0.2, 0.5], "second": [0.8, 0.6, 0.5]}


def drawn_bars(ax):
    """Return the lengths of the bars, shape (n_models, n_labels)."""
    return [[bar.get_width() for bar in bars] for bars in ax.containers]


def test_scores_are_those_of_the_metrics():
    y, p, names = label_data(6)
    models = {"a": p, "b": p**2}
    for score, function in [
        ("average_precision", nan_average_precision_score),
        ("roc_auc", nan_roc_auc_score),
    ]:
        display = LabelScoresDisplay.from_predictions(y, models, score=score)
        np.testing.assert_allclose(display.scores["a"], function(y, p, average=None))
    display = LabelScoresDisplay.from_predictions(
        y, models, thresholds={"a": 0.3, "b": np.full(6, 0.4)}
    )
    expected = nan_f1_score(y, p**2 >= 0.4, average=None)
    expected[-1] = np.nan  # no positives: no score
    np.testing.assert_allclose(display.scores["b"], expected)


def test_few_labels_have_a_bar_per_model_with_its_number():
    display = LabelScoresDisplay(PAIR, label_names=["x", "y", "z"]).plot()
    assert drawn_bars(display.ax_) == list(PAIR.values())
    assert legend_names(display.ax_) == ["first", "second"]
    assert [t.get_text().strip() for t in display.ax_.texts][:3] == [
        "0.90",
        "0.20",
        "0.50",
    ]


def test_many_labels_have_a_dot_per_model_on_a_line():
    y, p, names = label_data(12)
    display = LabelScoresDisplay.from_predictions(
        y, {"a": p, "b": p**3}, label_names=names, score="roc_auc"
    )
    first, second = display.ax_.lines
    order = np.argsort(-np.nansum(y, axis=0), kind="stable")
    assert tick_names(display.ax_) == [names[i] for i in order]
    np.testing.assert_array_equal(first.get_xdata(), display.scores["a"][order])
    assert first.get_marker() != second.get_marker()
    assert first.get_color() != second.get_color()
    assert len(display.ax_.collections[0].get_segments()) == 11  # one has no score


def test_labels_can_be_sorted_by_gain_or_left_as_they_are():
    names = ["down", "up", "same"]
    display = LabelScoresDisplay(PAIR, label_names=names, positives=[1, 2, 3])
    assert tick_names(display.plot().ax_) == ["same", "up", "down"]
    assert tick_names(display.plot(sort_by=None).ax_) == names
    by_gain = display.plot(sort_by="difference").ax_
    assert tick_names(by_gain) == ["up", "same", "down"]
    with pytest.raises(ValueError, match="sort_by must be"):
        display.plot(sort_by="name")


def test_one_model_has_no_difference_to_sort_by():
    display = LabelScoresDisplay({"only": [0.1, 0.2]})
    with pytest.raises(ValueError, match="needs two models; there is one"):
        display.plot(sort_by="difference")


def test_scores_beyond_0_and_1_are_not_cut_off():
    display = LabelScoresDisplay({"kappa": [-0.2, 1.4]}, score_name="kappa").plot()
    low, high = display.ax_.get_xlim()
    assert low < -0.2 and high > 1.4
    assert display.ax_.get_xlabel() == "Kappa"


def test_kind_can_be_chosen():
    assert LabelScoresDisplay(PAIR).plot(kind="dots").ax_.lines
    many = LabelScoresDisplay({"a": np.linspace(0, 1, 12)}).plot(kind="bars")
    assert len(drawn_bars(many.ax_)[0]) == 12
    with pytest.raises(ValueError, match="kind must be"):
        LabelScoresDisplay(PAIR).plot(kind="pie")


def test_models_must_score_the_same_labels():
    with pytest.raises(ValueError, match=r"one number per label .*'b': \(3,\)"):
        LabelScoresDisplay({"a": [0.1, 0.2], "b": [0.1, 0.2, 0.3]}).plot()


def test_estimators_are_asked_for_what_the_score_reads(emails):
    X, y = emails
    low = make_tfidf_baseline(threshold=0.2).fit(X, y)
    high = make_tfidf_baseline(threshold=0.8).fit(X, y)
    display = LabelScoresDisplay.from_estimators({"low": low, "high": high}, X, y)
    for name, clf in (("low", low), ("high", high)):
        expected = nan_f1_score(y, clf.predict(X), average=None)
        np.testing.assert_allclose(display.scores[name], expected)
    ranked = LabelScoresDisplay.from_estimators(
        {"low": low, "high": high}, X, y, score="average_precision"
    )
    np.testing.assert_array_equal(ranked.scores["low"], ranked.scores["high"])


def test_a_classifier_without_probabilities_has_scores_too(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier(LinearSVC()).fit(X, y)
    display = LabelScoresDisplay.from_estimator(clf, X, y)
    expected = nan_f1_score(y, clf.predict(X), average=None)
    np.testing.assert_allclose(display.scores["BinaryRelevanceClassifier"], expected)
    display = LabelScoresDisplay.from_estimator(clf, X, y, score="roc_auc", name="SVM")
    expected = nan_roc_auc_score(y, clf.decision_function(X), average=None)
    np.testing.assert_allclose(display.scores["SVM"], expected)


def test_an_estimator_with_other_labels_is_refused(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier().fit(X, y)
    with pytest.raises(ValueError, match=r"predict of X has shape \(60, 5\), y has"):
        LabelScoresDisplay.from_estimator(clf, X, y[:, :3])


def test_requests_that_make_no_sense_are_told():
    y, p, _ = label_data(3)
    with pytest.raises(ValueError, match="y_scores must be a dict .* got ndarray"):
        LabelScoresDisplay.from_predictions(y, p)
    with pytest.raises(ValueError, match="got an empty dict"):
        LabelScoresDisplay.from_estimators({}, y, y)
    with pytest.raises(ValueError, match="score must be one of 'f1', .* got 'gini'"):
        LabelScoresDisplay.from_predictions(y, {"a": p}, score="gini")
    with pytest.raises(ValueError, match="thresholds has no entry for 'a'"):
        LabelScoresDisplay.from_predictions(y, {"a": p}, thresholds={"b": 0.5})

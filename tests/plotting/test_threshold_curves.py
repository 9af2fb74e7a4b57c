"""Tests of skbert.plotting.threshold_curves and skbert.plotting.tuned_thresholds."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import LinearSVC

from pictures import (
    agg_canvas,  # noqa: F401
    label_data,
    legend_names,
    tick_names,
)
from skbert.baseline import BinaryRelevanceClassifier, make_tfidf_baseline
from skbert.metrics import nan_f1_score
from skbert.plotting import ThresholdDisplay, TunedThresholdsDisplay

# --- the curves --------------------------------------------------------------------


def test_f1_is_that_of_predicting_from_each_score_on(answers):
    y, p, _, _ = answers
    display = ThresholdDisplay.from_predictions(y, p)
    for label in range(5):
        cuts = display.cuts[label]
        assert list(cuts) == sorted(set(p[:, label]))
        expected = [f1_score(y[:, label], p[:, label] >= cut) for cut in cuts]
        np.testing.assert_allclose(display.f1[label], expected)


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 1.0])
def test_f1_at_the_chosen_cut_is_that_of_its_predictions(threshold):
    y, p, _ = label_data(6)
    display = ThresholdDisplay.from_predictions(y, p, thresholds=threshold)
    expected = nan_f1_score(y, p >= threshold, average=None)
    expected[-1] = np.nan  # it has no positive
    np.testing.assert_allclose(display.f1_at_thresholds_, expected)


def test_a_cut_at_a_score_that_occurs_includes_it():
    display = ThresholdDisplay.from_predictions([1, 0], [0.7, 0.2], thresholds=0.7)
    np.testing.assert_array_equal(display.f1_at_thresholds_, [1.0])


# --- few labels --------------------------------------------------------------------


def test_few_labels_have_a_panel_each_the_most_frequent_first():
    y, p, names = label_data(5)
    cuts = [0.3, 0.4, 0.5, 0.6, 0.7]
    display = ThresholdDisplay.from_predictions(
        y, p, thresholds=cuts, label_names=names
    )
    order = np.argsort(-np.nansum(y, axis=0), kind="stable")
    assert len(display.axes_) == 5
    for panel, label in zip(display.axes_[:4], order[:4], strict=True):
        assert panel.get_title().startswith(names[label])
        curve, dot, line = panel.lines
        assert curve.get_drawstyle() == "steps-pre"
        np.testing.assert_array_equal(curve.get_xdata()[1:-1], display.cuts[label])
        assert dot.get_xdata() == line.get_xdata()[0] == cuts[label]
        assert dot.get_ydata() == display.f1_at_thresholds_[label]


def test_a_curve_goes_from_0_to_1_and_ends_without_predictions():
    curve = ThresholdDisplay.from_predictions([1, 0], [0.7, 0.2]).ax_.lines[0]
    np.testing.assert_array_equal(curve.get_xdata(), [0, 0.2, 0.7, 1])
    np.testing.assert_allclose(curve.get_ydata(), [2 / 3, 2 / 3, 1, 0])
    curve = ThresholdDisplay.from_predictions([1, 0], [1.0, 0.2]).ax_.lines[0]
    np.testing.assert_array_equal(curve.get_xdata(), [0, 0.2, 1])
    np.testing.assert_allclose(curve.get_ydata(), [2 / 3, 2 / 3, 1])


def test_a_label_without_positives_says_so():
    y, p, names = label_data(3)
    display = ThresholdDisplay.from_predictions(y, p, label_names=names)
    assert display.axes_[2].texts[0].get_text() == "no known positives"
    assert np.isnan(display.f1_at_thresholds_[2])


def test_one_axes_takes_the_lines_of_a_few_labels():
    _, ax = plt.subplots()
    y, p, names = label_data(4)
    display = ThresholdDisplay.from_predictions(y, p, label_names=names, ax=ax)
    # The fourth has no positives, and so no line.
    assert legend_names(ax) == ["label_2", "label_0", "label_1"]
    assert display.ax_ is ax
    colours = {line.get_color() for line in ax.lines}
    assert len(colours) == 3


def test_an_axes_per_label_is_taken():
    _, axes = plt.subplots(2, 2)
    y, p, _ = label_data(4)
    display = ThresholdDisplay.from_predictions(y, p, ax=axes)
    assert list(display.axes_) == list(axes.flat)


def test_one_axes_is_too_little_for_the_lines_of_many_labels():
    _, ax = plt.subplots()
    y, p, _ = label_data(10)
    with pytest.raises(ValueError, match="9 labels at most; these are 10"):
        ThresholdDisplay.from_predictions(y, p, ax=ax, kind="lines")


# --- many labels -------------------------------------------------------------------


def test_many_labels_have_a_row_each_with_the_cut_on_it():
    y, p, names = label_data(12)
    cuts = np.linspace(0.1, 0.9, 12)
    display = ThresholdDisplay.from_predictions(
        y, p, thresholds=cuts, label_names=names
    )
    order = np.argsort(-np.nansum(y, axis=0), kind="stable")
    (image,) = display.ax_.images
    assert image.get_array().shape == (12, 201)
    assert tick_names(display.ax_) == [names[i] for i in order]
    (dots,) = display.ax_.lines
    np.testing.assert_array_equal(dots.get_xdata(), cuts[order])
    np.testing.assert_array_equal(dots.get_ydata(), np.arange(12))
    row = image.get_array()[0]
    expected = nan_f1_score(y[:, order[:1]], p[:, order[:1]] >= 0.5)
    assert row[100] == pytest.approx(expected)
    assert image.get_array().mask[-1].all()  # no positives


def test_the_kind_can_be_chosen():
    y, p, _ = label_data(3)
    assert ThresholdDisplay.from_predictions(y, p, kind="heatmap").ax_.images
    y, p, _ = label_data(11)
    assert len(ThresholdDisplay.from_predictions(y, p, kind="lines").axes_) == 11
    with pytest.raises(ValueError, match="kind must be .* got 'bars'"):
        ThresholdDisplay.from_predictions(y, p, kind="bars")


# --- estimators --------------------------------------------------------------------


def test_thresholds_and_names_are_the_estimators(emails):
    X, y = emails
    y = pd.DataFrame(y, columns=["billing", "bug", "meeting"])
    clf = make_tfidf_baseline(threshold=[0.2, 0.3, 0.4]).fit(X, y)
    display = ThresholdDisplay.from_estimator(clf, X, y.to_numpy())
    assert list(display.thresholds) == [0.2, 0.3, 0.4]
    assert list(display.label_names) == ["billing", "bug", "meeting"]
    f1 = nan_f1_score(y, clf.predict(X), average=None)
    np.testing.assert_allclose(display.f1_at_thresholds_, f1)


def test_a_search_is_looked_into(emails):
    X, y = emails
    grid = {"tfidfvectorizer__sublinear_tf": [True]}
    search = GridSearchCV(make_tfidf_baseline(threshold=0.3), grid, cv=2).fit(X, y)
    display = ThresholdDisplay.from_estimator(search, X, y)
    assert list(display.thresholds) == [0.3] * 3


def test_classifiers_of_scikit_learn_are_cut_at_a_half(answers):
    y, X, _, _ = answers
    clf = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    display = ThresholdDisplay.from_estimator(clf, X, y)
    assert list(display.thresholds) == [0.5] * 5
    f1 = nan_f1_score(y, clf.predict(X), average=None)
    np.testing.assert_allclose(display.f1_at_thresholds_, f1)


@pytest.mark.parametrize("clf", [LogisticRegression(), BinaryRelevanceClassifier()])
def test_two_classes_are_one_label(answers, clf):
    y, X, _, _ = answers
    words = np.array(["ham", "spam"])[y[:, 0]]
    display = ThresholdDisplay.from_estimator(clf.fit(X, words), X, words)
    assert list(display.label_names) == ["spam"]
    assert display.positives == y[:, 0].sum()


def test_an_estimator_that_is_not_fitted_is_refused(emails):
    with pytest.raises(NotFittedError):
        ThresholdDisplay.from_estimator(make_tfidf_baseline(), *emails)


def test_decision_values_are_refused(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier(LinearSVC()).fit(X, y)
    with pytest.raises(ValueError, match="has no predict_proba.*CalibratedClassif"):
        ThresholdDisplay.from_estimator(clf, X, y)
    clf = BinaryRelevanceClassifier().fit(X, y)
    clf.response_method_ = "decision_function"
    with pytest.raises(ValueError, match="cuts of decision values"):
        ThresholdDisplay.from_estimator(clf, X, y)


def test_an_estimator_with_other_labels_is_refused(answers):
    y, X, _, _ = answers
    clf = BinaryRelevanceClassifier().fit(X, y)
    with pytest.raises(ValueError, match=r"y has 3 label\(s\), but"):
        ThresholdDisplay.from_estimator(clf, X, y[:, :3])


def test_columns_in_another_order_are_refused(emails):
    X, y = emails
    y = pd.DataFrame(y, columns=["billing", "bug", "meeting"])
    clf = make_tfidf_baseline().fit(X, y)
    with pytest.raises(ValueError, match="labels in another order"):
        ThresholdDisplay.from_estimator(clf, X, y[["bug", "billing", "meeting"]])


# --- tuned thresholds --------------------------------------------------------------


def cv_results(**columns):
    return {
        "label": np.array(["rare", "frequent", "never"]),
        "threshold": np.array([0.2, 0.4, 0.5]),
        "score": np.array([0.3, 0.8, np.nan]),
        "std_score": np.array([0.1, 0.02, np.nan]),
        "support": np.array([5, 80, 0]),
    } | columns


def test_tuned_thresholds_and_scores_stand_side_by_side():
    display = TunedThresholdsDisplay.from_cv_results(cv_results())
    left, right = display.axes_
    assert tick_names(left) == ["frequent", "rare", "never"]
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [0.4, 0.2, 0.5])
    np.testing.assert_array_equal(right.lines[-1].get_xdata(), [0.8, 0.3, np.nan])
    notes = [text.get_text() for text in right.texts]
    assert notes == ["80", "5", "0", "support"]


def test_folds_are_rings_and_the_bar_is_around_their_mean():
    results = cv_results(
        split0_score=np.array([0.2, 0.7, np.nan]),
        split1_score=np.array([0.6, 0.9, np.nan]),
        mean_score=np.array([0.4, 0.8, np.nan]),
        std_threshold=np.array([0.05, 0.05, 0.05]),
    )
    right = TunedThresholdsDisplay.from_cv_results(results).axes_[1]
    assert "2 folds" in right.get_title()
    np.testing.assert_array_equal(right.lines[0].get_xdata(), [0.7, 0.2, np.nan])
    (bars,) = (c for c in right.containers)
    low, high = bars.lines[2][0].get_segments()[1][:, 0]
    assert (low, high) == pytest.approx((0.3, 0.5))


def test_decision_values_as_thresholds_are_not_cut_off():
    results = cv_results(threshold=np.array([-3.0, 0.0, 2.0]))
    left = TunedThresholdsDisplay.from_cv_results(results).ax_
    low, high = left.get_xlim()
    assert low < -3 and high > 2


def test_results_of_another_search_are_refused():
    with pytest.raises(ValueError, match="lacks 'label', .*TunedThresholdsClassifier"):
        TunedThresholdsDisplay.from_cv_results({"mean_test_score": [0.5]})


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="must hold numbers: could not convert"):
        ThresholdDisplay.from_predictions([[1], [0]], [["a"], ["b"]])

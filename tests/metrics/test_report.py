"""Tests of skbert.metrics.report."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from skbert.metrics import (
    multilabel_report,
    nan_average_precision_score,
    nan_f1_score,
    nan_precision_score,
    nan_recall_score,
)

COLUMNS = ["support", "threshold", "precision", "recall", "f1", "average_precision"]
AVERAGES = ["micro", "macro", "weighted", "samples"]


def with_unknown(y_true):
    y = y_true.astype(float)
    y[np.random.default_rng(1).random(y.shape) < 0.3] = np.nan
    y[:, 4] = np.nan
    return y


@pytest.mark.parametrize("weighted", [False, True])
def test_without_nan_it_holds_the_numbers_of_scikit_learn(answers, weighted):
    y_true, y_proba, _, weight = answers
    weight = weight if weighted else None
    thresholds = np.array([0.3, 0.5, 0.7, 0.4, 0.6])
    report = multilabel_report(
        y_true, y_proba, thresholds=thresholds, sample_weight=weight
    )
    assert report.columns.tolist() == COLUMNS
    assert report.index.tolist() == [f"label_{i}" for i in range(5)] + AVERAGES
    y_pred = (y_proba >= thresholds).astype(int)
    for average in [None, *AVERAGES]:
        rows = report.iloc[:5] if average is None else report.loc[[average]]
        expected = precision_recall_fscore_support(
            y_true, y_pred, average=average, sample_weight=weight, zero_division=0
        )
        for column, values in zip(COLUMNS[2:5], expected, strict=False):
            np.testing.assert_allclose(rows[column], values, rtol=1e-12)
        if average is None:
            np.testing.assert_array_equal(rows["support"], expected[3])
        if average != "samples":  # there scikit-learn counts rows without a label
            value = average_precision_score(
                y_true, y_proba, average=average, sample_weight=weight
            )
            np.testing.assert_allclose(rows["average_precision"], value, rtol=1e-12)
    total = report["support"].iloc[:5].sum()
    assert (report.loc[AVERAGES, "support"] == total).all()
    np.testing.assert_array_equal(report["threshold"].iloc[:5], thresholds)
    assert report.loc[AVERAGES, "threshold"].isna().all()


@pytest.mark.parametrize("weighted", [False, True])
def test_with_nan_it_holds_the_scores_of_the_known_cells(answers, weighted):
    y_true, y_proba, _, weight = answers
    y_nan, weight = with_unknown(y_true), weight if weighted else None
    changed = np.where(np.isnan(y_nan), np.nan, y_proba)
    report = multilabel_report(y_nan, changed, sample_weight=weight)
    y_pred = (y_proba >= 0.5).astype(int)
    for column, score, answer in [
        ("precision", nan_precision_score, y_pred),
        ("recall", nan_recall_score, y_pred),
        ("f1", nan_f1_score, y_pred),
        ("average_precision", nan_average_precision_score, y_proba),
    ]:
        of_labels = score(y_nan, answer, average=None, sample_weight=weight)
        np.testing.assert_array_equal(report[column].iloc[:5], of_labels)
        for average in AVERAGES:
            expected = score(y_nan, answer, average=average, sample_weight=weight)
            assert report.loc[average, column] == expected
    ones = np.ones(60) if weight is None else weight
    positives = ones @ np.nan_to_num(y_nan)
    np.testing.assert_array_equal(report["support"].iloc[:5], positives)
    assert report["support"].dtype == (np.int64 if weight is None else np.float64)
    assert report.loc["label_4", COLUMNS[2:]].isna().all()
    assert report.loc["label_4", "support"] == 0


def test_names_come_from_the_frame_or_from_the_caller(answers):
    y_true, y_proba, _, _ = answers
    frame = pd.DataFrame(y_true, columns=list("abcde"))
    assert multilabel_report(frame, y_proba).index.tolist() == [*"abcde", *AVERAGES]
    report = multilabel_report(frame, y_proba, np.array(list("vwxyz")))
    assert report.index.tolist() == [*"vwxyz", *AVERAGES]
    for same in (y_true.tolist(), sparse.csr_array(y_true), y_true.astype(bool)):
        other = multilabel_report(same, y_proba, list("vwxyz"))
        pd.testing.assert_frame_equal(other, report)


def test_a_label_is_predicted_from_its_threshold_on():
    y = np.array([[1], [0]])
    assert multilabel_report(y, [[0.5], [0.4]]).loc["label_0", "f1"] == 1
    report = multilabel_report(y, [[2.0], [-1.0]], ["a"], thresholds=0)
    assert report.loc["a", "f1"] == 1
    assert report.loc["a", "threshold"] == 0


def test_names_that_are_ambiguous_are_refused():
    y = np.eye(2)
    with pytest.raises(ValueError, match=r"'macro', like .* rows of averages"):
        multilabel_report(pd.DataFrame(y, columns=["micros", "macro"]), y)
    with pytest.raises(ValueError, match="'a' twice"):
        multilabel_report(y, y, ["a", "a"])
    with pytest.raises(ValueError, match=r"3 name\(s\), but y_true has 2"):
        multilabel_report(y, y, ["a", "b", "c"])


def test_bad_input_is_refused():
    y = np.eye(2)
    with pytest.raises(ValueError, match=r"y_true\[:, np.newaxis\]"):
        multilabel_report([0, 1], [0.1, 0.9])
    with pytest.raises(ValueError, match=r"shape \(2, 1\), y_true has \(2, 2\)"):
        multilabel_report(y, y[:, :1])
    with pytest.raises(ValueError, match="y_score contains NaN"):
        multilabel_report(y, [[0, 1], [1, np.nan]])
    with pytest.raises(ValueError, match=r"thresholds has shape \(3,\)"):
        multilabel_report(y, y, thresholds=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite"):
        multilabel_report(y, y, thresholds=np.nan)
    with pytest.raises(ValueError, match="sample_weight has shape"):
        multilabel_report(y, y, sample_weight=[1])

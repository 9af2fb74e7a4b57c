"""Tests of skbert.plotting.comparison."""

import numpy as np
import pandas as pd
import pytest

from pictures import (
    agg_canvas,  # noqa: F401
    assert_readable,
    tick_names,
)
from skbert import compare
from skbert.baseline import make_tfidf_baseline
from skbert.plotting import ComparisonDisplay

METRICS = ("f1_macro", "average_precision", "roc_auc_micro", "neg_log_loss")


def results(n_estimators, n_metrics=1):
    rng = np.random.default_rng(0)
    columns = {}
    for metric in METRICS[:n_metrics]:
        mean = rng.uniform(0.4, 0.6, n_estimators)
        gap = mean - mean[0]
        gap[0] = np.nan
        columns[metric, "mean"] = mean
        columns[metric, "std"] = np.full(n_estimators, 0.02)
        columns[metric, "difference"] = gap
        columns[metric, "low"] = gap - 0.03
        columns[metric, "high"] = gap + 0.03
    for time in ("fit_time", "predict_time"):
        columns[time, "mean"] = np.geomspace(0.5, 9000, n_estimators)
        columns[time, "std"] = np.zeros(n_estimators)
    names = [f"estimator number {i} of all that there are" for i in range(n_estimators)]
    table = pd.DataFrame(columns, index=pd.Index(names, name="estimator"))
    table.columns = table.columns.set_names(["metric", "statistic"])
    return table


@pytest.mark.parametrize("n_metrics", [1, 2, 3, 4])
@pytest.mark.parametrize("n_estimators", [1, 2, 8])
def test_any_number_of_estimators_and_metrics_is_readable(n_estimators, n_metrics):
    table = results(n_estimators, n_metrics)
    display = ComparisonDisplay.from_results(table)
    assert display.metrics == list(METRICS[:n_metrics])
    assert display.axes_.shape == (1 if n_estimators == 1 else 2, n_metrics)
    assert tick_names(display.ax_) == list(table.index)
    assert_readable(display.figure_)


def test_means_and_differences_are_drawn():
    table = results(3)
    table.loc[table.index[1], ("f1_macro", "low")] = 0.01  # leaves out zero
    table.loc[table.index[1], ("f1_macro", "difference")] = 0.02
    table.loc[table.index[1], ("f1_macro", "high")] = 0.05
    table.loc[table.index[2], ("f1_macro", "low")] = -0.1
    table.loc[table.index[2], ("f1_macro", "high")] = 0.1
    scores, differences = ComparisonDisplay.from_results(table).axes_[:, 0]
    np.testing.assert_array_equal(
        scores.lines[0].get_xdata(), table["f1_macro", "mean"]
    )
    zero, first = differences.lines[:2]
    assert list(zero.get_xdata()) == [0, 0] and list(first.get_ydata()) == [0]
    interval, clear, _, open_ = differences.lines[2:]
    assert (list(clear.get_xdata()), list(clear.get_ydata())) == ([0.02], [1])
    assert (clear.get_fillstyle(), open_.get_fillstyle()) == ("full", "none")
    assert list(interval.get_xdata()) == [0.01, 0.05]


def test_the_table_of_compare_is_drawn(emails):
    models = {"a": make_tfidf_baseline(), "b": make_tfidf_baseline(threshold=0.3)}
    table = compare(models, *emails, cv=2, scoring=["f1_macro", "roc_auc"])
    display = ComparisonDisplay.from_results(table)
    assert display.metrics == ["f1_macro", "roc_auc"]
    assert display.axes_.shape == (2, 2)
    gap = table.loc["b", ("f1_macro", "difference")]
    assert display.axes_[1, 0].lines[-1].get_xdata() == [gap]
    alone = ComparisonDisplay.from_results(table.iloc[:1])
    assert alone.axes_.shape == (1, 2)


def test_without_an_interval_there_is_a_difference_nevertheless():
    table = results(2)
    table["f1_macro", "low"] = table["f1_macro", "high"] = np.nan  # a single fold
    differences = ComparisonDisplay.from_results(table).axes_[1, 0]
    assert differences.lines[-1].get_fillstyle() == "none"
    differences.figure.canvas.draw()


def test_times_are_noted_in_a_unit_that_is_easy_to_read():
    table = results(4)
    table["fit_time", "mean"] = [0.25, 45, 300, 9000]
    table["predict_time", "mean"] = [0.01, 1, 2, np.nan]
    notes = [t.get_text() for t in ComparisonDisplay.from_results(table).ax_.texts]
    assert notes == [
        "0.25 s / 0.01 s",
        "45 s / 1 s",
        "5 min / 2 s",
        "2.5 h",
        "fit / predict",
    ]


def test_times_may_be_missing():
    table = results(2)[["f1_macro"]]
    assert not ComparisonDisplay.from_results(table).ax_.texts
    table = results(2)
    table["fit_time", "mean"] = [1.0, np.nan]
    del table["predict_time"]
    notes = [t.get_text() for t in ComparisonDisplay.from_results(table).ax_.texts]
    assert notes == ["1 s", "–", "fit"]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"f1": [0.5]}),
        results(2)[["fit_time"]],
        results(2).iloc[:0],
    ],
    ids=["flat columns", "times only", "no rows"],
)
def test_another_table_is_refused_in_favour_of_compare(table):
    with pytest.raises(ValueError, match=r"Pass what skbert\.compare returns"):
        ComparisonDisplay.from_results(table)


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="must be a DataFrame; got dict"):
        ComparisonDisplay.from_results({"f1": [0.5]})

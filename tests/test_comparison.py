"""Estimators side by side."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, make_scorer
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skbert import (
    BinaryRelevanceClassifier,
    MultilabelStratifiedKFold,
    TransformerMultiLabelClassifier,
    TunedThresholdsClassifierCV,
    compare,
    make_tfidf_baseline,
)


@pytest.fixture(scope="module")
def numbers():
    return make_multilabel_classification(
        150, n_classes=4, n_labels=1, allow_unlabeled=True, random_state=0
    )


@pytest.fixture
def pair():
    return {
        "weak": BinaryRelevanceClassifier(LogisticRegression(C=1e-4)),
        "strong": BinaryRelevanceClassifier(),
    }


def test_scores_are_those_of_cross_validation_on_the_same_folds(numbers, pair):
    X, y = numbers
    table = compare(pair, X, y, cv=4, scoring=["f1_micro", "roc_auc"], random_state=3)
    folds = MultilabelStratifiedKFold(4, shuffle=True, random_state=3)
    assert table.index.tolist() == ["weak", "strong"]
    for name, estimator in pair.items():
        for metric in ("f1_micro", "roc_auc"):
            scores = cross_val_score(estimator, X, y, cv=folds, scoring=metric)
            assert table.loc[name, (metric, "mean")] == pytest.approx(scores.mean())
            assert table.loc[name, (metric, "std")] == pytest.approx(scores.std())


def test_the_interval_is_corrected_for_overlapping_training_sets(numbers, pair):
    X, y = numbers
    folds = KFold(5, shuffle=True, random_state=0)
    row = compare(pair, X, y, cv=folds, scoring="f1_micro").loc["strong", "f1_micro"]
    scores = [
        cross_val_score(estimator, X, y, cv=folds, scoring="f1_micro")
        for estimator in pair.values()
    ]
    difference = scores[1] - scores[0]
    # 30 rows are held out, 120 are not.
    error = np.sqrt((1 / 5 + 30 / 120) * difference.var(ddof=1))
    margin = stats.t.ppf(0.975, 4) * error
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["low"] == pytest.approx(difference.mean() - margin)
    assert row["high"] == pytest.approx(difference.mean() + margin)


def test_a_lower_confidence_is_a_narrower_interval(numbers, pair):
    X, y = numbers
    wide, narrow = (
        compare(pair, X, y, cv=3, scoring="f1_micro", confidence=c).loc[
            "strong", "f1_micro"
        ]
        for c in (0.99, 0.5)
    )
    assert narrow["high"] - narrow["low"] < wide["high"] - wide["low"]


def test_the_first_row_has_no_difference_and_one_fold_no_interval(numbers, pair):
    X, y = numbers
    table = compare(pair, X, y, cv=0.3, scoring="f1_macro")["f1_macro"]
    assert table.loc["weak", "difference"] == 0
    assert table[["low", "high"]].isna().all(axis=None)
    assert (table["std"] == 0).all()


def test_thresholds_are_tuned_inside_the_training_folds(numbers, pair):
    X, y = numbers
    folds = KFold(3, shuffle=True, random_state=0)
    table = compare(pair, X, y, cv=folds, scoring="f1_macro", tune_thresholds={"cv": 2})
    for name, estimator in pair.items():
        tuned = TunedThresholdsClassifierCV(estimator, scoring="f1_macro", cv=2)
        scores = cross_val_score(tuned, X, y, cv=folds, scoring="f1_macro")
        assert table.loc[name, ("f1_macro", "mean")] == pytest.approx(scores.mean())
    untuned = compare(pair, X, y, cv=folds, scoring="f1_macro")
    gain = table["f1_macro", "mean"] - untuned["f1_macro", "mean"]
    assert gain["weak"] > 0.3  # untuned it predicts nothing


def test_thresholds_are_tuned_for_the_first_metric_that_can_be(numbers, pair):
    X, y = numbers
    folds = KFold(3, shuffle=True, random_state=0)
    table = compare(
        pair, X, y, cv=folds, scoring=["roc_auc", "f1_micro"], tune_thresholds=True
    )
    tuned = TunedThresholdsClassifierCV(pair["strong"], scoring="f1_micro")
    scores = cross_val_score(tuned, X, y, cv=folds, scoring="f1_micro")
    assert table.loc["strong", ("f1_micro", "mean")] == pytest.approx(scores.mean())


def test_times_are_seconds_per_fold(numbers, pair):
    X, y = numbers
    table = compare(pair, X, y, cv=3, scoring="f1_micro")
    assert (table["fit_time"]["mean"] > 0).all()
    assert (table["predict_time"]["mean"] > 0).all()
    assert table["fit_time"].columns.tolist() == ["mean", "std"]


def test_metrics_may_be_callables_and_have_names(numbers, pair):
    X, y = numbers

    def predicted(estimator, X, y):
        return float(estimator.predict(X).mean())

    table = compare(pair, X, y, cv=2, scoring={"share": predicted, "f1": "f1_macro"})
    assert table.columns.get_level_values(0).unique().tolist() == [
        "share",
        "f1",
        "fit_time",
        "predict_time",
    ]
    alone = compare(pair, X, y, cv=2, scoring=predicted)
    assert alone["predicted", "mean"].tolist() == table["share", "mean"].tolist()


def test_other_multi_label_estimators_take_part(numbers):
    X, y = numbers
    table = compare(
        {
            "most frequent": DummyClassifier(strategy="prior"),
            "neighbours": KNeighborsClassifier(),
        },
        X,
        y,
        cv=3,
        scoring=["f1_micro", "average_precision"],
    )
    assert table.loc["neighbours", ("f1_micro", "low")] > 0


def test_unknown_labels_and_one_dimension(numbers, pair):
    X, y = numbers
    holes = y.astype(float)
    holes[np.random.default_rng(0).random(y.shape) < 0.2] = np.nan
    table = compare(pair, X, holes, cv=2)
    assert np.isfinite(table["f1_macro", "mean"]).all()
    binary = compare(pair, X, np.where(y[:, 0], "a", "b"), cv=2, scoring="f1_micro")
    assert binary.loc["strong", ("f1_micro", "mean")] > 0.5


def test_two_processes_give_the_same_scores(numbers, pair):
    X, y = numbers
    one, two = (
        compare(pair, X, y, cv=2, scoring="f1_macro", n_jobs=n_jobs)["f1_macro"]
        for n_jobs in (None, 2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_a_transformer_beside_tf_idf(emails, tiny_bert):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        str(tiny_bert), max_length=64, max_epochs=1, random_state=0
    )
    table = compare(
        {"tf-idf": make_tfidf_baseline(), "tiny": clf},
        X,
        y,
        cv=2,
        tune_thresholds={"cv": 0.3},
    )
    assert table.loc["tiny", ("average_precision", "difference")] < 0
    assert clf.get_params() == clone(clf).get_params()


def test_thresholds_are_tuned_for_what_a_name_stands_for(numbers, pair):
    X, y = numbers
    plain = compare(pair, X, y, cv=2, scoring="f1_micro", tune_thresholds=True)
    named = {"micro": "f1_micro", "f1_macro": "accuracy"}
    table = compare(pair, X, y, cv=2, scoring=named, tune_thresholds=True)
    assert table["micro", "mean"].tolist() == plain["f1_micro", "mean"].tolist()


def test_one_label_in_a_column_can_be_compared(numbers):
    X, y = numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own, of a column
        table = compare({"knn": KNeighborsClassifier()}, X, y[:, :1], cv=2)
    assert table.loc["knn", ("average_precision", "mean")] > y[:, 0].mean()


def test_scorers_of_decision_values_get_them(numbers):
    X, y = numbers
    scorer = make_scorer(
        average_precision_score, response_method=("decision_function", "predict_proba")
    )
    svm = BinaryRelevanceClassifier(LinearSVC())
    folds = KFold(2)
    table = compare({"svm": svm}, X, y, cv=folds, scoring={"ap": scorer})
    expected = cross_val_score(svm, X, y, cv=folds, scoring=scorer).mean()
    assert table.loc["svm", ("ap", "mean")] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"estimators": {}}, "must be a dict"),
        ({"estimators": [1]}, "must be a dict"),
        ({"scoring": "f1_marco"}, "f1_macro"),
        ({"scoring": []}, "no metric"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"cv": []}, "no split"),
        ({"cv": "prefit"}, "cv must be"),
        ({"tune_thresholds": "f1_macro"}, "tune_thresholds must be"),
        ({"scoring": {"fit_time": "f1_micro"}}, "which are seconds"),
        ({"estimators": {1: 0, "1": 0}}, "same name"),
        ({"X": np.zeros((3, 2))}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_input_is_an_error_that_says_what_is_wrong(
    numbers, pair, change, message
):
    X, y = numbers
    with pytest.raises(ValueError, match=message):
        compare(**({"estimators": pair, "X": X, "y": y} | change))


@pytest.mark.parametrize("tune_thresholds", [False, {"cv": 0.5}])
def test_an_entry_that_is_no_text_has_its_own_row(tiny_bert, tune_thresholds):
    texts = [f"text {i}" for i in range(40)]
    texts[37] = None
    y = np.arange(40)[:, np.newaxis] % [2, 3] == 0
    pair = {
        "words": make_tfidf_baseline(),
        "bert": TransformerMultiLabelClassifier(tiny_bert),
    }
    with pytest.raises(ValueError, match="X, row 37 is missing"):
        compare(pair, texts, y, cv=2, tune_thresholds=tune_thresholds)


def test_an_error_names_the_estimator(numbers, pair):
    X, y = numbers
    broken = BinaryRelevanceClassifier(LogisticRegression(solver="none such"))
    with pytest.raises(ValueError, match="solver") as caught:
        compare(pair | {"broken": broken}, X, y, cv=2)
    assert "'broken'" in caught.value.__notes__[0]

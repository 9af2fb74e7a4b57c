"""Tests of skbert.scoring."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    hamming_loss,
    jaccard_score,
    make_scorer,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.utils.validation import check_is_fitted

from skbert.metrics import (
    multilabel_log_loss,
    nan_f1_score,
    nan_roc_auc_score,
)
from skbert.scoring import resolve_scoring

TWINS = {
    "accuracy": accuracy_score,
    **{
        f"{name}_{average}": partial(score, average=average, zero_division=0)
        for name, score in {
            "f1": f1_score,
            "jaccard": jaccard_score,
            "precision": precision_score,
            "recall": recall_score,
        }.items()
        for average in ("macro", "micro", "samples", "weighted")
    },
}


def with_unknown(y_true, share=0.3):
    y = y_true.astype(float)
    y[np.random.default_rng(1).random(y.shape) < share] = np.nan
    return y


@pytest.mark.parametrize("name", sorted(TWINS))
def test_names_of_prediction_scores_mean_what_they_do_in_scikit_learn(answers, name):
    y_true, y_proba, y_pred, weight = answers
    score = resolve_scoring(name)
    assert score(y_true, y_proba, y_pred) == pytest.approx(TWINS[name](y_true, y_pred))
    assert score(y_true, y_proba, y_pred, sample_weight=weight) == pytest.approx(
        TWINS[name](y_true, y_pred, sample_weight=weight)
    )


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("average_precision", average_precision_score),
        ("average_precision_micro", partial(average_precision_score, average="micro")),
        ("roc_auc", roc_auc_score),
        ("roc_auc_micro", partial(roc_auc_score, average="micro")),
        ("neg_log_loss", lambda *args, **kw: -multilabel_log_loss(*args, **kw)),
    ],
)
def test_names_of_probability_scores(answers, name, theirs):
    y_true, y_proba, y_pred, weight = answers
    score = resolve_scoring(name)
    assert score(y_true, y_proba, y_pred) == pytest.approx(theirs(y_true, y_proba))
    assert score(y_true, y_proba, y_pred, sample_weight=weight) == pytest.approx(
        theirs(y_true, y_proba, sample_weight=weight)
    )


def test_twins_mask_nan(answers):
    y_true, y_proba, y_pred, _ = answers
    y_nan = with_unknown(y_true)
    f1 = resolve_scoring("f1_macro")(y_nan, y_proba, y_pred)
    assert f1 == nan_f1_score(y_nan, y_pred) != nan_f1_score(y_true, y_pred)
    auc = resolve_scoring("roc_auc")(y_nan, y_proba, y_pred)
    assert auc == nan_roc_auc_score(y_nan, y_proba)


def test_other_scorers_of_scikit_learn_get_the_answers(answers):
    y_true, y_proba, y_pred, weight = answers
    by_name = resolve_scoring("neg_mean_squared_error")
    assert by_name(y_true, y_proba, y_pred) == pytest.approx(-np.mean(y_true != y_pred))
    on_pred = resolve_scoring(make_scorer(hamming_loss, greater_is_better=False))
    assert on_pred(y_true, y_proba, y_pred) == -hamming_loss(y_true, y_pred)
    weighted = on_pred(y_true, y_proba, y_pred, sample_weight=weight)
    assert weighted == -hamming_loss(y_true, y_pred, sample_weight=weight)
    for method in ("predict_proba", "decision_function"):
        on_score = resolve_scoring(make_scorer(roc_auc_score, response_method=method))
        got = on_score(y_true, y_proba * 0.9 + 0.05, y_pred)
        assert got == pytest.approx(roc_auc_score(y_true, y_proba))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("f1", f1_score),
        ("balanced_accuracy", balanced_accuracy_score),
        ("matthews_corrcoef", matthews_corrcoef),
    ],
)
def test_binary_scorers_of_scikit_learn_work_for_one_label(answers, name, theirs):
    y_true, y_proba, y_pred = (a[:, :1] for a in answers[:3])
    got = resolve_scoring(name)(y_true, y_proba, y_pred)
    assert got == pytest.approx(theirs(y_true[:, 0], y_pred[:, 0]))


def test_a_scorer_function_of_the_users_is_called_with_an_estimator(answers):
    y_true, y_proba, y_pred, _ = answers

    def first_half(estimator, X, y):
        check_is_fitted(estimator)
        half = len(X) // 2
        assert estimator.classes_.shape == (5, 2)
        assert y.shape == (60, 5)
        return f1_score(y[:half], estimator.predict(X[:half]), average="micro")

    score = resolve_scoring(first_half)
    expected = f1_score(y_true[:30], y_pred[:30], average="micro")
    assert score(y_true, y_proba, y_pred.astype(bool)) == expected
    with pytest.raises(ValueError, match="'first_half' does not take NaN"):
        score(with_unknown(y_true), y_proba, y_pred)


def test_scorers_without_a_twin_refuse_nan_and_name_those_that_take_it(answers):
    y_true, y_proba, y_pred, _ = answers
    score = resolve_scoring("neg_mean_squared_error")
    with pytest.raises(ValueError, match="does not take NaN.* average_precision.* f1_"):
        score(with_unknown(y_true), y_proba, y_pred)


@pytest.mark.parametrize("scoring", ["f1_micro", "roc_auc", make_scorer(fbeta_score)])
def test_a_model_that_diverged_scores_nan(answers, scoring):
    y_true, y_proba, y_pred, _ = answers
    y_proba[3, 2] = np.nan
    assert np.isnan(resolve_scoring(scoring)(y_true, y_proba, y_pred))


def test_unknown_scorings_are_refused_at_once():
    with pytest.raises(ValueError, match=r"Did you mean 'roc_auc'\?.* neg_log_loss"):
        resolve_scoring("roc_au")
    with pytest.raises(ValueError, match="Unknown scoring 'zzz'. These take NaN"):
        resolve_scoring("zzz")
    with pytest.raises(ValueError, match="make_scorer"):
        resolve_scoring(f1_score)
    for neither in (None, ["f1_micro"], 3):
        with pytest.raises(ValueError, match="must be a name or a callable"):
            resolve_scoring(neither)


@pytest.mark.parametrize(
    "scoring", ["f1_macro", "neg_log_loss", "f1", make_scorer(hamming_loss)]
)
def test_a_resolved_scoring_can_be_pickled(answers, scoring):
    y_true, y_proba, y_pred = (a[:, :1] for a in answers[:3])
    score = resolve_scoring(scoring)
    copy = pickle.loads(pickle.dumps(score))
    assert copy(y_true, y_proba, y_pred) == score(y_true, y_proba, y_pred)

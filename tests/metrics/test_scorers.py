"""Tests of skbert.metrics.scorers."""

import pickle
from functools import partial

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
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
    ndcg_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted

from skbert import TunedThresholdsClassifierCV, compare
from skbert.base.responses import positive_scores
from skbert.baseline import BinaryRelevanceClassifier, make_tfidf_baseline
from skbert.metrics import (
    multilabel_log_loss,
    nan_balanced_accuracy_score,
    nan_f1_score,
    nan_fbeta_score,
    nan_roc_auc_score,
    precision_at_k,
    recall_at_k,
)
from skbert.metrics.scorers import (
    get_multilabel_scorer,
    get_multilabel_scorer_names,
    resolve_scoring,
)
from skbert.model_selection import MultilabelStratifiedKFold

NAMES = get_multilabel_scorer_names()
RANKS_LABELS = [name for name in NAMES if name.startswith("ndcg")]
TWINS = {
    "accuracy": accuracy_score,
    "balanced_accuracy": nan_balanced_accuracy_score,
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
        (
            "average_precision_weighted",
            partial(average_precision_score, average="weighted"),
        ),
        ("roc_auc_micro", partial(roc_auc_score, average="micro")),
        ("roc_auc_weighted", partial(roc_auc_score, average="weighted")),
        ("neg_log_loss", lambda *args, **kw: -multilabel_log_loss(*args, **kw)),
        (
            "neg_multilabel_log_loss",
            lambda *args, **kw: -multilabel_log_loss(*args, **kw),
        ),
        ("ndcg", ndcg_score),
        ("ndcg_at_3", partial(ndcg_score, k=3)),
        ("precision_at_3", partial(precision_at_k, k=3)),
        ("recall_at_12", partial(recall_at_k, k=12)),
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


# Decision values come first here, which are the log-odds of probabilities.
BY_DECISION = make_scorer(
    roc_auc_score, response_method=("decision_function", "predict_proba")
)


def test_decision_values_of_certain_answers_are_finite_and_in_order():
    proba = [0, 5e-324, 1e-300, 0.1, 0.5, 1 - 1e-9, np.nextafter(1, 0), 1]

    def scorer(estimator, X, y):
        values = estimator.decision_function(X)[:, 0]
        assert np.isfinite(values).all()
        assert (np.diff(values) > 0).all()
        np.testing.assert_allclose(expit(values), proba, atol=1e-12)
        return 1.0

    column = np.array(proba)[:, np.newaxis]
    assert resolve_scoring(scorer)(column >= 0.5, column, column >= 0.5) == 1.0


def test_certain_answers_are_scored_by_their_decision_values(answers):
    y_true, y_proba, y_pred, weight = answers
    y_proba = y_proba.round(1)
    assert {0, 1} <= set(y_proba.ravel())
    got = resolve_scoring(BY_DECISION)(y_true, y_proba, y_pred, sample_weight=weight)
    expected = roc_auc_score(y_true, y_proba, sample_weight=weight)
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("scoring", [BY_DECISION, *NAMES])
@pytest.mark.parametrize("wrap", [MultiOutputClassifier, BinaryRelevanceClassifier])
def test_forests_are_scored_which_are_often_certain(features, scoring, wrap):
    X, y = features
    forest = wrap(RandomForestClassifier(3, random_state=0)).fit(X, y)
    scorer = get_multilabel_scorer(scoring) if isinstance(scoring, str) else scoring
    proba = positive_scores(forest, X, "predict_proba", 3)
    assert {0, 1} <= set(proba.ravel())
    score = resolve_scoring(scorer)(y, proba, forest.predict(X))
    assert score == pytest.approx(scorer(forest, X, y))


def test_comparing_and_tuning_score_forests_by_decision_values(features):
    X, y = features
    forest = BinaryRelevanceClassifier(RandomForestClassifier(3, random_state=0))
    table = compare({"forest": forest}, X, y, scoring={"auc": BY_DECISION}, cv=2)
    assert 0.5 < table["auc"]["mean"].item() < 1
    tuned = TunedThresholdsClassifierCV(
        forest, scoring=BY_DECISION, method="optuna", n_trials=5, cv=2, random_state=0
    ).fit(X, y)
    assert 0.5 < tuned.best_score_ < 1


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


def test_scorers_made_of_our_scores_take_nan(answers):
    y_true, y_proba, y_pred, weight = answers
    y_nan = with_unknown(y_true)
    f2 = resolve_scoring(make_scorer(nan_fbeta_score, beta=2))
    expected = nan_fbeta_score(y_nan, y_pred, beta=2, sample_weight=weight)
    assert f2(y_nan, y_proba, y_pred, sample_weight=weight) == expected
    for name in NAMES:
        score = resolve_scoring(get_multilabel_scorer(name))
        expected = resolve_scoring(name)(y_nan, y_proba, y_pred)
        assert score(y_nan, y_proba, y_pred) == pytest.approx(expected)
        assert score(y_true, y_proba, y_pred) == pytest.approx(
            resolve_scoring(name)(y_true, y_proba, y_pred)
        )


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
    with pytest.raises(ValueError, match=r"Did you mean 'precision_at_\d'\?"):
        resolve_scoring("precision_at_k")
    with pytest.raises(ValueError, match="make_scorer"):
        resolve_scoring(f1_score)
    for neither in (None, ["f1_micro"], 3):
        with pytest.raises(ValueError, match="must be a name or a callable"):
            resolve_scoring(neither)


@pytest.mark.parametrize(
    "scoring",
    ["f1_macro", "neg_log_loss", "recall_at_2", "f1", make_scorer(hamming_loss)],
)
def test_a_resolved_scoring_can_be_pickled(answers, scoring):
    y_true, y_proba, y_pred = (a[:, :1] for a in answers[:3])
    score = resolve_scoring(scoring)
    copy = pickle.loads(pickle.dumps(score))
    assert copy(y_true, y_proba, y_pred) == score(y_true, y_proba, y_pred)


# --- scorers for scikit-learn --------------------------------------------------------


@pytest.fixture(scope="module")
def features():
    """40 rows of three numbers, and three labels that they signal."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    return X, (X + 0.3 * X[:, ::-1] > 0.3).astype(int)


@pytest.mark.parametrize("n_labels", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_scorer_scores_what_an_estimator_answers(features, name, n_labels):
    X, y = features[0], with_unknown(features[1][:, :n_labels], share=0.1)
    clf = BinaryRelevanceClassifier(LogisticRegression()).fit(X, y)
    scorer = get_multilabel_scorer(name)
    if name in RANKS_LABELS and n_labels == 1:
        with pytest.raises(ValueError, match="one label"):
            scorer(clf, X, y)
        return
    weight = np.arange(40.0)
    score = resolve_scoring(name)
    answers = clf.predict_proba(X), clf.predict(X)
    assert scorer(clf, X, y) == pytest.approx(score(y, *answers))
    assert scorer(clf, X, y, sample_weight=weight) == pytest.approx(
        score(y, *answers, sample_weight=weight)
    )
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(clf, X, y) == scorer(clf, X, y)


@pytest.mark.parametrize(
    ("name", "n_labels"),
    [
        *((name, 3) for name in NAMES),
        *((name, 1) for name in NAMES if name not in RANKS_LABELS),
    ],
)
def test_cross_validation_with_unknown_labels_works(emails, name, n_labels):
    texts, y = emails
    scores = cross_val_score(
        make_tfidf_baseline(),
        texts,
        with_unknown(y[:, :n_labels]),
        scoring=get_multilabel_scorer(name),
        cv=MultilabelStratifiedKFold(2),
        error_score="raise",
    )
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    assert (scores <= 1).all() and (scores < 0).all() == name.startswith("neg_")


def test_searches_and_several_scorers_at_once_work_with_unknown_labels(emails):
    texts, y = emails
    y_nan = with_unknown(y)
    scoring = {name: get_multilabel_scorer(name) for name in NAMES}
    folds = MultilabelStratifiedKFold(2)
    result = cross_validate(
        make_tfidf_baseline(),
        texts,
        y_nan,
        scoring=scoring,
        cv=folds,
        error_score="raise",
    )
    assert {f"test_{name}" for name in NAMES} < set(result)
    search = GridSearchCV(
        make_tfidf_baseline(),
        {"binaryrelevanceclassifier__estimator__C": [1e-3, 10.0]},
        scoring=scoring["neg_multilabel_log_loss"],
        cv=folds,
        error_score="raise",
    ).fit(texts, y_nan)
    assert search.best_params_["binaryrelevanceclassifier__estimator__C"] == 10.0
    np.testing.assert_allclose(
        [search.cv_results_[f"split{i}_test_score"][1] for i in range(2)],
        result["test_neg_multilabel_log_loss"],
    )


@pytest.mark.parametrize("name", NAMES)
def test_estimators_of_others_are_scored(features, name):
    X, y = features
    y_nan, scorer = with_unknown(y), get_multilabel_scorer(name)
    one_array = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    list_of_arrays = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    ours = BinaryRelevanceClassifier(LogisticRegression()).fit(X, y)
    expected = pytest.approx(scorer(ours, X, y_nan))
    assert scorer(one_array, X, y_nan) == expected
    assert scorer(list_of_arrays, X, y_nan) == expected


@pytest.mark.parametrize("name", ["f1_macro", "roc_auc", "recall_at_1"])
def test_a_single_column_of_others_is_scored(features, name):
    X, y = features[0], features[1][:, :1]
    scorer = get_multilabel_scorer(name)
    ours = BinaryRelevanceClassifier(LogisticRegression()).fit(X, y)
    for other in (
        LogisticRegression().fit(X, y[:, 0]),
        MultiOutputClassifier(LogisticRegression()).fit(X, y),
    ):
        assert scorer(other, X, with_unknown(y)) == scorer(ours, X, with_unknown(y))


def test_two_labels_that_look_like_two_classes_are_scored_or_refused(features):
    X, y = features[0], features[1][:, :2]
    clf = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    assert get_multilabel_scorer("f1_macro")(clf, X, y) == pytest.approx(
        nan_f1_score(y, clf.predict(X))
    )
    with pytest.raises(ValueError, match=r"one dimension.*BinaryRelevanceClassifier"):
        get_multilabel_scorer("roc_auc")(clf, X, y)


def test_rankings_do_without_probabilities_and_log_loss_does_not(features):
    X, y = features
    clf = BinaryRelevanceClassifier(LinearSVC()).fit(X, y)
    auc = get_multilabel_scorer("roc_auc")(clf, X, y)
    assert auc == nan_roc_auc_score(y, clf.decision_function(X))
    with pytest.raises(AttributeError, match="predict_proba"):
        get_multilabel_scorer("neg_multilabel_log_loss")(clf, X, y)


def test_every_listed_name_is_a_scorer_and_any_other_k_is_one():
    assert NAMES == sorted(NAMES)
    assert {"f1_macro", "ndcg", "precision_at_3", "recall_at_5"} < set(NAMES)
    for name in [*NAMES, "recall_at_17"]:
        assert callable(get_multilabel_scorer(name))
    assert "k=17" in repr(get_multilabel_scorer("recall_at_17"))


def test_unknown_scorers_are_refused():
    for wrong, right in {
        "f1": "f1_macro",
        "precision": "precision_macro",
        "log_loss": "neg_log_loss",
        "recal_at_5": "recall_at_5",
    }.items():
        with pytest.raises(ValueError, match=f"{wrong!r}. Did you mean {right!r}"):
            get_multilabel_scorer(wrong)
    for wrong in ("recall_at_0", "recall_at_-1", "recall_at_05", "recall_at_1.5"):
        with pytest.raises(ValueError, match="Did you mean 'recall_at_"):
            get_multilabel_scorer(wrong)
    with pytest.raises(ValueError, match="scikit-learn has a scorer of that name"):
        get_multilabel_scorer("neg_mean_squared_error")
    for no_name in (None, f1_score, 3):
        with pytest.raises(TypeError, match="name must be a str"):
            get_multilabel_scorer(no_name)

"""The estimator that tunes thresholds: out of fold, held out, prefit, by Optuna."""

import subprocess
import sys
import warnings

import numpy as np
import optuna
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from contract import FAULTY_CHECKS
from skbert import (
    BinaryRelevanceClassifier,
    MultilabelStratifiedKFold,
    TransformerMultiLabelClassifier,
    TunedThresholdsClassifierCV,
    find_thresholds,
    make_tfidf_baseline,
)
from skbert.metrics import nan_f1_score


@pytest.fixture(scope="module")
def numbers():
    """150 rows of 20 numbers with four labels."""
    X, y = make_multilabel_classification(
        150, n_classes=4, n_labels=1, allow_unlabeled=True, random_state=0
    )
    return X, y


def make(estimator=None, **params):
    return TunedThresholdsClassifierCV(
        BinaryRelevanceClassifier() if estimator is None else estimator, **params
    )


# --- where the scores come from -------------------------------------------------------


def test_thresholds_are_tuned_on_scores_of_rows_that_were_not_fitted(numbers):
    X, y = numbers
    folds = KFold(3, shuffle=True, random_state=0)
    tuned = make(cv=folds).fit(X, y)
    proba = cross_val_predict(
        BinaryRelevanceClassifier(), X, y, cv=folds, method="predict_proba"
    )
    np.testing.assert_array_equal(tuned.thresholds_, find_thresholds(y, proba))
    assert tuned.best_score_ == nan_f1_score(y, proba >= tuned.thresholds_)
    everything = BinaryRelevanceClassifier().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(tuned.predict_proba(X), everything)
    np.testing.assert_array_equal(tuned.predict(X), everything >= tuned.thresholds_)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [(None, ValueError, "X, row 37 is missing"), (3.5, TypeError, "X, row 37 is")],
)
def test_an_entry_that_is_no_text_is_named_before_anything_is_fitted(
    tiny_bert, monkeypatch, entry, error, message
):
    texts = [f"text {i}" for i in range(40)]
    texts[37] = entry
    y = np.arange(40)[:, np.newaxis] % [2, 3] == 0
    clf = TransformerMultiLabelClassifier(tiny_bert)

    def fit(self, X, y):
        raise AssertionError("fitted")

    monkeypatch.setattr(TransformerMultiLabelClassifier, "fit", fit)
    for cv in (2, 0.5, KFold(2)):
        with pytest.raises(error, match=message):
            make(clf, cv=cv).fit(texts, y)


def test_what_is_no_text_is_left_to_other_estimators_and_pipelines(tiny_bert):
    texts = [{"body": f"text {i}"} for i in range(12)]
    y = np.arange(12)[:, np.newaxis] % [2, 3] == 0
    bodies = FunctionTransformer(lambda X: [x["body"] for x in X])
    clf = TransformerMultiLabelClassifier(
        tiny_bert, max_length=16, max_epochs=1, device="cpu"
    )
    tuned = make(make_pipeline(bodies, clf), cv=2).fit(texts, y)
    assert tuned.predict(texts).shape == (12, 2)


def test_an_int_is_that_many_stratified_folds(numbers):
    X, y = numbers
    expected = make(cv=MultilabelStratifiedKFold(4)).fit(X, y).thresholds_
    np.testing.assert_array_equal(make(cv=4).fit(X, y).thresholds_, expected)
    assert "split4_score" in make().fit(X, y).cv_results_  # five by default


def test_a_float_is_one_held_out_part(numbers):
    X, y = numbers
    tuned = make(cv=0.3, random_state=0).fit(X, y)
    assert tuned.cv_results_["support"].sum() == pytest.approx(0.3 * y.sum(), abs=4)
    again = make(cv=0.3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(tuned.thresholds_, again.thresholds_)


def test_without_refit_the_estimator_knows_the_training_part_only(numbers):
    X, y = numbers
    train, test = np.arange(100), np.arange(100, 150)
    tuned = make(cv=[(train, test)], refit=False).fit(X, y)
    expected = BinaryRelevanceClassifier().fit(X[train], y[train])
    np.testing.assert_array_equal(tuned.predict_proba(X), expected.predict_proba(X))
    with pytest.raises(ValueError, match="refit=False needs a cv with one split"):
        make(cv=3, refit=False).fit(X, y)


def test_a_fitted_estimator_is_only_tuned(numbers):
    X, y = numbers
    fitted = BinaryRelevanceClassifier().fit(X[:75], y[:75])
    tuned = make(fitted, cv="prefit").fit(X[75:], y[75:])
    expected = find_thresholds(y[75:], fitted.predict_proba(X[75:]))
    np.testing.assert_array_equal(tuned.thresholds_, expected)
    np.testing.assert_array_equal(tuned.predict_proba(X), fitted.predict_proba(X))
    # The copy has the thresholds, what was passed stays as it was.
    np.testing.assert_array_equal(tuned.estimator_.thresholds_, expected)
    np.testing.assert_array_equal(tuned.estimator_.predict(X), tuned.predict(X))
    assert (fitted.thresholds_ == 0.5).all()


def test_a_frozen_estimator_survives_cloning(numbers):
    X, y = numbers
    frozen = FrozenEstimator(BinaryRelevanceClassifier().fit(X[:75], y[:75]))
    tuned = clone(make(frozen, cv="prefit")).fit(X[75:], y[75:])
    np.testing.assert_array_equal(
        tuned.estimator_.estimator.thresholds_, tuned.thresholds_
    )


def test_names_come_from_the_fitted_estimator_if_y_has_none(numbers):
    X, y = numbers
    frame = pd.DataFrame(y, columns=list("abcd"))
    fitted = BinaryRelevanceClassifier().fit(X, frame)
    assert make(fitted, cv="prefit").fit(X, y).label_names_.tolist() == list("abcd")


def test_folds_in_two_processes_give_the_same(numbers):
    X, y = numbers
    alone, two = make(cv=3).fit(X, y), make(cv=3, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(alone.thresholds_, two.thresholds_)


# --- what is tuned for ----------------------------------------------------------------


def test_results_have_a_row_per_label(numbers):
    X, y = numbers
    tuned = make(cv=3).fit(X, pd.DataFrame(y, columns=list("abcd")))
    table = pd.DataFrame(tuned.cv_results_).set_index("label")
    assert table.index.tolist() == list("abcd")
    assert table["support"].tolist() == y.sum(axis=0).tolist()
    splits = table[["split0_score", "split1_score", "split2_score"]]
    np.testing.assert_allclose(table["mean_score"], splits.mean(axis=1))
    np.testing.assert_allclose(table["std_score"], splits.std(axis=1, ddof=0))
    assert tuned.best_score_ == pytest.approx(table["score"].mean())
    assert (table["std_threshold"] > 0).all()


def test_scoring_decides_what_is_best(numbers):
    X, y = numbers
    y = np.column_stack([y, y[:, 0] * y[:, 1] * y[:, 2]])  # a rare one
    scores = {}
    for scoring in ("f1_micro", "f1_macro"):
        tuned = make(scoring=scoring, shrinkage=0, cv=KFold(3)).fit(X, y)
        proba = cross_val_predict(
            BinaryRelevanceClassifier(), X, y, cv=KFold(3), method="predict_proba"
        )
        chosen = proba >= tuned.thresholds_
        scores[scoring] = [
            nan_f1_score(y, chosen, average=a) for a in ("micro", "macro")
        ]
        assert tuned.best_score_ in scores[scoring]
    assert scores["f1_micro"][0] > scores["f1_macro"][0]
    assert scores["f1_macro"][1] > scores["f1_micro"][1]


def test_parameters_of_the_scoring_are_passed_on(numbers):
    X, y = numbers
    loose = make(scoring="fbeta_macro", scoring_params={"beta": 4.0}, cv=3).fit(X, y)
    strict = make(scoring="fbeta_macro", scoring_params={"beta": 0.25}, cv=3).fit(X, y)
    assert (loose.thresholds_ < strict.thresholds_).all()


def test_one_threshold_for_all(numbers):
    X, y = numbers
    assert len(set(make(per_label=False, cv=3).fit(X, y).thresholds_)) == 1


def test_optuna_finds_thresholds_for_what_does_not_decompose(numbers):
    X, y = numbers
    params = {"method": "optuna", "cv": 3, "random_state": 0, "n_trials": 25}
    tuned = make(scoring="accuracy", **params).fit(X, y)
    exact = make(scoring="f1_macro", cv=3).fit(X, y)
    assert tuned.best_score_ == tuned.study_.best_value
    assert len(tuned.study_.trials) == 25
    # Never worse than the exact solutions it starts from.
    starts = [trial.value for trial in tuned.study_.trials[:4]]
    assert tuned.best_score_ >= max(starts)
    assert tuned.study_.best_trial.number >= 0
    assert exact.thresholds_.shape == tuned.thresholds_.shape
    again = make(scoring="accuracy", **params).fit(X, y)
    np.testing.assert_array_equal(tuned.thresholds_, again.thresholds_)


def positives_found(estimator, X, y):
    """A user's scorer: true positives less false ones."""
    predicted = estimator.predict(X)
    return float((predicted * y).sum() - (predicted * (1 - y)).sum())


def test_a_users_callable_and_study_and_sampler_are_used(numbers):
    X, y = numbers
    study = optuna.create_study(direction="maximize")
    sampler = optuna.samplers.RandomSampler(seed=0)
    tuned = make(
        scoring=positives_found,
        method="optuna",
        cv=3,
        study=study,
        sampler=sampler,
        n_trials=8,
    )
    tuned.fit(X, y)
    assert tuned.study_ is study
    assert study.sampler is sampler
    assert set(study.best_params) == set(tuned.label_names_)
    assert tuned.best_score_ == study.best_value


def test_a_study_that_minimizes_is_refused(numbers):
    study = optuna.create_study(direction="minimize")
    with pytest.raises(ValueError, match="must maximize"):
        make(method="optuna", study=study, cv=0.3).fit(*numbers)


def test_optuna_can_search_what_is_exact_too(numbers):
    X, y = numbers
    exact = make(cv=3, shrinkage=0).fit(X, y)
    sampled = make(cv=3, method="optuna", n_trials=5, random_state=0).fit(X, y)
    assert sampled.best_score_ == pytest.approx(exact.best_score_)


def test_nothing_is_printed(numbers, capfd):
    make(method="optuna", cv=3, n_trials=3, random_state=0).fit(*numbers)
    assert capfd.readouterr() == ("", "")


def test_a_score_that_is_never_defined_is_an_error(numbers):
    def undefined(estimator, X, y):
        return float("nan")

    with pytest.raises(ValueError, match="nan for all thresholds"):
        make(scoring=undefined, method="optuna", cv=0.3, n_trials=2).fit(*numbers)


# --- any estimator --------------------------------------------------------------------

ESTIMATORS = {
    "forest": RandomForestClassifier(10, random_state=0),
    "one vs rest": OneVsRestClassifier(LogisticRegression()),
    "multi output": MultiOutputClassifier(LogisticRegression()),
    "pipeline": make_pipeline(StandardScaler(), BinaryRelevanceClassifier()),
    "support vectors": BinaryRelevanceClassifier(LinearSVC()),
    "grid": GridSearchCV(
        BinaryRelevanceClassifier(), {"estimator": [None]}, cv=2, scoring="f1_macro"
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_tunes_any_multi_label_estimator(numbers, name):
    X, y = numbers
    tuned = make(ESTIMATORS[name], cv=3, shrinkage=0).fit(X[:100], y[:100])
    before = clone(ESTIMATORS[name]).fit(X[:100], y[:100]).predict(X[:100])
    assert tuned.predict(X).shape == y.shape
    assert tuned.classes_.tolist() == [[0, 1]] * 4
    assert len(tuned.predict_labels(X)) == 150
    assert tuned.best_score_ > 0.4
    assert not np.array_equal(tuned.predict(X[:100]), before)


def test_a_pipeline_keeps_the_thresholds_in_its_last_step(numbers):
    X, y = numbers
    tuned = make(ESTIMATORS["pipeline"], cv=3).fit(X, y)
    np.testing.assert_array_equal(tuned.estimator_[-1].thresholds_, tuned.thresholds_)
    np.testing.assert_array_equal(tuned.estimator_.predict(X), tuned.predict(X))


def test_one_dimension_is_binary(numbers):
    X, y = numbers
    names = np.where(y[:, 0] == 1, "yes", "no")
    tuned = make(LogisticRegression(), cv=3).fit(X, names)
    assert tuned.thresholds_.shape == (1,)
    assert set(tuned.predict(X)) == {"yes", "no"}
    assert tuned.predict_proba(X).shape == (150, 2)
    assert tuned.decision_function(X).shape == (150,)
    chosen = tuned.predict_proba(X)[:, 1] >= tuned.thresholds_[0]
    np.testing.assert_array_equal(tuned.predict(X) == "yes", chosen)


def test_a_transformer_keeps_its_thresholds_when_saved(emails, tiny_bert, tmp_path):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        str(tiny_bert),
        pooling="mean",
        max_length=64,
        max_epochs=3,
        learning_rate=3e-3,
        random_state=0,
    )
    tuned = make(clf, cv=2).fit(X, y)
    tuned.estimator_.save_pretrained(tmp_path / "model")
    loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path / "model")
    np.testing.assert_allclose(loaded.thresholds_, tuned.thresholds_)
    assert loaded.predict_labels(X) == tuned.predict_labels(X)


def test_texts_go_through_the_baseline(emails):
    X, y = emails
    tuned = make(make_tfidf_baseline(), cv=3).fit(X, y)
    assert nan_f1_score(y, tuned.predict(X)) > 0.9


def test_unknown_labels_are_left_out(numbers):
    X, y = numbers
    holes = y.astype(float)
    holes[np.random.default_rng(0).random(y.shape) < 0.2] = np.nan
    tuned = make(cv=3).fit(X, holes)
    assert np.isfinite(tuned.thresholds_).all()
    assert tuned.cv_results_["support"].tolist() == np.nansum(holes, 0).tolist()


# --- scikit-learn's tools -------------------------------------------------------------


def test_it_works_inside_cross_validation_and_pipelines(numbers):
    X, y = numbers
    folds = KFold(3, shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), make(cv=2))
    scores = cross_val_score(pipeline, X, y, cv=folds, scoring="f1_macro")
    by_hand = []
    for train, test in folds.split(X):
        fitted = clone(pipeline).fit(X[train], y[train])
        by_hand.append(nan_f1_score(y[test], fitted.predict(X[test])))
    np.testing.assert_allclose(scores, by_hand)


def test_it_can_be_searched(numbers):
    X, y = numbers
    grid = {"shrinkage": [0, 20], "estimator__estimator__C": [0.1, 1]}
    search = GridSearchCV(
        make(BinaryRelevanceClassifier(LogisticRegression()), cv=2),
        grid,
        cv=2,
        scoring="f1_macro",
    )
    assert search.fit(X, y).best_score_ > 0.4


def test_sample_weights_count_in_fit_and_score(numbers):
    X, y = numbers
    weight = np.random.default_rng(0).integers(0, 3, size=150).astype(float)
    folds = [(np.arange(75), np.arange(75, 150))]
    tuned = make(cv=folds).fit(X, y, sample_weight=weight)
    fitted = BinaryRelevanceClassifier().fit(X[:75], y[:75], sample_weight=weight[:75])
    expected = find_thresholds(
        y[75:], fitted.predict_proba(X[75:]), sample_weight=weight[75:]
    )
    np.testing.assert_array_equal(tuned.thresholds_, expected)


def test_metadata_is_routed_to_the_estimator_and_the_splitter(numbers):
    X, y = numbers
    groups = np.arange(150) % 10
    weight = np.random.default_rng(0).random(150)
    with sklearn.config_context(enable_metadata_routing=True):
        inner = BinaryRelevanceClassifier(
            LogisticRegression().set_fit_request(sample_weight=True)
        ).set_fit_request(sample_weight=True)
        tuned = make(inner, cv=GroupKFold(2)).set_fit_request(sample_weight=True)
        tuned.fit(X, y, sample_weight=weight, groups=groups)
    splits = list(GroupKFold(2).split(X, y, groups))
    plain = make(cv=splits).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(tuned.thresholds_, plain.thresholds_)


def test_groups_without_routing_are_an_error_with_advice(numbers):
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        make().fit(*numbers, groups=np.zeros(150))


def test_thresholds_may_be_assigned(numbers):
    X, y = numbers
    tuned = make(cv=3).fit(X, y)
    tuned.thresholds_ = np.full(4, 1.0)
    assert tuned.predict(X).sum() == 0
    tuned.thresholds_ = np.zeros(3)
    with pytest.raises(ValueError, match="shape"):
        tuned.predict(X)
    values = make(cv=3, response_method="decision_function").fit(X, y)
    values.thresholds_ = np.full(4, -1e9)
    assert values.predict(X).all()
    values.thresholds_ = np.zeros(3)
    with pytest.raises(ValueError, match="shape"):
        values.predict(X)


def test_methods_are_there_only_if_the_estimator_has_them(numbers):
    svm = make(BinaryRelevanceClassifier(LinearSVC()), cv=2)
    assert not hasattr(svm, "predict_proba")
    assert hasattr(svm.fit(*numbers), "decision_function")
    assert svm.n_features_in_ == 20
    with pytest.raises(AttributeError, match="n_features_in_ before it is fitted"):
        _ = make().n_features_in_


@parametrize_with_checks(
    [make(BinaryRelevanceClassifier(LogisticRegression()), cv=2)],
    expected_failed_checks=lambda estimator: {
        **FAULTY_CHECKS,
        "check_classifier_multioutput": (
            "indexes classes_ as one flat pair of classes; ours has a row per label"
        ),
    },
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# --- what bad input gets --------------------------------------------------------------


def test_an_estimator_that_is_not_fitted_is_refused(numbers):
    with pytest.raises(NotFittedError, match="cv='prefit' needs a fitted estimator"):
        make(cv="prefit").fit(*numbers)


def test_another_number_of_labels_is_refused(numbers):
    X, y = numbers
    fitted = BinaryRelevanceClassifier().fit(X, y)
    with pytest.raises(ValueError, match="y has 3 label.*fitted to 4"):
        make(fitted, cv="prefit").fit(X, y[:, :3])


class OnlyPredicts(BinaryRelevanceClassifier):
    predict_proba = property()
    decision_function = property()


def test_an_estimator_without_scores_is_refused(numbers):
    with pytest.raises(ValueError, match="no predict_proba and no decision_function"):
        make(OnlyPredicts()).fit(*numbers)


def test_an_unknown_metric_is_refused_before_anything_is_fitted(numbers):
    estimator = GridSearchCV(BinaryRelevanceClassifier(), {"no such": [1]})
    with pytest.raises(ValueError, match="Did you mean 'f1_macro'"):
        make(estimator, scoring="f1_marco").fit(*numbers)
    with pytest.raises(ValueError, match="no such"):
        make(estimator).fit(*numbers)


def test_a_fold_that_lacks_a_class_names_the_label(numbers):
    X, y = numbers
    y = pd.DataFrame(y, columns=list("abcd"))
    y["d"] = 0
    y.loc[0, "d"] = 1
    estimator = MultiOutputClassifier(LogisticRegression())
    with pytest.raises(ValueError, match="lack a class of 'd'"):
        make(estimator, cv=3).fit(X, y)


def test_a_label_without_positives_keeps_the_shared_threshold(numbers):
    X, y = numbers
    y = y.copy()
    y[:, 2] = 0
    with pytest.warns(UserWarning) as caught:
        tuned = make(cv=2).fit(X, y)
    told = [str(w.message) for w in caught]
    # One of the last fit, one of the thresholds; none of the folds.
    assert ["tuning data" in message for message in told] == [False, True]
    assert all("'label_2'" in message for message in told)
    with pytest.warns(UserWarning):
        shared = make(cv=2, shrinkage=1e15).fit(X, y).thresholds_
    np.testing.assert_allclose(tuned.thresholds_[2], shared)


def test_labels_in_another_order_are_refused(numbers):
    X, y = numbers
    frame = pd.DataFrame(y, columns=list("abcd"))
    fitted = BinaryRelevanceClassifier().fit(X, frame)
    with pytest.raises(ValueError, match="another order"):
        make(fitted, cv="prefit").fit(X, frame[list("dcba")])
    tuned = make(fitted, cv="prefit").fit(X, frame)
    with pytest.raises(ValueError, match="another order"):
        tuned.score(X, frame[list("dcba")])


def test_an_estimator_of_another_kind_of_target_is_refused(numbers):
    X, y = numbers
    binary = LogisticRegression().fit(X, y[:, 0])
    with pytest.raises(ValueError, match="fitted to one-dimensional y"):
        make(binary, cv="prefit").fit(X, y[:, :2])
    named = LogisticRegression().fit(X, np.where(y[:, 0], "yes", "no"))
    with pytest.raises(ValueError, match="was fitted to .'no', 'yes'"):
        make(named, cv="prefit").fit(X, np.where(y[:, 0], "z", "a"))


def test_a_requirement_is_no_job_for_optuna(numbers):
    params = {"recall": 0.8}
    with pytest.raises(ValueError, match="use method='exact'"):
        make(method="optuna", scoring="precision_at_recall", scoring_params=params).fit(
            *numbers
        )


def test_without_positives_both_methods_say_so(numbers):
    X, y = numbers
    for method in ("exact", "optuna"):
        with pytest.raises(ValueError, match="No label has a known positive"):
            make(DummyClassifier(), method=method, cv=2).fit(X, np.zeros_like(y))


def test_a_study_and_a_sampler_must_be_optunas(numbers):
    with pytest.raises(TypeError, match="optuna.Study"):
        make(method="optuna", study="study.db", cv=0.3).fit(*numbers)
    with pytest.raises(TypeError, match="optuna.samplers"):
        make(method="optuna", sampler="tpe", cv=0.3).fit(*numbers)


def test_a_timeout_leaves_the_exact_solutions(numbers):
    tuned = make(method="optuna", cv=0.3, timeout=1e-9, random_state=0)
    exact = make(cv=0.3, random_state=0, shrinkage=0).fit(*numbers)
    assert tuned.fit(*numbers).best_score_ == pytest.approx(exact.best_score_)


def test_a_row_that_several_splits_hold_out_counts_once(numbers):
    X, y = numbers
    folds = RepeatedKFold(n_splits=3, n_repeats=4, random_state=0)
    tuned = make(cv=folds).fit(X, y)
    assert tuned.cv_results_["support"].tolist() == y.sum(axis=0).tolist()


def test_a_split_without_weights_is_left_out(numbers):
    X, y = numbers
    weight = np.ones(150)
    weight[:50] = 0
    tuned = make(cv=KFold(3)).fit(X, y, sample_weight=weight)
    assert tuned.cv_results_["support"].tolist() == y[50:].sum(axis=0).tolist()


class CountsFits(LogisticRegression):
    """A logistic regression that tells how often it was fitted, in a list of all."""

    fits: list = []

    def fit(self, X, y, sample_weight=None):
        self.fits.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("method", ["exact", "optuna"])
@pytest.mark.parametrize("refit", [False, True])
def test_held_out_rows_without_weight_are_an_error_before_any_fit(
    numbers, method, refit
):
    X, y = numbers
    weight = np.ones(150)
    weight[:50] = 0
    CountsFits.fits.clear()
    estimator = BinaryRelevanceClassifier(CountsFits())
    tuned = make(
        estimator,
        cv=[(np.arange(50, 150), np.arange(50))],
        method=method,
        refit=refit,
    )
    with pytest.raises(ValueError, match="All rows that cv holds out have a sample_we"):
        tuned.fit(X, y, sample_weight=weight)
    assert CountsFits.fits == []


def test_nothing_is_fitted_for_a_split_without_weights(numbers):
    X, y = numbers
    weight = np.ones(150)
    weight[:50] = 0
    CountsFits.fits.clear()
    estimator = BinaryRelevanceClassifier(CountsFits())
    make(estimator, cv=KFold(3)).fit(X, y, sample_weight=weight)
    assert CountsFits.fits == [50] * 8 + [100] * 4


@pytest.mark.parametrize("cv", [0.2, 3, None])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_a_number_of_folds_splits_the_rows_with_weight(numbers, cv, form):
    X, y = numbers
    weight = np.zeros(150)
    weight[::3] = np.random.default_rng(0).random(50) + 0.5
    tuned = make(cv=cv, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare labels, in both
        tuned.fit(X, form(y), sample_weight=weight)
        alone = clone(tuned).fit(X[::3], form(y[::3]), sample_weight=weight[::3])
    np.testing.assert_array_equal(tuned.thresholds_, alone.thresholds_)
    np.testing.assert_array_equal(tuned.predict_proba(X), alone.predict_proba(X))


def test_a_fitted_estimator_is_tuned_on_the_rows_with_weight(numbers):
    X, y = numbers
    fitted = BinaryRelevanceClassifier().fit(X, y)
    weight = np.ones(150)
    weight[:100] = 0
    tuned = make(fitted, cv="prefit").fit(X, y, sample_weight=weight)
    alone = make(fitted, cv="prefit").fit(X[100:], y[100:])
    np.testing.assert_array_equal(tuned.thresholds_, alone.thresholds_)
    with pytest.raises(ValueError, match="sample_weight: every weight is zero"):
        tuned.fit(X, y, sample_weight=np.zeros(150))


@pytest.mark.parametrize("n_neighbors", [3, 15])
def test_one_label_in_a_column_is_tuned_for_any_classifier(numbers, n_neighbors):
    X, y = numbers
    estimator = KNeighborsClassifier(n_neighbors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own, of a column
        tuned = make(estimator, cv=3).fit(X, y[:, :1])
    assert tuned.predict(X).shape == (150, 1)
    assert tuned.predict_proba(X).shape == (150, 1)


def test_the_estimator_follows_assigned_thresholds(numbers):
    X, y = numbers
    tuned = make(cv=3).fit(X, y)
    tuned.thresholds_ = [0.9, 0.1, 0.2, 0.3]
    assert tuned.estimator_.thresholds_.tolist() == [0.9, 0.1, 0.2, 0.3]
    np.testing.assert_array_equal(tuned.estimator_.predict(X), tuned.predict(X))


def test_thresholds_of_decision_values_stay_with_who_cuts_them(numbers):
    X, y = numbers
    inner = make(cv=2, response_method="decision_function", shrinkage=0)
    outer = make(inner, cv=2).fit(X, y)
    alone = clone(inner).fit(X, y)
    np.testing.assert_array_equal(outer.estimator_.predict(X), alone.predict(X))


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1.5, "cv"),
        ("five", "cv"),
        ([(np.arange(150), np.arange(150))], "trains on rows that it holds out"),
        ([(np.arange(150), [150])], "X has 150 rows"),
        (GroupKFold(3), "groups"),
    ],
)
def test_a_wrong_cv_is_an_error_that_says_what_is_wrong(numbers, cv, message):
    with pytest.raises(ValueError, match=message):
        make(cv=cv).fit(*numbers)


@pytest.mark.parametrize(
    "params", [{"cv": 1.5}, {"shrinkage": -1}, {"method": "grid"}, {"n_trials": 0}]
)
def test_parameters_out_of_range_are_refused(numbers, params):
    (name,) = params
    with pytest.raises(ValueError, match=name):
        make(**params).fit(*numbers)


def test_parameters_of_a_scoring_that_has_none_are_refused(numbers):
    with pytest.raises(TypeError, match="takes no scoring_params"):
        make(method="optuna", scoring="accuracy", scoring_params={"a": 1}).fit(*numbers)


def test_torch_is_not_needed():
    code = (
        "import sys; from skbert import find_thresholds, TunedThresholdsClassifierCV;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

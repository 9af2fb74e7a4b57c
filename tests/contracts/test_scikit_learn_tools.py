"""What works of scikit-learn around the classifier: the rows of the docs' table."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score, f1_score, get_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    LearningCurveDisplay,
    RandomizedSearchCV,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

from doc_tables import read_table
from skbert import (
    BinaryRelevanceClassifier,
    MultilabelStratifiedKFold,
    TransformerMultiLabelClassifier,
    make_tfidf_baseline,
)


@pytest.fixture
def clf(tiny_bert):
    return TransformerMultiLabelClassifier(
        model=str(tiny_bert),
        pooling="mean",
        max_length=64,
        max_epochs=4,
        batch_size=8,
        learning_rate=3e-3,
        device="cpu",
        random_state=0,
    )


@pytest.fixture
def five_labels(emails):
    X, y = emails
    return X, np.column_stack([y, y[:, 0] & y[:, 1], y[:, 1] | y[:, 2]])


SCORES = {
    "f1_micro": lambda t, p: f1_score(t, p >= 0.5, average="micro", zero_division=0),
    "f1_macro": lambda t, p: f1_score(t, p >= 0.5, average="macro", zero_division=0),
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
}


@pytest.mark.parametrize("n_labels", [1, 2, 5])
def test_cross_val_score_is_right_for_every_number_of_labels(
    clf, five_labels, n_labels
):
    X, y = np.array(five_labels[0], dtype=object), five_labels[1][:, :n_labels]
    folds = KFold(2, shuffle=True, random_state=0)
    got = cross_validate(clf, X, y, cv=folds, scoring=list(SCORES))
    for fold, (train, test) in enumerate(folds.split(X)):
        proba = clone(clf).fit(X[train], y[train]).predict_proba(X[test])
        for name, score in SCORES.items():
            if n_labels == 1 and name.startswith("f1"):
                continue  # of one column scikit-learn scores both classes
            expected = score(y[test], proba)
            assert got[f"test_{name}"][fold] == pytest.approx(expected), name
    assert got["test_roc_auc"].min() > 0.5  # inverted scores would be below


@pytest.mark.parametrize("name", SCORES)
def test_cross_val_score_of_one_dimension(clf, emails, name):
    X, y = np.array(emails[0], dtype=object), emails[1][:, 0]
    folds = StratifiedKFold(2)
    got = cross_val_score(clf, X, y, cv=folds, scoring=name)
    for fold, (train, test) in enumerate(folds.split(X, y)):
        fitted = clone(clf).fit(X[train], y[train])
        proba, pred = fitted.predict_proba(X[test])[:, 1], fitted.predict(X[test])
        if name.startswith("f1"):
            expected = f1_score(y[test], pred, average=name[3:])
        else:
            expected = SCORES[name](y[test], proba)
        assert got[fold] == pytest.approx(expected)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
def test_cross_val_predict_puts_rows_back_in_place(clf, emails, method):
    X, y = emails
    folds = MultilabelStratifiedKFold(2, shuffle=True, random_state=0)
    out = cross_val_predict(clf, X, y, cv=folds, method=method)
    train, test = next(iter(folds.split(X, y)))
    fitted = clone(clf).fit([X[i] for i in train], y[train])
    expected = getattr(fitted, method)([X[i] for i in test])
    np.testing.assert_allclose(out[test], expected, atol=1e-3)
    assert out.shape == y.shape


def test_grid_search_in_two_processes(clf, emails):
    X, y = emails
    grid = {"learning_rate": [1e-6, 3e-3], "pooling": ["mean"]}
    search = GridSearchCV(clf, grid, cv=2, scoring="roc_auc", n_jobs=2).fit(X, y)
    assert search.best_params_["learning_rate"] == 3e-3
    alone = GridSearchCV(clf, grid, cv=2, scoring="roc_auc").fit(X, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"],
        alone.cv_results_["mean_test_score"],
        atol=0.02,  # another number of threads rounds bf16 differently
    )
    assert search.predict(X).shape == y.shape


# Beside the search, whose processes it finds there.
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib_predicts_in_parallel(clf, emails, backend):
    X, y = emails
    clf.fit(X, y)
    parts = [X[:20], X[20:], X]
    with joblib.parallel_config(backend):
        answers = joblib.Parallel(n_jobs=2)(
            joblib.delayed(clf.predict_proba)(part) for part in parts
        )
    for part, proba in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(proba, clf.predict_proba(part))


def test_a_search_can_be_scored_by_folds_itself(clf, emails):
    search = GridSearchCV(clf, {"max_epochs": [1, 4]}, cv=2, scoring="roc_auc")
    assert cross_val_score(search, *emails, cv=2, scoring="roc_auc").min() > 0.5


def test_random_search(clf, emails):
    space = {"learning_rate": [1e-6, 3e-3]}
    search = RandomizedSearchCV(clf, space, n_iter=2, cv=2, scoring="roc_auc")
    assert search.fit(*emails).best_params_ == {"learning_rate": 3e-3}


@pytest.mark.parametrize(
    "resource", [{"min_resources": 30}, {"resource": "max_epochs", "max_resources": 4}]
)
def test_halving_search(clf, emails, resource):
    grid = {"learning_rate": [1e-6, 3e-3]}
    search = HalvingGridSearchCV(
        clf, grid, cv=2, scoring="roc_auc", random_state=0, **resource
    )
    assert search.fit(*emails).best_params_["learning_rate"] == 3e-3


def test_grid_search_and_cross_val_predict_take_sparse_targets(clf, emails):
    X, y = emails
    search = GridSearchCV(clf, {"max_epochs": [1]}, cv=2).fit(X, sparse.csr_array(y))
    np.testing.assert_array_equal(
        search.predict(X), clone(clf).set_params(max_epochs=1).fit(X, y).predict(X)
    )
    out = cross_val_predict(clf, X, sparse.csr_array(y), cv=KFold(2))
    np.testing.assert_array_equal(out, cross_val_predict(clf, X, y, cv=KFold(2)))


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_threads_give_the_same_numbers(clf, emails, backend):
    folds = MultilabelStratifiedKFold(3)
    with joblib.parallel_config(backend):
        proba = cross_val_predict(
            clf, *emails, cv=folds, method="predict_proba", n_jobs=3
        )
    expected = cross_val_predict(clf, *emails, cv=folds, method="predict_proba")
    np.testing.assert_array_equal(proba, expected)


def lower(texts):
    return [text.lower() for text in texts]


def test_a_pipeline_cleans_texts_first(clf, emails):
    X, y = emails
    pipeline = make_pipeline(FunctionTransformer(lower), clf)
    pipeline.fit([text.upper() for text in X], y)
    expected = clone(clf).fit(lower(X), y).predict_proba(X)
    np.testing.assert_array_equal(pipeline.predict_proba(X), expected)
    score = cross_val_score(pipeline, X, y, cv=2, scoring="f1_micro")
    assert np.isfinite(score).all()
    name = "transformermultilabelclassifier__max_epochs"
    assert clone(pipeline).set_params(**{name: 7})[-1].max_epochs == 7


def test_a_column_transformer_picks_the_column_of_texts(clf, emails):
    X, y = emails
    frame = pd.DataFrame({"id": range(60), "body": X})
    pick = ColumnTransformer([("body", "passthrough", ["body"])])
    pipeline = make_pipeline(pick, clf).fit(frame, y)
    expected = clone(clf).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(pipeline.predict_proba(frame), expected)


def test_a_pipeline_passes_validation_data_through_its_steps(clf, emails):
    X, y = emails
    shouted = [text.upper() for text in X]
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [
                ("lower", FunctionTransformer(lower)),
                ("clf", clone(clf).set_fit_request(X_val=True, y_val=True)),
            ],
            transform_input=["X_val"],
        )
        pipeline.fit(shouted[:40], y[:40], X_val=shouted[40:], y_val=y[40:])
    plain = clone(clf).fit(lower(X[:40]), y[:40], X_val=lower(X[40:]), y_val=y[40:])
    losses = [[row["valid_loss"] for row in c.history_] for c in (pipeline[-1], plain)]
    assert losses[0] == losses[1]


def test_sample_weights_are_routed(clf, emails):
    X, y = emails
    weight = np.random.default_rng(0).random(60) + 0.1
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            FunctionTransformer(lower), clone(clf).set_fit_request(sample_weight=True)
        )
        pipeline.fit(X, y, sample_weight=weight)
        scorer = get_scorer("f1_micro").set_score_request(sample_weight=False)
        scores = cross_val_score(
            pipeline, X, y, cv=2, params={"sample_weight": weight}, scoring=scorer
        )
    expected = clone(clf).fit(lower(X), y, sample_weight=weight).predict_proba(X)
    np.testing.assert_array_equal(pipeline.predict_proba(X), expected)
    assert np.isfinite(scores).all()


@pytest.mark.xfail(
    parse_version(sklearn.__version__) < parse_version("1.8"),
    reason="asks the pipeline, not its last step, whether it scores with weights",
    raises=UnsetMetadataPassedError,
)
def test_a_grid_search_routes_weights_through_a_pipeline(clf, emails):
    X, y = emails
    weight = np.random.default_rng(0).random(60) + 0.1
    grid = {"clf__max_epochs": [1, 3]}
    folds = KFold(2)
    with sklearn.config_context(enable_metadata_routing=True):
        learner = clone(clf).set_fit_request(sample_weight=True)
        learner.set_score_request(sample_weight=True)
        pipeline = Pipeline([("lower", FunctionTransformer(lower)), ("clf", learner)])
        search = GridSearchCV(pipeline, grid, cv=folds)
        search.fit(X, y, sample_weight=weight)
        best = clone(search.best_estimator_).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(X), best.predict_proba(X))
    for k, (train, test) in enumerate(folds.split(X)):
        fitted = clone(clf).set_params(max_epochs=3)
        fitted.fit([X[i] for i in train], y[train], sample_weight=weight[train])
        score = fitted.score([X[i] for i in test], y[test], sample_weight=weight[test])
        assert search.cv_results_[f"split{k}_test_score"][1] == pytest.approx(score)


def test_metadata_that_can_be_routed_have_their_names(clf):
    with sklearn.config_context(enable_metadata_routing=True):
        requests = clf.set_fit_request(X_val=True).get_metadata_routing()
    names = {"sample_weight", "X_val", "y_val", "sample_weight_val"}
    assert requests.consumes("fit", names) == {"X_val"}
    assert set(requests.fit.requests) == names
    assert set(requests.score.requests) == {"sample_weight"}


def test_the_html_repr_shows_the_parameters(clf):
    clf.set_params(max_epochs=4321)
    for html in (clf._repr_html_(), estimator_html_repr(make_pipeline(clf))):
        assert "TransformerMultiLabelClassifier" in html
        assert "4321" in html
        assert "max_epochs" in html and "learning_rate" in html
        # Before, only parameters that are not the default are shown.
        if parse_version(sklearn.__version__) >= parse_version("1.7"):
            assert "trainable_layers" in html


def test_set_output_leaves_predictions_alone(clf, emails):
    X, y = emails
    frame = pd.DataFrame({"id": range(60), "body": X})
    pick = ColumnTransformer([("body", "passthrough", ["body"])])
    plain = make_pipeline(pick, clf).fit(frame, y).predict_proba(frame)
    pipeline = make_pipeline(pick, clf).set_output(transform="pandas").fit(frame, y)
    assert type(pipeline[0].transform(frame)) is pd.DataFrame
    assert type(pipeline.predict_proba(frame)) is np.ndarray
    np.testing.assert_array_equal(pipeline.predict_proba(frame), plain)


def test_copies_are_as_good(clf, emails):
    X, y = emails
    fitted = clone(clf.set_params(max_epochs=2)).fit(X, y)
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(clone(fitted).fit(X, y).predict_proba(X), expected)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    assert clone(clf).get_params() == clf.get_params() == fitted.get_params()


SPLITTERS = {
    "KFold": KFold(2, shuffle=True, random_state=0),
    "GroupKFold": GroupKFold(2),
    "RepeatedKFold": RepeatedKFold(n_splits=2, n_repeats=1, random_state=0),
    "ShuffleSplit": ShuffleSplit(2, test_size=0.5, random_state=0),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_splitters_that_do_not_look_at_y(clf, emails, name):
    groups = np.arange(60) // 5 if name == "GroupKFold" else None
    scores = cross_val_score(
        clf, *emails, groups=groups, cv=SPLITTERS[name], scoring="roc_auc"
    )
    assert scores.min() > 0.5


def test_a_clone_of_the_grid_keeps_texts_of_one_fold_out_of_the_other(clf, emails):
    X, y = emails
    noise = np.random.default_rng(0).integers(0, 2, size=y.shape)
    score = cross_val_score(
        clf.set_params(max_epochs=15), X, noise, cv=3, scoring="roc_auc"
    )
    assert score.mean() < 0.65  # leaked labels would be learned by heart


def test_learning_curves_are_drawn(clf, emails):
    X, y = emails
    sizes, _, test = learning_curve(
        clf, X, y, train_sizes=[16, 30], cv=2, scoring="roc_auc"
    )
    assert sizes.tolist() == [16, 30]
    assert np.isfinite(test).all()
    display = LearningCurveDisplay.from_estimator(
        clf.set_params(max_epochs=1), X, y, train_sizes=[16, 30], cv=2
    )
    assert display.ax_.lines


def test_validation_curves_are_drawn(clf, emails):
    setting = {"param_name": "max_epochs", "param_range": [1, 4]}
    _, test = validation_curve(clf, *emails, **setting, cv=2, scoring="roc_auc")
    assert test[1].mean() > test[0].mean()
    display = ValidationCurveDisplay.from_estimator(clf, *emails, **setting, cv=2)
    assert display.ax_.lines


def test_a_permutation_test_is_passed(clf, emails):
    score, permuted, p_value = permutation_test_score(
        clf, *emails, n_permutations=4, cv=2, scoring="roc_auc", random_state=0
    )
    assert score > permuted.max()
    assert p_value == 1 / 5


def test_the_baseline_takes_the_same_data(emails):
    X, y = emails
    baseline = make_tfidf_baseline().fit(X, y)
    assert f1_score(y, baseline.predict(X), average="macro") > 0.9


@pytest.mark.parametrize("around", [MultiOutputClassifier, OneVsRestClassifier])
def test_a_fit_per_label_works(clf, emails, around):
    X, y = emails
    many = around(clf.set_params(max_epochs=1)).fit(X, y)
    assert many.predict(X).shape == y.shape


def test_a_frozen_model_is_not_fitted_again(clf, emails):
    X, y = emails
    fitted = clf.fit(X, y)
    expected = fitted.predict_proba(X)
    frozen = FrozenEstimator(fitted).fit(X[:9], 1 - y[:9])
    np.testing.assert_array_equal(frozen.predict_proba(X), expected)
    score = cross_val_score(frozen, X, y, cv=KFold(2), scoring="accuracy")
    assert score.mean() == pytest.approx(fitted.score(X, y))


@pytest.mark.parametrize("n_labels", [2, 3])
def test_tf_idf_and_a_transformer_are_stacked(clf, emails, n_labels):
    X, y = emails[0], emails[1][:, :n_labels]
    stack = StackingClassifier(
        [("tfidf", make_tfidf_baseline()), ("skbert", clf)],
        final_estimator=BinaryRelevanceClassifier(),
        stack_method="decision_function",
        cv=MultilabelStratifiedKFold(2),
    ).fit(X, y)
    assert stack.predict(X).shape == y.shape
    inputs = stack.transform(X)
    assert inputs.shape == (60, 2 * n_labels)
    np.testing.assert_allclose(
        inputs[:, n_labels:], stack.named_estimators_["skbert"].decision_function(X)
    )
    proba = stack.final_estimator_.predict_proba(inputs)
    np.testing.assert_array_equal(proba >= 0.5, stack.predict(X))
    assert roc_auc_score(y, proba) > 0.9


def test_probabilities_can_be_calibrated_label_by_label(clf, emails):
    X, y = emails
    calibrated = CalibratedClassifierCV(clf.set_params(max_epochs=2), cv=2)
    proba = BinaryRelevanceClassifier(calibrated).fit(X, y).predict_proba(X)
    assert proba.shape == y.shape
    # Platt's slope and intercept: the mean is that of the labels, nearly.
    np.testing.assert_allclose(proba.mean(axis=0), y.mean(axis=0), atol=0.05)


# The rows of "What works" in docs/scikit_learn.rst, and what shows that they are true.
ROWS = {
    "``cross_val_score``, ``cross_validate``": (
        test_cross_val_score_is_right_for_every_number_of_labels,
        test_cross_val_score_of_one_dimension,
    ),
    "``cross_val_predict``": (test_cross_val_predict_puts_rows_back_in_place,),
    "``GridSearchCV``": (
        test_grid_search_in_two_processes,
        test_a_search_can_be_scored_by_folds_itself,
        test_a_grid_search_routes_weights_through_a_pipeline,
    ),
    "``RandomizedSearchCV``": (test_random_search,),
    "``HalvingGridSearchCV``": (test_halving_search,),
    "``learning_curve``, ``LearningCurveDisplay``": (test_learning_curves_are_drawn,),
    "``validation_curve``, ``ValidationCurveDisplay``": (
        test_validation_curves_are_drawn,
    ),
    "``permutation_test_score``": (test_a_permutation_test_is_passed,),
    "``KFold``, ``GroupKFold``, ``RepeatedKFold``, ``ShuffleSplit``": (
        test_splitters_that_do_not_look_at_y,
    ),
    "``Pipeline``": (test_a_pipeline_cleans_texts_first,),
    "``ColumnTransformer`` that picks a column of texts": (
        test_a_column_transformer_picks_the_column_of_texts,
    ),
    '``Pipeline(transform_input=["X_val"])``': (
        test_a_pipeline_passes_validation_data_through_its_steps,
    ),
    "``set_config(enable_metadata_routing=True)``": (
        test_sample_weights_are_routed,
        test_a_grid_search_routes_weights_through_a_pipeline,
    ),
    "``get_metadata_routing``": (test_metadata_that_can_be_routed_have_their_names,),
    "``set_output``": (test_set_output_leaves_predictions_alone,),
    "``clone``, ``get_params``, ``set_params``, ``pickle``": (test_copies_are_as_good,),
    "``n_jobs`` with processes": (test_grid_search_in_two_processes,),
    "``n_jobs`` with threads": (test_threads_give_the_same_numbers,),
    "the HTML of a notebook": (test_the_html_repr_shows_the_parameters,),
    "``FrozenEstimator``": (test_a_frozen_model_is_not_fitted_again,),
    "``StackingClassifier``": (test_tf_idf_and_a_transformer_are_stacked,),
    "``MultiOutputClassifier``, ``OneVsRestClassifier``": (test_a_fit_per_label_works,),
    "``BinaryRelevanceClassifier(CalibratedClassifierCV(clf))``": (
        test_probabilities_can_be_calibrated_label_by_label,
    ),
    "sparse ``y``": (test_grid_search_and_cross_val_predict_take_sparse_targets,),
}


def test_the_page_names_what_is_tested():
    assert list(read_table("scikit_learn.rst", "What works")) == list(ROWS)

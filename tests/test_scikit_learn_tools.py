"""The tools of scikit-learn around the classifier."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import average_precision_score, f1_score, get_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr

from skbert import (
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


def test_grid_search_takes_sparse_targets(clf, emails):
    from scipy import sparse

    X, y = emails
    search = GridSearchCV(clf, {"max_epochs": [1]}, cv=2).fit(X, sparse.csr_array(y))
    assert search.predict(X).shape == y.shape


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


def test_the_html_repr_shows_the_parameters(clf):
    html = estimator_html_repr(clf)
    assert "TransformerMultiLabelClassifier" in html
    assert "max_epochs" in html


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


def test_the_baseline_takes_the_same_data(emails):
    X, y = emails
    baseline = make_tfidf_baseline().fit(X, y)
    assert f1_score(y, baseline.predict(X), average="macro") > 0.9


def test_multi_output_around_it_works(clf, emails):
    X, y = emails
    many = MultiOutputClassifier(clf.set_params(max_epochs=1)).fit(X, y)
    assert many.predict(X).shape == y.shape

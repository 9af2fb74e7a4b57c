"""Tests of skbert.baseline."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    RidgeClassifier,
)
from sklearn.metrics import average_precision_score, get_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from contract import FAULTY_CHECKS
from skbert import TunedThresholdsClassifierCV
from skbert.baseline import BinaryRelevanceClassifier, make_tfidf_baseline
from skbert.inputs.targets import CONSTANT_LABELS

EXPECTED_FAILURES = {
    **FAULTY_CHECKS,
    "check_classifier_multioutput": (
        "indexes classes_ as one flat pair of classes; it has a row per label, because "
        "scikit-learn's scorers are right for any number of labels then. What else it "
        "checks is in test_outputs_agree_with_one_another."
    ),
}


# scikit-learn's own type_of_target casts infinity to int before it refuses it.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks(
    [BinaryRelevanceClassifier(), BinaryRelevanceClassifier(RidgeClassifier())],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    """120 rows, 6 features, 3 labels that a linear model gets mostly right."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6))
    noise = rng.normal(size=(120, 3))
    return X, (X @ rng.normal(size=(6, 3)) + noise > [0, 1, 2]).astype(int)


@pytest.fixture
def y_nan(data):
    """The labels with a quarter unknown; each label has other unknown rows."""
    y = data[1].astype(float)
    y[np.random.default_rng(0).random(y.shape) < 0.25] = np.nan
    return y


# --- a classifier per label ----------------------------------------------------------


def test_every_label_is_fitted_alone(data):
    X, y = data
    clf = BinaryRelevanceClassifier(LogisticRegression(C=0.3)).fit(X, y)
    alone = [LogisticRegression(C=0.3).fit(X, y[:, j]) for j in range(3)]
    proba = np.column_stack([c.predict_proba(X)[:, 1] for c in alone])
    decision = np.column_stack([c.decision_function(X) for c in alone])
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    np.testing.assert_array_equal(clf.decision_function(X), decision)
    np.testing.assert_array_equal(clf.predict(X), proba >= 0.5)
    assert [e.C for e in clf.estimators_] == [0.3] * 3
    assert clf.n_features_in_ == 6


def test_outputs_agree_with_one_another(data):
    X, y = data
    clf = BinaryRelevanceClassifier().fit(X, y)
    proba, decision = clf.predict_proba(X), clf.decision_function(X)
    labels = clf.predict(X)
    assert proba.shape == decision.shape == labels.shape == (120, 3)
    assert proba.dtype == decision.dtype == np.float64
    assert labels.dtype == np.int64
    np.testing.assert_allclose(expit(decision), proba, rtol=1e-12)
    np.testing.assert_array_equal(decision > 0, labels)
    assert 0 < labels.mean() < 1


def test_probabilities_of_float32_are_widened(data):
    class Narrow(LogisticRegression):
        def predict_proba(self, X):
            return super().predict_proba(X).astype(np.float32)

    X, y = data
    assert BinaryRelevanceClassifier(Narrow()).fit(X, y).predict_proba(X).dtype == float


@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_scorers_of_scikit_learn_are_right_for_any_number_of_labels(data, n_labels):
    X, y = data
    y = y[:, :n_labels]
    cv = KFold(3, shuffle=True, random_state=0)
    clf = BinaryRelevanceClassifier()
    for name, score in [
        ("roc_auc", roc_auc_score),
        ("average_precision", average_precision_score),
    ]:
        expected = []
        for train, test in cv.split(X):
            proba = clone(clf).fit(X[train], y[train]).predict_proba(X[test])
            assert proba.shape == (len(test), n_labels)
            columns = range(n_labels)
            expected.append(np.mean([score(y[test, j], proba[:, j]) for j in columns]))
        got = cross_val_score(clf, X, y, cv=cv, scoring=name)
        np.testing.assert_allclose(got, expected)
        assert min(expected) > 0.6  # an inverted score would be below 0.5


def test_one_label_in_two_dimensions_is_multi_label(data):
    X, y = data
    clf = BinaryRelevanceClassifier().fit(X, y[:, :1])
    np.testing.assert_array_equal(clf.classes_, [[0, 1]])
    assert clf.predict(X).shape == clf.predict_proba(X).shape == (120, 1)
    assert clf.decision_function(X).shape == (120, 1)


def test_one_dimension_is_binary_classification(data):
    X, y = data
    words = np.array(["no", "yes"])[y[:, 0]]
    clf = BinaryRelevanceClassifier().fit(X, words)
    alone = LogisticRegression().fit(X, words)
    np.testing.assert_array_equal(clf.classes_, ["no", "yes"])
    np.testing.assert_array_equal(clf.predict(X), alone.predict(X))
    np.testing.assert_array_equal(clf.decision_function(X), alone.decision_function(X))
    np.testing.assert_allclose(clf.predict_proba(X), alone.predict_proba(X), rtol=1e-12)
    assert clf.score(X, words) == pytest.approx(alone.score(X, words), rel=1e-12)
    assert clf.predict_labels(X) == [("yes",) * (w == "yes") for w in clf.predict(X)]
    clf.thresholds_ = [0.9]
    sure = alone.predict_proba(X)[:, 1] >= 0.9
    np.testing.assert_array_equal(clf.predict(X) == "yes", sure)


def test_columns_of_a_frame_are_the_names_of_the_labels(data):
    X, y = data
    frame = pd.DataFrame(y, columns=["billing", "bug", 3])
    clf = BinaryRelevanceClassifier().fit(X, frame)
    assert clf.label_names_.tolist() == ["billing", "bug", "3"]
    names = clf.label_names_
    expected = [tuple(names[row == 1]) for row in clf.predict(X)]
    assert clf.predict_labels(X) == expected
    assert len(set(expected)) > 2
    plain = BinaryRelevanceClassifier().fit(X, y)
    assert plain.label_names_.tolist() == ["label_0", "label_1", "label_2"]


# --- unknown and constant labels -----------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        pd.DataFrame,
        sparse.csr_array,
        sparse.coo_matrix,
        lambda X: X.tolist(),
    ],
)
def test_unknown_rows_are_left_out_of_a_labels_fit(data, y_nan, convert):
    X, y = data
    X_given = convert(X)
    if isinstance(X_given, pd.DataFrame):
        X_given.columns = [f"feature {i}" for i in range(6)]
    clf = BinaryRelevanceClassifier().fit(X_given, y_nan)
    for j in range(3):
        known = ~np.isnan(y_nan[:, j])
        assert 0 < known.sum() < 120
        alone = LogisticRegression().fit(X[known], y[known, j])
        np.testing.assert_allclose(clf.estimators_[j].coef_, alone.coef_, atol=1e-4)


def test_unknown_rows_of_a_list_of_texts_are_left_out():
    texts = ["red", "green", "red green", "blue", "violet"]
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [np.nan, 0]])
    inner = make_pipeline(CountVectorizer(), LogisticRegression())
    clf = BinaryRelevanceClassifier(inner).fit(texts, y)
    vocabularies = [sorted(e[0].vocabulary_) for e in clf.estimators_]
    known = ["blue", "green", "red"]
    assert vocabularies == [known, [*known, "violet"]]
    np.testing.assert_array_equal(clf.predict(["red", "green"]), [[1, 0], [0, 1]])


def test_constant_labels_get_their_prior_and_one_warning(data):
    X, y = data
    y = np.column_stack([y, np.zeros(120), np.ones(120), np.full(120, np.nan)])
    y[:20, 3] = np.nan
    frame = pd.DataFrame(y, columns=list("abcdef"))
    message = r"^3 label\(s\) have no positive or no negative .*: 'd', 'e', 'f'\.$"
    with pytest.warns(UserWarning, match=message) as record:
        clf = BinaryRelevanceClassifier().fit(X, frame)
    assert len(record) == 1
    priors = [0.5 / 101, 120.5 / 121, 0.5 / 121]
    np.testing.assert_allclose(clf.predict_proba(X)[:, 3:], np.tile(priors, (120, 1)))
    log_odds = np.log(priors) - np.log(np.subtract(1, priors))
    np.testing.assert_allclose(
        clf.decision_function(X)[:, 3:], np.tile(log_odds, (120, 1)), atol=1e-12
    )
    np.testing.assert_array_equal(clf.predict(X)[:, 3:5], [[0, 1]] * 120)
    learned = BinaryRelevanceClassifier().fit(X, y[:, :3])
    np.testing.assert_array_equal(clf.predict_proba(X)[:, :3], learned.predict_proba(X))
    assert clf.n_features_in_ == 6


@pytest.mark.filterwarnings("ignore:2 label:UserWarning")
@pytest.mark.parametrize("container", [np.asarray, list, sparse.csr_array])
def test_nothing_but_constant_labels(container):
    X = container([[0.0], [1.0], [2.0]])
    for estimator in (LogisticRegression(), LinearSVC()):
        clf = BinaryRelevanceClassifier(estimator).fit(X, [[0, 1]] * 3)
        np.testing.assert_array_equal(clf.predict(X), [[0, 1]] * 3)
        assert hasattr(clf, "predict_proba") == hasattr(estimator, "predict_proba")
        assert not hasattr(clf, "n_features_in_")


def test_a_warning_of_many_constant_labels_is_short():
    with pytest.warns(UserWarning, match=r"'label_9' and 5 more\.$"):
        BinaryRelevanceClassifier().fit([[0], [1]], np.zeros((2, 15)))


def test_score_is_over_the_known_cells(data, y_nan):
    X, _ = data
    y_nan[0] = np.nan
    clf = BinaryRelevanceClassifier().fit(X, y_nan)
    right = np.all((clf.predict(X) == y_nan) | np.isnan(y_nan), axis=1)
    some = ~np.isnan(y_nan).all(axis=1)
    assert 0 < right[some].mean() < 1
    assert clf.score(X, y_nan) == pytest.approx(right[some].mean(), rel=1e-12)
    weight = np.arange(120)
    expected = np.average(right[some], weights=weight[some])
    assert clf.score(X, y_nan, sample_weight=weight) == pytest.approx(expected)


# --- thresholds ----------------------------------------------------------------------


def test_the_parameter_is_copied_to_thresholds(data):
    X, y = data
    given = np.array([0.1, 0.5, 0.9])
    clf = BinaryRelevanceClassifier(threshold=given).fit(X, y)
    clf.thresholds_[0] = 0.2
    assert given[0] == 0.1
    np.testing.assert_array_equal(
        clf.predict(X), clf.predict_proba(X) >= [0.2, 0.5, 0.9]
    )
    clf = BinaryRelevanceClassifier(threshold=0.3).fit(X, y)
    np.testing.assert_array_equal(clf.thresholds_, [0.3, 0.3, 0.3])
    assert clf.thresholds_.dtype == np.float64


def test_predict_reads_the_assigned_thresholds_and_takes_equality(data):
    X, y = data
    clf = BinaryRelevanceClassifier().fit(X, y)
    proba = clf.predict_proba(X)
    clf.thresholds_ = list(proba[7])
    np.testing.assert_array_equal(clf.predict(X)[7], [1, 1, 1])
    np.testing.assert_array_equal(clf.predict(X), proba >= proba[7])
    assert clf.predict_labels(X)[7] == ("label_0", "label_1", "label_2")
    clf.thresholds_ = np.nextafter(proba[7], 1)
    np.testing.assert_array_equal(clf.predict(X)[7], [0, 0, 0])


def test_wrong_thresholds_are_refused(data):
    X, y = data
    for bad, message in [
        ([0.5, 0.5], r"has shape \(2,\), but there are 3 label"),
        ([[0.5, 0.5, 0.5]], r"has shape \(1, 3\)"),
        ([0.5, 0.5, 1.5], "between 0 and 1"),
        ([0.5, 0.5, np.nan], "between 0 and 1"),
    ]:
        with pytest.raises(ValueError, match=f"^threshold .*{message}"):
            BinaryRelevanceClassifier(threshold=bad).fit(X, y)
        clf = BinaryRelevanceClassifier().fit(X, y)
        clf.thresholds_ = bad
        with pytest.raises(ValueError, match=f"^thresholds_ .*{message}"):
            clf.predict(X)
    with pytest.raises(ValueError, match="'threshold' parameter"):
        BinaryRelevanceClassifier(threshold=1.5).fit(X, y)


def test_without_probabilities_the_estimators_own_predict_decides(data):
    X, y = data
    clf = BinaryRelevanceClassifier(LinearSVC(random_state=0)).fit(X, y)
    assert not hasattr(clf, "predict_proba")
    assert not hasattr(BinaryRelevanceClassifier(LinearSVC()), "predict_proba")
    alone = [LinearSVC(random_state=0).fit(X, y[:, j]) for j in range(3)]
    expected = np.column_stack([c.predict(X) for c in alone])
    np.testing.assert_array_equal(clf.predict(X), expected)
    np.testing.assert_array_equal(clf.predict(X), clf.decision_function(X) > 0)
    assert clf.score(X, expected) == 1
    words = np.array(["no", "yes"])[y[:, 0]]
    binary = clone(clf).fit(X, words)
    np.testing.assert_array_equal(binary.predict(X), binary.classes_[expected[:, 0]])


def test_without_probabilities_other_thresholds_are_refused(data):
    X, y = data
    message = "LinearSVC has no predict_proba"
    with pytest.raises(ValueError, match=message):
        BinaryRelevanceClassifier(LinearSVC(), threshold=0.3).fit(X, y)
    clf = BinaryRelevanceClassifier(LinearSVC()).fit(X, y)
    clf.thresholds_ = [0.5, 0.5, 0.4]
    with pytest.raises(ValueError, match=message):
        clf.predict(X)


def test_methods_are_there_if_the_estimator_has_them(data):
    X, y = data
    bayes = BinaryRelevanceClassifier(GaussianNB())
    for clf in (bayes, clone(bayes).fit(X, y)):
        assert hasattr(clf, "predict_proba")
        assert not hasattr(clf, "decision_function")


# --- sample_weight and metadata ------------------------------------------------------


@pytest.mark.parametrize("convert", [np.asarray, list, pd.Series])
def test_sample_weight_goes_to_every_fit(data, y_nan, convert):
    X, y = data
    weight = np.random.default_rng(1).integers(1, 9, size=120)
    clf = BinaryRelevanceClassifier().fit(X, y_nan, sample_weight=convert(weight))
    for j in range(3):
        known = ~np.isnan(y_nan[:, j])
        alone = LogisticRegression()
        alone.fit(X[known], y[known, j], sample_weight=weight[known])
        np.testing.assert_array_equal(clf.estimators_[j].coef_, alone.coef_)


@pytest.mark.parametrize("form", [np.asarray, sparse.coo_array, pd.DataFrame, list])
def test_rows_of_weight_zero_are_left_out(data, y_nan, form):
    X, _ = data
    weight = np.random.default_rng(1).integers(0, 3, size=120)
    weight[y_nan[:, 1] == 1] = 0  # what is left is constant
    rows = np.flatnonzero(weight)
    with pytest.warns(UserWarning, match=r"1 label.*: 'label_1'\.$"):
        clf = BinaryRelevanceClassifier().fit(form(X), y_nan, sample_weight=weight)
    with pytest.warns(UserWarning, match=r"1 label.*: 'label_1'\.$"):
        alone = BinaryRelevanceClassifier().fit(
            form(X[rows]), y_nan[rows], sample_weight=weight[rows]
        )
    np.testing.assert_array_equal(clf.predict_proba(X), alone.predict_proba(X))
    n_known = (~np.isnan(y_nan[rows, 1])).sum()
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], 0.5 / (n_known + 1))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e30])
@pytest.mark.filterwarnings(f"ignore:{CONSTANT_LABELS}:UserWarning")
def test_constant_labels_get_the_prior_that_the_transformer_gives(make, emails, scale):
    X, y = emails
    weight = np.random.default_rng(1).random(60) * scale
    weight[:20] = 0
    y = np.column_stack([y[:, 0], np.arange(60) < 20, np.ones(60), np.full(60, np.nan)])
    y[:30, 2] = np.nan
    transformer = make(precision="fp32", max_epochs=1)
    transformer.fit(X, y, sample_weight=weight)
    numbers = np.arange(60.0)[:, np.newaxis]
    baseline = BinaryRelevanceClassifier().fit(numbers, y, sample_weight=weight)
    expected = baseline.predict_proba(numbers)[:, 1:]
    np.testing.assert_allclose(expected[0], [0.5 / 41, 30.5 / 31, 0.5 / 41])
    got = transformer.predict_proba(X)[:, 1:]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(120), "every weight is zero"),
        (-np.ones(120), "row 0 is -1"),
        (np.ones(119), r"expected \(120,\)"),
    ],
)
def test_weights_from_which_nothing_can_be_learned_are_refused(data, weight, message):
    with pytest.raises(ValueError, match=f"^sample_weight.*{message}"):
        BinaryRelevanceClassifier().fit(*data, sample_weight=weight)


def test_one_class_left_by_the_weights_is_an_error(data):
    X, y = data
    with pytest.raises(ValueError, match="only 1 class where sample_weight"):
        BinaryRelevanceClassifier().fit(X, y[:, 0], sample_weight=y[:, 0])


def test_metadata_that_cannot_be_passed_on_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="KNeighborsClassifier does not take sample_w"):
        BinaryRelevanceClassifier(KNeighborsClassifier()).fit(X, y, np.ones(120))
    with pytest.raises(ValueError, match=r"fit got \['groups'\].*metadata_routing"):
        BinaryRelevanceClassifier().fit(X, y, groups=np.ones(120))


@sklearn.config_context(enable_metadata_routing=True)
def test_metadata_is_routed(data, y_nan):
    X, _ = data
    weight = np.random.default_rng(1).integers(1, 9, size=120)
    logistic = LogisticRegression().set_fit_request(sample_weight=True)
    inner = make_pipeline(
        StandardScaler().set_fit_request(sample_weight=False), logistic
    )
    clf = BinaryRelevanceClassifier(inner).fit(X, y_nan, sample_weight=weight)
    known = ~np.isnan(y_nan[:, 0])
    alone = clone(inner).fit(X[known], y_nan[known, 0], sample_weight=weight[known])
    plain = clone(inner).fit(X[known], y_nan[known, 0])
    got = clf.predict_proba(X)[:, 0]
    np.testing.assert_allclose(got, alone.predict_proba(X)[:, 1], rtol=1e-9)
    assert np.abs(got - plain.predict_proba(X)[:, 1]).max() > 1e-3
    with pytest.raises(UnsetMetadataPassedError):
        BinaryRelevanceClassifier().fit(X, y_nan, sample_weight=weight)


@sklearn.config_context(enable_metadata_routing=True)
def test_metadata_is_routed_through_a_search(data):
    X, y = data
    logistic = LogisticRegression().set_fit_request(sample_weight=True)
    search = GridSearchCV(BinaryRelevanceClassifier(logistic), {"estimator__C": [0.5]})
    scorer = get_scorer("accuracy").set_score_request(sample_weight=False)
    search.set_params(scoring=scorer)
    weight = np.random.default_rng(1).integers(1, 9, size=120)
    search.fit(X, y, sample_weight=weight)
    alone = LogisticRegression(C=0.5).fit(X, y[:, 2], sample_weight=weight)
    np.testing.assert_array_equal(
        search.best_estimator_.estimators_[2].coef_, alone.coef_
    )


# --- manners -------------------------------------------------------------------------


def test_labels_fitted_at_the_same_time_are_the_same(data, y_nan):
    X, _ = data
    expected = BinaryRelevanceClassifier().fit(X, y_nan).predict_proba(X)
    with joblib.parallel_config(backend="threading"):
        clf = BinaryRelevanceClassifier(n_jobs=2).fit(X, y_nan)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_unsorted_sparse_input_is_sorted_once_and_not_in_place(data):
    class Strict(LogisticRegression):
        def fit(self, X, y):
            assert X.has_canonical_format
            return super().fit(X, y)

    X, y = data
    given = sparse.csr_array(X)[:, ::-1].tocsr()
    given.indices.setflags(write=False)  # as joblib hands large ones to processes
    given.data.setflags(write=False)
    before = given.indices.copy()
    clf = BinaryRelevanceClassifier(Strict()).fit(given, y)
    np.testing.assert_array_equal(given.indices, before)
    assert not given.has_sorted_indices
    expected = BinaryRelevanceClassifier().fit(X[:, ::-1], y).predict_proba(X[:, ::-1])
    np.testing.assert_allclose(clf.predict_proba(given), expected, atol=1e-4)


def test_it_works_in_the_tools_of_scikit_learn(data):
    X, y = data
    clf = BinaryRelevanceClassifier(BernoulliNB())
    proba = cross_val_predict(clf, X, y, cv=3, method="predict_proba")
    assert proba.shape == (120, 3)
    search = GridSearchCV(
        clf, {"estimator__alpha": [0.1, 1], "threshold": [0.3, 0.5]}, scoring="f1_micro"
    )
    search.fit(X, y)
    assert 0 < search.best_score_ < 1
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    copy = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(copy.predict(X), search.predict(X))


def test_what_an_earlier_fit_knew_is_forgotten(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef"))
    clf = BinaryRelevanceClassifier().fit(frame, y)
    assert clf.feature_names_in_.tolist() == list("abcdef")
    clf.fit(X[:, :4], y[:, :2])
    assert not hasattr(clf, "feature_names_in_")
    assert clf.n_features_in_ == 4
    assert clf.predict(X[:, :4]).shape == (120, 2)


def test_wrong_use_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="must be a classifier"):
        BinaryRelevanceClassifier(LinearRegression()).fit(X, y)
    with pytest.raises(ValueError, match="'estimator' parameter"):
        BinaryRelevanceClassifier("logistic").fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        BinaryRelevanceClassifier().fit(X[:100], y)
    with pytest.raises(ValueError, match="must hold 0, 1 or NaN"):
        BinaryRelevanceClassifier().fit(X, 2 * y)
    for method in ("predict", "predict_proba", "decision_function", "predict_labels"):
        with pytest.raises(NotFittedError):
            getattr(BinaryRelevanceClassifier(), method)(X)


# --- the TF-IDF baseline -------------------------------------------------------------

TEXTS = [
    "please pay the invoice",
    "the program crashes",
    "the invoice program crashes!",
    "lunch at noon?",
] * 4
LABELS = pd.DataFrame({"billing": [1, 0, 1, 0] * 4, "bug": [0, 1, 1, 0] * 4})


@pytest.mark.parametrize(
    "convert",
    [
        *(list, tuple, pd.Series, np.array, pl.Series, pa.array),
        *(
            lambda texts, table=table: table({"text": texts})
            for table in (pd.DataFrame, pl.DataFrame, pa.table)
        ),
    ],
)
def test_the_baseline_learns_from_texts(convert):
    baseline = make_tfidf_baseline()
    assert list(baseline.named_steps) == [
        "tfidfvectorizer",
        "binaryrelevanceclassifier",
    ]
    baseline.fit(convert(TEXTS), LABELS)
    new = convert(["pay this invoice", "it crashes", "noon"])
    np.testing.assert_array_equal(baseline.predict(new), [[1, 0], [0, 1], [0, 0]])
    assert baseline.predict_proba(new).shape == (3, 2)
    np.testing.assert_array_equal(baseline.classes_, [[0, 1], [0, 1]])


def test_the_baseline_names_what_is_no_text():
    with pytest.raises(ValueError, match="X, row 1 is missing"):
        make_tfidf_baseline().fit(["a", None], [[0], [1]])
    baseline = make_tfidf_baseline().fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match="X, row 0 is 5 .int., not a text"):
        baseline.predict([5])


def test_thresholds_of_the_baseline_are_tuned_on_other_tables():
    texts, labels = pl.DataFrame({"text": TEXTS}), pl.DataFrame(LABELS.to_dict("list"))
    tuned = TunedThresholdsClassifierCV(make_tfidf_baseline(), cv=2).fit(texts, labels)
    assert len(tuned.predict_labels(texts)) == len(TEXTS)


def test_the_baseline_takes_tiny_and_odd_inputs():
    baseline = make_tfidf_baseline().fit(["u", "!"], [[0], [1]])
    np.testing.assert_array_equal(baseline.predict(["!", "u u", ""])[:2], [[1], [0]])
    features = baseline[0].get_feature_names_out().tolist()
    assert features == ["!", "u"]


def test_the_baseline_passes_its_parameters_on():
    baseline = make_tfidf_baseline(
        C=0.5,
        class_weight="balanced",
        ngram_range=(1, 1),
        max_features=3,
        threshold=[0.4, 0.6],
        n_jobs=1,
    ).fit(TEXTS, LABELS)
    assert baseline[0].get_feature_names_out().tolist() == ["crashes", "program", "the"]
    clf = baseline[-1]
    assert clf.thresholds_.tolist() == [0.4, 0.6]
    assert clf.n_jobs == 1
    for estimator in clf.estimators_:
        assert (estimator.C, estimator.class_weight) == (0.5, "balanced")


def test_the_baseline_is_the_same_every_time():
    first, second = (make_tfidf_baseline().fit(TEXTS, LABELS) for _ in range(2))
    np.testing.assert_array_equal(
        first.predict_proba(TEXTS), second.predict_proba(TEXTS)
    )

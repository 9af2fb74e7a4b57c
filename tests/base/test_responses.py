"""Responses: scores and predictions of held-out rows, for the work of one of them."""

from collections import Counter

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution
from optuna.trial import FixedTrial
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback

from skbert import (
    BinaryRelevanceClassifier,
    CrossValidationObjective,
    TunedThresholdsClassifierCV,
    compare,
)
from skbert.base.responses import CachedResponses, positive_scores, predicted_matrix
from skbert.inputs.targets import encode_targets
from skbert.prediction.predictor import Predictor
from skbert.training.callbacks import EpochReports
from skbert.training.fit_plan import tokens_for

RATE = {"learning_rate": FloatDistribution(1e-4, 1e-1)}
METRICS = ["f1_micro", "accuracy", "average_precision", "roc_auc"]


class Work:
    """What was computed of texts.

    Attributes
    ----------
    tokenized : Counter of str
        How often each text was tokenized.
    predicted : int
        Texts whose logits were predicted.
    """

    def __init__(self):
        self.tokenized = Counter()
        self.predicted = 0


@pytest.fixture
def work(monkeypatch):
    """Count what is tokenized and predicted."""
    from skbert.tokens import tokenization

    work = Work()
    contents, logits = tokenization._contents, Predictor.logits

    def counted_contents(tokenizer, texts, limit):
        work.tokenized.update(texts)
        return contents(tokenizer, texts, limit)

    def counted_logits(predictor, tokens):
        work.predicted += len(tokens)
        return logits(predictor, tokens)

    monkeypatch.setattr(tokenization, "_contents", counted_contents)
    monkeypatch.setattr(Predictor, "logits", counted_logits)
    return work


# --- a comparison --------------------------------------------------------------------


def test_a_comparison_predicts_and_tokenizes_each_fold_once(make, emails, work):
    X, y = emails
    compare({"bert": make(max_epochs=1)}, X, y, cv=KFold(3), scoring=METRICS)
    assert work.predicted == len(X)
    # In one fold a text is held out; two fits learn from it.
    assert set(work.tokenized.values()) == {3}


def test_so_does_a_comparison_with_tuned_thresholds(make, emails, work):
    X, y = emails
    halves = [(np.arange(0, 40), np.arange(40, 60))]
    tuning = {"cv": [(np.arange(0, 30), np.arange(30, 40))]}
    bert = {"bert": make(max_epochs=1)}
    compare(bert, X, y, cv=halves, scoring=METRICS, tune_thresholds=tuning)
    assert work.predicted == 10 + 20
    assert {work.tokenized[text] for text in X[40:]} == {1}


class CountedVectorizer(TfidfVectorizer):
    calls = Counter()

    def transform(self, raw_documents):
        self.calls["transform"] += 1
        return super().transform(raw_documents)


class CountedRegression(LogisticRegression):
    calls = Counter()

    def predict(self, X):
        self.calls["predict"] += 1
        return super().predict(X)

    def predict_proba(self, X):
        self.calls["predict_proba"] += 1
        return super().predict_proba(X)


@pytest.mark.parametrize(
    ("of_labels", "expected"),
    [
        (MultiOutputClassifier, {"predict": 3, "predict_proba": 3}),
        (BinaryRelevanceClassifier, {"predict_proba": 3}),
    ],
)
@pytest.mark.parametrize("search", [False, True])
def test_a_pipeline_transforms_once_and_each_method_is_called_once(
    emails, monkeypatch, of_labels, expected, search
):
    X, y = emails
    fold = [(np.arange(0, 40), np.arange(40, 60))]
    calls = Counter()
    monkeypatch.setattr(CountedVectorizer, "calls", calls)
    monkeypatch.setattr(CountedRegression, "calls", calls)
    model = make_pipeline(CountedVectorizer(), of_labels(CountedRegression()))
    if search:
        C = f"{model.steps[-1][0]}__estimator__C"
        space = {C: FloatDistribution(0.1, 10)}
        CrossValidationObjective(model, space, X, y, cv=fold)(FixedTrial({C: 1.0}))
    else:
        compare({"model": model}, X, y, cv=fold, scoring=METRICS)
    assert calls == {"transform": 1, **expected}


# --- a search ------------------------------------------------------------------------


def run(clf, emails, **options):
    """Return the score of the first fold of a trial."""
    options = {"cv": KFold(2), **options}
    trial = FixedTrial({"learning_rate": 3e-3})
    CrossValidationObjective(clf, RATE, *emails, **options)(trial)
    return trial.user_attrs["fold_scores"][0]


def expected_score(clf, emails):
    """Return the score of the first of two folds, computed by hand."""
    X, y = emails
    model = clone(clf).set_params(learning_rate=3e-3).fit(X[30:], y[30:])
    return average_precision_score(y[:30], model.predict_proba(X[:30]))


def test_a_search_predicts_each_fold_once_per_epoch(make, emails, work):
    clf = make(max_epochs=3)
    run(clf, emails)
    assert work.predicted == 3 * 60
    # Each text is held out in one fold and learned in the other.
    assert set(work.tokenized.values()) == {2}


def test_the_best_epoch_of_a_search_is_not_predicted_again(make, emails, work):
    clf = make(max_epochs=4, learning_rate=0.02, validation_fraction=0.2)
    score = run(clf, emails)
    # Per fold and epoch 30 texts that are held out and 6 that choose the best epoch.
    assert work.predicted == 2 * 4 * (30 + 6)
    assert set(work.tokenized.values()) == {2}
    assert score == expected_score(clf, emails)


class Negate(Callback):
    """Changes the weights when a fit ends, as the loading of a checkpoint does."""

    def on_train_end(self, net, **kwargs):
        with torch.no_grad():
            net.module_.output_layer.weight.neg_()


def test_weights_that_a_callback_has_changed_are_predicted_again(make, emails, work):
    plain, clf = make(max_epochs=2), make(max_epochs=2, net_callbacks=[Negate()])
    score = run(clf, emails)
    assert work.predicted == (2 + 1) * 60
    assert set(work.tokenized.values()) == {2}
    assert score == expected_score(clf, emails)
    assert score != run(plain, emails)


VALIDATIONS = []


def worse_every_time(estimator, X, y):
    VALIDATIONS.append(1)
    return -len(VALIDATIONS)


def test_after_a_fit_that_went_on_the_best_epoch_may_be_one_of_before(
    make, emails, tmp_path
):
    def kill(epoch, *report):
        if epoch == 3:
            raise SystemExit

    X, y = emails
    clf = make(
        max_epochs=4,
        scoring=worse_every_time,
        validation_fraction=0.2,
        checkpoint_dir=tmp_path / "states",
    )
    tokens = tokens_for(clf, X[40:], 3)
    with pytest.raises(SystemExit):
        clone(clf).set_params(net_callbacks=[EpochReports(tokens, kill)]).fit(
            X[:40], y[:40]
        )
    epochs = []
    reports = EpochReports(tokens, lambda epoch, *report: epochs.append(epoch))
    clf.set_params(net_callbacks=[reports]).fit(X[:40], y[:40])
    assert epochs == [3, 4]
    best = [row["valid_score_best"] for row in clf.history_]
    assert best == [True, False, False, False]
    logits = reports.final_logits(clf.net_)
    np.testing.assert_array_equal(logits, clf.decision_function(X[40:]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_reports_are_to_the_bit_what_the_classifier_answers(
    make, emails, monkeypatch, precision
):
    """In parts of seven texts, which is how the classifier predicts them then."""
    monkeypatch.setattr("skbert.prediction.streaming.CHUNK_SIZE", 7)
    X, y = emails
    clf = make(max_epochs=2, precision=precision, validation_fraction=0.2)
    tokens = tokens_for(clf, X[40:], 3)
    assert [len(part) for part in tokens] == [7, 7, 6]
    reports = EpochReports(tokens, lambda *report: None)
    clf.set_params(net_callbacks=[reports]).fit(X[:40], y[:40])
    logits = reports.final_logits(clf.net_)
    np.testing.assert_array_equal(logits, clf.decision_function(X[40:]))


# --- cached responses ----------------------------------------------------------------


class Contrary(BinaryRelevanceClassifier):
    """Predicts what its probabilities do not say."""

    def predict(self, X):
        return super().predict(-X)


class AddOne(BaseEstimator):
    """Transforms without a fit, and without a sign of one."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X + 1


THRESHOLDS = [0.2, 0.4, 0.6]
ESTIMATORS = {
    "binary relevance": BinaryRelevanceClassifier(threshold=THRESHOLDS),
    "without probabilities": BinaryRelevanceClassifier(LinearSVC()),
    "a subclass": Contrary(threshold=THRESHOLDS),
    "neighbours": KNeighborsClassifier(),
    "tuned": TunedThresholdsClassifierCV(BinaryRelevanceClassifier(), cv=2),
    "tuned decisions": TunedThresholdsClassifierCV(
        BinaryRelevanceClassifier(LinearSVC()), cv=2
    ),
    "decisions beside probabilities": TunedThresholdsClassifierCV(
        BinaryRelevanceClassifier(), cv=2, response_method="decision_function"
    ),
    "pipeline": make_pipeline(
        StandardScaler(), BinaryRelevanceClassifier(threshold=THRESHOLDS)
    ),
    "pipeline of others": make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "pipeline in a pipeline": make_pipeline(
        AddOne(),
        "passthrough",
        make_pipeline(StandardScaler(), BinaryRelevanceClassifier()),
    ),
}


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("is_binary", [False, True])
def test_they_are_what_the_estimator_answers(name, is_binary, is_frozen):
    X, y = make_multilabel_classification(150, n_classes=3, random_state=0)
    estimator = clone(ESTIMATORS[name])
    if is_binary:
        y = np.array(["ham", "spam"])[y[:, 0]]
        for param, value in estimator.get_params().items():
            if value == THRESHOLDS:
                estimator.set_params(**{param: 0.3})
    estimator.fit(X[:100], y[:100])
    targets = encode_targets(y[:100])
    if is_frozen:
        estimator = FrozenEstimator(estimator)
    n_methods = 0
    for method in ("predict_proba", "decision_function"):
        if not hasattr(estimator, method):
            continue
        n_methods += 1
        responses = CachedResponses(estimator, X[100:], method, targets)
        np.testing.assert_array_equal(
            responses.predictions,
            predicted_matrix(estimator.predict(X[100:]), targets),
        )
        np.testing.assert_array_equal(
            responses.scores,
            positive_scores(
                estimator, X[100:], method, targets.n_labels, is_binary=is_binary
            ),
        )
    assert n_methods

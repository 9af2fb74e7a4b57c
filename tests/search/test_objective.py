"""Searches with Optuna, and with the search classes of scikit-learn."""

import importlib
import json
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, TrialState
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback

from skbert import (
    MultilabelStratifiedKFold,
    TransformerMultiLabelClassifier,
    make_tfidf_baseline,
)
from skbert.search import CrossValidationObjective
from skbert.search.study import open_study, run_trials
from skbert.training.callbacks import EpochReports
from skbert.training.fit_plan import tokens_for

REPOSITORY = Path(__file__).resolve().parents[2]

C = "binaryrelevanceclassifier__estimator__C"
C_SPACE = {C: FloatDistribution(0.01, 100, log=True)}
RATE_SPACE = {"clf__learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def close(study):
    """Close the connections of a study in a database."""
    backend = getattr(study._storage, "_backend", None)
    if hasattr(backend, "engine"):
        study._storage.remove_session()
        backend.engine.dispose()


def lower(texts):
    return [text.lower() for text in texts]


@pytest.fixture
def clf(tiny_bert):
    return TransformerMultiLabelClassifier(
        model=str(tiny_bert),
        pooling="mean",
        max_length=64,
        max_epochs=3,
        batch_size=8,
        learning_rate=3e-3,
        dropout=0.1,
        device="cpu",
        random_state=0,
    )


@pytest.fixture
def pipeline(clf):
    return Pipeline([("lower", FunctionTransformer(lower)), ("clf", clf)])


class EpochCounter(Callback):
    """Counts the epochs of all its copies."""

    n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        EpochCounter.n_epochs += 1


@pytest.fixture
def counter(monkeypatch):
    monkeypatch.setattr(EpochCounter, "n_epochs", 0)
    return EpochCounter


class Pruner(optuna.pruners.BasePruner):
    """Prunes the trials of the given numbers, from a step on."""

    def __init__(self, *numbers, step=0):
        self.numbers = numbers
        self.step = step

    def prune(self, study, trial):
        return trial.number in self.numbers and trial.last_step >= self.step


# --- the score -----------------------------------------------------------------------


def test_the_value_is_the_mean_score_of_the_folds(emails):
    X, y = emails
    objective = CrossValidationObjective(
        make_tfidf_baseline(), C_SPACE, X, y, cv=3, scoring="f1_micro"
    )
    folds = MultilabelStratifiedKFold(3, shuffle=True, random_state=0).split(X, y)
    scores = []
    for train, test in folds:
        model = make_tfidf_baseline(C=0.5).fit([X[i] for i in train], y[train])
        chosen = model.predict([X[i] for i in test])
        scores.append(f1_score(y[test], chosen, average="micro"))
    trial = FixedTrial({C: 0.5})
    assert objective(trial) == pytest.approx(np.mean(scores), abs=1e-12)
    assert trial.user_attrs["fold_scores"] == pytest.approx(scores, abs=1e-12)


def test_reports_change_nothing_in_a_fit(clf, emails):
    X, y = emails
    plain = clone(clf).fit(X[:40], y[:40])
    seen = []
    reports = EpochReports(
        tokens_for(clf, X[40:], 3), lambda *report: seen.append(report)
    )
    reported = clone(clf).set_params(net_callbacks=[reports]).fit(X[:40], y[:40])
    np.testing.assert_array_equal(plain.predict_proba(X), reported.predict_proba(X))
    assert [row["train_loss"] for row in plain.history_] == [
        row["train_loss"] for row in reported.history_
    ]
    assert [(epoch, is_last) for epoch, _, is_last in seen] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    np.testing.assert_array_equal(seen[-1][1], plain.decision_function(X[40:]))


def test_every_epoch_is_reported_and_comparable_between_trials(pipeline, emails):
    X, y = emails
    space = {"clf__max_epochs": IntDistribution(1, 4), **RATE_SPACE}
    objective = CrossValidationObjective(
        pipeline, space, X, y, cv=KFold(2), scoring="roc_auc"
    )
    study = open_study(None, "study")
    study.enqueue_trial({"clf__max_epochs": 3, "clf__learning_rate": 3e-3})
    study.enqueue_trial({"clf__max_epochs": 2, "clf__learning_rate": 3e-3})
    study.optimize(objective, n_trials=2)
    for trial, n_epochs in zip(study.trials, (3, 2), strict=True):
        first, second = trial.user_attrs["fold_scores"]
        assert trial.value == pytest.approx((first + second) / 2)
        values = trial.intermediate_values
        steps = [*range(n_epochs), *range(4, 4 + n_epochs)]
        assert sorted(values) == steps
        assert values[n_epochs - 1] == pytest.approx(first)
        assert values[4 + n_epochs - 1] == pytest.approx(trial.value)
        # Two folds are fitted as anyone would do it.
        model = clone(pipeline).set_params(**trial.params)
        model.fit(X[30:], y[30:])
        assert len(model[-1].history_) == n_epochs
        proba = model.predict_proba(X[:30])
        score = objective._score(y[:30], proba, proba >= 0.5)
        assert score == pytest.approx(first, abs=1e-12)


@pytest.mark.parametrize(
    ("max_epochs", "n_steps"),
    [
        (CategoricalDistribution([2, 7, 3]), 7),
        (CategoricalDistribution([2, "auto"]), 20),
        (None, 3),
    ],
)
def test_the_steps_of_a_fold_make_room_for_the_longest_trial(
    clf, emails, max_epochs, n_steps
):
    space = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    if max_epochs is not None:
        space["max_epochs"] = max_epochs
    assert CrossValidationObjective(clf, space, *emails)._epochs_per_fold == n_steps
    clf.set_params(max_epochs="auto")
    space.pop("max_epochs", None)
    assert CrossValidationObjective(clf, space, *emails)._epochs_per_fold == 20


def test_the_best_epoch_is_chosen_within_the_training_rows(clf, emails):
    X, y = emails
    clf.set_params(validation_fraction=0.3, max_epochs=4, learning_rate=0.02)
    space = {"weight_decay": FloatDistribution(0, 1)}
    objective = CrossValidationObjective(clf, space, X, y, cv=KFold(2))
    trial = FixedTrial({"weight_decay": 0.01})
    objective(trial)
    model = clone(clf).fit(X[30:], y[30:])
    expected = average_precision_score(y[:30], model.predict_proba(X[:30]))
    assert trial.user_attrs["fold_scores"][0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scoring", ["f1", "roc_auc", "accuracy", "average_precision"])
def test_two_classes_in_one_dimension_are_scored(clf, emails, scoring):
    X, y = emails
    classes = np.array(["ham", "spam"])[y[:, 0]]
    scorer = make_scorer(f1_score, pos_label=1) if scoring == "f1" else scoring
    rate = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    objective = CrossValidationObjective(clf, rate, X, classes, cv=2, scoring=scorer)
    assert 0.4 < objective(FixedTrial({"learning_rate": 3e-3})) <= 1
    objective = CrossValidationObjective(
        make_tfidf_baseline(), C_SPACE, X, classes, cv=2, scoring=scorer
    )
    assert 0.7 < objective(FixedTrial({C: 10.0})) <= 1


@pytest.mark.parametrize(
    "classifier",
    [
        OneVsRestClassifier(LogisticRegression()),
        OneVsRestClassifier(LinearSVC()),
        MultiOutputClassifier(LogisticRegression()),
        MultiOutputClassifier(LinearSVC()),  # predictions are all that it has
    ],
)
def test_classifiers_of_scikit_learn_can_be_searched(classifier, emails):
    X, y = emails
    model = make_pipeline(TfidfVectorizer(), classifier)
    space = {
        f"{model.steps[-1][0]}__estimator__C": FloatDistribution(0.1, 1, log=True),
        "tfidfvectorizer__sublinear_tf": CategoricalDistribution([True, False]),
        "tfidfvectorizer__min_df": IntDistribution(1, 2),
    }
    objective = CrossValidationObjective(model, space, X, y, cv=2)
    study = open_study(None, "study")
    study.optimize(objective, n_trials=2)
    assert study.best_value > 0.6
    assert all(sorted(t.intermediate_values) == [0, 1] for t in study.trials)
    assert objective.best_estimator(study).predict(X).shape == y.shape


def test_one_dimension_works_with_classifiers_of_scikit_learn(emails):
    X, y = emails
    model = make_pipeline(TfidfVectorizer(binary=True), BernoulliNB())
    space = {"bernoullinb__alpha": FloatDistribution(0.1, 1)}
    objective = CrossValidationObjective(
        model, space, X, y[:, 0], cv=2, scoring="roc_auc"
    )
    assert objective(FixedTrial({"bernoullinb__alpha": 0.5})) > 0.8


@pytest.mark.parametrize(
    "as_type", [pd.DataFrame, sparse.csr_array, sparse.coo_array, np.ndarray.tolist]
)
def test_y_comes_in_every_form(emails, as_type):
    X, y = emails
    expected = CrossValidationObjective(make_tfidf_baseline(), C_SPACE, X, y, cv=2)
    objective = CrossValidationObjective(
        make_tfidf_baseline(), C_SPACE, pd.Series(X), as_type(y), cv=2
    )
    trial = FixedTrial({C: 1.0})
    assert objective(trial) == expected(trial)


def test_unknown_labels_play_no_part(clf, emails):
    X, y = emails
    y = y.astype(float)
    y[::7, 1] = np.nan
    rate = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    objective = CrossValidationObjective(clf, rate, X, y, cv=2)
    assert np.isfinite(objective(FixedTrial({"learning_rate": 3e-3})))


def test_neither_the_estimator_nor_global_random_states_change(pipeline, emails):
    import torch

    objective = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    params = repr(pipeline.get_params())
    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = objective(FixedTrial({"clf__learning_rate": 1e-3}))
    assert repr(pipeline.get_params()) == params
    np.testing.assert_array_equal(
        np.random.get_state()[1],  # noqa: NPY002
        states[0],
    )
    assert torch.equal(torch.get_rng_state(), states[1])
    assert objective(FixedTrial({"clf__learning_rate": 1e-3})) == first


# --- pruning and callbacks -----------------------------------------------------------


def test_a_bad_trial_is_stopped_after_its_first_epoch(pipeline, emails, counter):
    pipeline.set_params(clf__net_callbacks=[EpochCounter()])
    objective = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    study = open_study(None, "study", pruner=Pruner(1))
    study.optimize(objective, n_trials=1)
    assert counter.n_epochs == 6
    study.optimize(objective, n_trials=1)
    # The epoch that the report ends is not seen by the callbacks after it.
    assert counter.n_epochs == 6
    whole, pruned = study.trials
    assert whole.state == TrialState.COMPLETE
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [0]
    assert pruned.value == pruned.intermediate_values[0]
    assert "fold_scores" not in pruned.user_attrs


def test_a_trial_can_be_stopped_in_its_second_fold_but_not_at_its_end(pipeline, emails):
    objective = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    study = open_study(None, "study", pruner=Pruner(0, step=4))
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED
    assert list(study.trials[0].intermediate_values) == [0, 1, 2, 3, 4]
    assert len(study.trials[0].user_attrs["fold_scores"]) == 1
    study = open_study(None, "study", pruner=Pruner(0, step=5))
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE


def test_other_estimators_can_be_stopped_after_a_fold(emails):
    objective = CrossValidationObjective(make_tfidf_baseline(), C_SPACE, *emails, cv=3)
    study = open_study(None, "study", pruner=Pruner(0, step=1))
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED
    assert list(study.trials[0].intermediate_values) == [0, 1]
    study = open_study(None, "study", pruner=Pruner(0, step=1))
    with pytest.raises(optuna.TrialPruned, match="after fold 2 of 3, with a mean"):
        objective(study.ask())


class StopAfter(Callback):
    """Ends a fit as skorch's EarlyStopping does."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            raise KeyboardInterrupt


def test_callbacks_of_the_user_may_stop_a_fit_early(clf, emails):
    clf.set_params(net_callbacks=[StopAfter(2), ("named", EpochCounter())])
    rate = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    study = open_study(None, "study")
    study.optimize(CrossValidationObjective(clf, rate, *emails, cv=2), n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE
    assert sorted(study.trials[0].intermediate_values) == [0, 1, 3, 4]


# --- states --------------------------------------------------------------------------


class Kill(Callback):
    """Ends a process, as far as Optuna sees, in one of the epochs of all fits."""

    epoch = None
    n_epochs = 0

    def on_epoch_begin(self, net, **kwargs):
        Kill.n_epochs += 1
        if Kill.n_epochs == Kill.epoch:
            raise SystemExit


def test_a_trial_that_was_killed_goes_on_from_its_state(
    pipeline, emails, tmp_path, monkeypatch
):
    """In the last epoch of its second fold, so that the first is run anew."""
    monkeypatch.setattr(Kill, "epoch", 6)
    monkeypatch.setattr(Kill, "n_epochs", 0)
    states = tmp_path / "states"
    whole = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    pipeline = clone(pipeline).set_params(
        clf__checkpoint_dir=states, clf__net_callbacks=[Kill()]
    )
    objective = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    study = open_study(tmp_path / "study.log", "study")
    with pytest.raises(SystemExit):
        run_trials(study, objective, 1)
    assert sorted(path.name[:10] for path in states.glob("*/*")) == [
        "epoch-0001",
        "epoch-0002",
    ]
    study = open_study(tmp_path / "study.log", "study", requeue_running=True)
    run_trials(study, objective, 1)
    assert Kill.n_epochs == 6 + 3 + 1
    assert list(states.iterdir()) == []
    killed, again = study.trials
    assert again.params == killed.params
    expected = open_study(None, "whole")
    expected.enqueue_trial(killed.params)
    expected.optimize(whole, n_trials=1)
    (expected,) = expected.trials
    assert again.value == expected.value
    assert again.user_attrs["fold_scores"] == expected.user_attrs["fold_scores"]
    # What was reported before its process was killed is in the trial that it was.
    assert again.state == TrialState.COMPLETE
    assert killed.intermediate_values | again.intermediate_values == (
        expected.intermediate_values
    )
    assert sorted(again.intermediate_values) == [0, 1, 2, 5]


def test_a_trial_that_is_pruned_leaves_no_states(pipeline, emails, tmp_path):
    pipeline.set_params(clf__checkpoint_dir=tmp_path / "states")
    objective = CrossValidationObjective(pipeline, RATE_SPACE, *emails, cv=2)
    study = open_study(None, "study", pruner=Pruner(0, step=4))
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED
    assert list((tmp_path / "states").iterdir()) == []


# --- failures ------------------------------------------------------------------------


class Failing(ClassifierMixin, BaseEstimator):
    """Raises what it is told to, and holds on to memory while it does."""

    held: list = []

    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y):
        import torch

        activations = np.zeros(1000).view(Memory)
        self.held.append(weakref.ref(activations))
        if self.error == "memory":
            raise MemoryError("no room")
        if self.error == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.error == "long":
            raise RuntimeError("word " * 2000)
        self.n_labels_ = y.shape[1]
        return self

    def predict(self, X):
        return np.zeros((len(X), self.n_labels_), dtype=int)


class Memory(np.ndarray):
    pass


@pytest.fixture
def failing(emails, monkeypatch):
    """Give a function that makes an objective whose trials fail as they are told."""
    monkeypatch.setattr(Failing, "held", [])
    space = {"error": CategoricalDistribution([None, "memory", "cuda", "long"])}

    def make(**options):
        options = {"cv": 2, "scoring": "accuracy", **options}
        return CrossValidationObjective(Failing(), space, *emails, **options)

    return make


def test_a_trial_without_memory_fails_and_the_study_goes_on(failing):
    objective = failing()
    study = open_study(None, "study")
    for error in ("memory", "cuda", None):
        study.enqueue_trial({"error": error})
    with pytest.warns(FitFailedWarning, match="Trial 0 failed.*: MemoryError: no room"):
        study.optimize(objective, n_trials=1)
    with pytest.warns(FitFailedWarning, match="fold 1 of 2: OutOfMemoryError: CUDA"):
        study.optimize(objective, n_trials=1)
    study.optimize(objective, n_trials=1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL", "COMPLETE"]
    first, second, third = study.trials
    assert first.user_attrs == {"error": "In fold 1 of 2: MemoryError: no room"}
    assert len(third.user_attrs["fold_scores"]) == 2


def test_memory_of_a_failed_fit_is_released(failing):
    with pytest.warns(FitFailedWarning):
        assert np.isnan(failing()(FixedTrial({"error": "memory"})))
    (held,) = Failing.held
    assert held() is None


def test_errors_are_raised_on_request(failing):
    study = open_study(None, "study")
    study.enqueue_trial({"error": "memory"})
    with pytest.raises(MemoryError, match="no room") as error:
        study.optimize(failing(error_score="raise"), n_trials=1)
    assert error.value.__notes__ == ["In fold 1 of 2"]
    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs["error"].endswith("MemoryError: no room")


def test_long_reasons_are_cut(failing):
    trial = FixedTrial({"error": "long"})
    with pytest.warns(FitFailedWarning):
        failing()(trial)
    assert len(trial.user_attrs["error"]) == 2000


def test_a_loss_of_nan_fails_the_trial_alone(clf, emails):
    space = {"learning_rate": FloatDistribution(1e-4, 1e30, log=True)}
    objective = CrossValidationObjective(clf, space, *emails, cv=2)
    study = open_study(None, "study")
    study.enqueue_trial({"learning_rate": 1e30})
    study.enqueue_trial({"learning_rate": 1e-3})
    with pytest.warns(FitFailedWarning, match="training loss became"):
        study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert "learning rate is probably too high" in study.trials[0].user_attrs["error"]
    best = objective.best_estimator(study)
    assert best.learning_rate == 1e-3


def test_a_score_of_nan_fails_the_trial_with_a_reason(emails):
    def undefined(estimator, X, y):
        return float("nan")

    objective = CrossValidationObjective(
        make_tfidf_baseline(), C_SPACE, *emails, cv=2, scoring=undefined
    )
    study = open_study(None, "study")
    with pytest.warns(FitFailedWarning, match="In fold 1 of 2: ValueError: The score"):
        study.optimize(objective, n_trials=1)
    assert "The score is nan." in study.trials[0].user_attrs["error"]
    with pytest.raises(
        ValueError, match="no complete trial among its 1.*first error was: In fold 1"
    ):
        objective.best_estimator(study)


def test_nan_epochs_are_not_reported(clf, emails):
    calls = []

    def late(estimator, X, y):
        calls.append(1)
        return float("nan") if len(calls) == 1 else 0.5

    objective = CrossValidationObjective(
        clf, {"warmup": FloatDistribution(0, 1)}, *emails, cv=2, scoring=late
    )
    study = open_study(None, "study")
    study.optimize(objective, n_trials=1)
    assert sorted(study.trials[0].intermediate_values) == [1, 2, 3, 4, 5]


def test_best_parameters_without_any_trial_are_an_error(emails):
    objective = CrossValidationObjective(make_tfidf_baseline(), C_SPACE, *emails)
    with pytest.raises(ValueError, match="no complete trial among its 0, so"):
        objective.best_estimator(open_study(None, "study"))


# --- Ctrl-C --------------------------------------------------------------------------


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["in an epoch", "while it is reported"])
def test_ctrl_c_ends_the_study(clf, emails, moment, monkeypatch):
    def interrupt(*args, **kwargs):
        # Who runs tests in the background has a shell that ignores it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)

    if moment == "in an epoch":
        clf.set_params(net_callbacks=[Interrupt()])
    else:
        monkeypatch.setattr(CrossValidationObjective, "_report_epoch", interrupt)
    rate = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    objective = CrossValidationObjective(clf, rate, *emails, cv=2)
    study = open_study(None, "study")
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert study.trials[0].user_attrs == {"not_run": "interrupted"}


SEARCH = """
import json, signal, sys
import optuna
from optuna.distributions import FloatDistribution
from skorch.callbacks import Callback
from skbert import TransformerMultiLabelClassifier
from skbert.search import CrossValidationObjective
from skbert.search.study import open_study

class Tell(Callback):
    def on_batch_end(self, net, **kwargs):
        print("training", flush=True)

# Who runs tests in the background has a shell that ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)

model, data, storage = sys.argv[1:]
with open(data) as file:
    X, y = json.load(file)
clf = TransformerMultiLabelClassifier(
    model,
    pooling="mean",
    max_length=64,
    max_epochs=100_000,
    device="cpu",
    net_callbacks=[Tell()],
)
space = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
objective = CrossValidationObjective(clf, space, X, y, cv=2)
open_study(storage, "study").optimize(objective, n_trials=5)
"""


def test_a_real_ctrl_c_leaves_a_study_that_can_go_on(tiny_bert, clf, emails, tmp_path):
    X, y = emails
    path = tmp_path / "study.db"
    (tmp_path / "data.json").write_text(json.dumps([X, y.tolist()]))
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH]
        + [str(path) for path in (tiny_bert, tmp_path / "data.json", path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")

    study = open_study(path, "study")
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert study.trials[0].user_attrs == {"not_run": "interrupted"}
    space = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    objective = CrossValidationObjective(
        clf.set_params(max_epochs=1), space, X, y, cv=2
    )
    run_trials(study, objective, 1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    close(study)


# --- bad input -----------------------------------------------------------------------


class Strange(BaseDistribution):
    single = contains = to_internal_repr = _contains = lambda self, *args: None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"space": {}}, ValueError, "at least one entry"),
        ({"space": [C]}, ValueError, "must be a dict"),
        (
            {"space": {"binaryrelevanceclassifier__C": FloatDistribution(0, 1)}},
            ValueError,
            "Pipeline has no such parameter. Did you mean 'binaryrelevanceclassifier__",
        ),
        ({"space": {C: (0.1, 1)}}, TypeError, r"\(0.1, 1\); it must be a distribution"),
        ({"space": {C: Strange()}}, TypeError, "must be a distribution of optuna"),
        ({"scoring": "f1_mirco"}, ValueError, "Did you mean 'f1_micro'"),
        ({"scoring": f1_score}, ValueError, "scor"),
        ({"X": ["a", "b"]}, ValueError, "inconsistent numbers of samples"),
        ({"y": [["a"], ["b"]]}, ValueError, "MultiLabelBinarizer"),
        ({"y": np.arange(60)}, ValueError, "Only binary classification"),
        ({"cv": 1}, ValueError, "at least 2"),
        ({"cv": 61}, ValueError, "more than the number of rows"),
        ({"cv": 1.5}, ValueError, "held out, between 0"),
        ({"cv": "five"}, ValueError, "cv must be a number of folds, a held-out"),
        ({"cv": True}, ValueError, "cv must be a number of folds, a held-out"),
        ({"cv": len}, ValueError, "cv must be a number of folds, a held-out"),
        ({"cv": []}, ValueError, "cv gives no split"),
        ({"cv": [([0], [])]}, ValueError, "no rows to train on"),
        ({"cv": [([0, 1], [1])]}, ValueError, "trains on rows that it holds out"),
        ({"cv": [([0], [60])]}, ValueError, "from 60 to 60, but X has 60 rows"),
        ({"error_score": 0.0}, ValueError, "error_score must be nan or 'raise'"),
        ({"error_score": "nan"}, ValueError, "error_score must be nan or 'raise'"),
    ],
)
def test_bad_input_is_told_before_any_fit(emails, change, error, message):
    X, y = emails
    options = {"space": C_SPACE, "X": X, "y": y, **change}
    with pytest.raises(error, match=message):
        CrossValidationObjective(make_tfidf_baseline(), **options)


def test_a_fold_without_a_class_is_told_at_once(emails):
    X, _ = emails
    y = np.array(["no"] * 55 + ["yes"] * 5)
    with pytest.raises(
        ValueError, match="In cv, fold 2 of 2 has no row of the class 'yes' to train on"
    ):
        CrossValidationObjective(
            make_tfidf_baseline(), C_SPACE, X, y, cv=KFold(2), scoring="accuracy"
        )
    with pytest.raises(
        ValueError,
        match="'roc_auc' is not defined on fold 1 of 2: its held-out rows hold no "
        "positive of 'yes'",
    ):
        CrossValidationObjective(
            make_tfidf_baseline(),
            C_SPACE,
            X,
            y,
            cv=[(range(30, 60), range(30)), (range(59), [59])],
            scoring="roc_auc",
        )


def test_an_entry_that_is_no_text_is_told_at_once(tiny_bert):
    texts = [f"text {i}" for i in range(40)]
    texts[37] = None
    y = np.arange(40)[:, np.newaxis] % [2, 3] == 0
    space = {"learning_rate": FloatDistribution(1e-5, 1e-3, log=True)}
    clf = TransformerMultiLabelClassifier(tiny_bert)
    with pytest.raises(ValueError, match="X, row 37 is missing"):
        CrossValidationObjective(clf, space, texts, y, cv=2)


def test_a_score_that_cannot_take_nan_is_told_at_once(emails):
    X, y = emails
    y = y.astype(float)
    y[0, 0] = np.nan
    name = "neg_mean_squared_error"
    with pytest.raises(
        ValueError, match=f"'{name}' does not work on fold . of 5: .* take NaN"
    ):
        CrossValidationObjective(make_tfidf_baseline(), C_SPACE, X, y, scoring=name)


def test_a_fold_without_a_label_is_no_error_for_the_classifier(clf, emails):
    X, y = emails
    y = np.column_stack([y, np.arange(60) < 3])
    rate = {"learning_rate": FloatDistribution(1e-4, 1e-2)}
    folds = [(np.arange(60) >= 30, np.arange(60) < 30)]
    objective = CrossValidationObjective(clf, rate, X, y, cv=folds)
    with pytest.warns(UserWarning, match="no positive or no negative.*'label_3'"):
        assert np.isfinite(objective(FixedTrial({"learning_rate": 3e-3})))


def test_a_fold_without_a_label_is_named_where_an_estimator_fails(emails):
    X, y = emails
    y = pd.DataFrame(y, columns=["billing", "bug", "lunch"])
    y["rare"] = (np.arange(60) < 3).astype(int)
    y["usual"] = (np.arange(60) >= 3).astype(int)
    model = make_pipeline(
        TfidfVectorizer(), MultiOutputClassifier(LogisticRegression())
    )
    space = {"multioutputclassifier__estimator__C": FloatDistribution(0.1, 1)}
    objective = CrossValidationObjective(model, space, X, y, cv=KFold(2))
    trial = FixedTrial({"multioutputclassifier__estimator__C": 1.0})
    with pytest.warns(
        FitFailedWarning,
        match=r"In fold 1 of 2 \(its training rows hold no positive of 'rare'; its "
        r"training rows hold no negative of 'usual'\): ",
    ):
        objective(trial)


# --- studies -------------------------------------------------------------------------


def test_folds_are_the_same_in_every_process(emails):
    def folds(**options):
        objective = CrossValidationObjective(
            make_tfidf_baseline(), C_SPACE, *emails, cv=3, **options
        )
        return [test.tolist() for _, test in objective.folds]

    assert folds() == folds() == folds(random_state=0)
    assert folds() != folds(random_state=1)
    (share,) = CrossValidationObjective(
        make_tfidf_baseline(), C_SPACE, *emails, cv=0.25
    ).folds
    assert [len(rows) for rows in share] == [45, 15]
    assert sorted(sum(folds(), [])) == list(range(60))


def test_a_study_of_other_folds_is_turned_down(emails):
    X, y = emails

    def objective(y=y, **options):
        return CrossValidationObjective(
            make_tfidf_baseline(), C_SPACE, X, y, **{"cv": 2, **options}
        )

    study = open_study(None, "study")
    study.optimize(objective(), n_trials=1)
    study.optimize(objective(), n_trials=1)
    for other in (
        objective(cv=3),
        objective(scoring="roc_auc"),
        objective(y=1 - y),
        objective(cv=ShuffleSplit(2, random_state=1)),
    ):
        with pytest.raises(ValueError, match="was begun with other folds, y or"):
            study.optimize(other, n_trials=1)


def test_a_study_of_folds_that_are_cut_elsewhere_is_turned_down(emails):
    """All row numbers, one after the other, are the same."""
    study = open_study(None, "study")
    first, other = (
        CrossValidationObjective(
            make_tfidf_baseline(), C_SPACE, *emails, cv=[np.split(np.arange(60), [n])]
        )
        for n in (20, 30)
    )
    study.optimize(first, n_trials=1)
    with pytest.raises(ValueError, match="was begun with other folds, y or scoring"):
        study.optimize(other, n_trials=1)


def test_a_study_that_is_minimized_is_turned_down(emails):
    objective = CrossValidationObjective(make_tfidf_baseline(), C_SPACE, *emails)
    with pytest.raises(ValueError, match="The study is not maximized"):
        optuna.create_study().optimize(objective, n_trials=1)


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_a_search_with_pruning_goes_on_in_a_study_on_disk(
    pipeline, emails, tmp_path, name
):
    space = {
        **RATE_SPACE,
        "clf__pooling": CategoricalDistribution(["mean", "native"]),
        "clf__batch_size": IntDistribution(8, 16, step=8),
    }
    for n_trials in (2, 4):
        study = open_study(
            tmp_path / name,
            "study",
            sampler=optuna.samplers.TPESampler(seed=n_trials),
            pruner=Pruner(1, 3),
        )
        objective = CrossValidationObjective(
            pipeline.set_params(clf__max_epochs=1), space, *emails, cv=2
        )
        run_trials(study, objective, n_trials)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED"]
    best = objective.best_estimator(study)
    assert best["clf"].pooling == study.best_params["clf__pooling"]
    expected = clone(pipeline).set_params(**study.best_params).fit(*emails)
    np.testing.assert_array_equal(
        best.predict_proba(emails[0]), expected.predict_proba(emails[0])
    )
    close(study)


# --- other searches ------------------------------------------------------------------


def test_grid_search_works(pipeline, emails):
    X, y = emails
    search = GridSearchCV(
        pipeline,
        {"clf__learning_rate": [1e-5, 3e-3]},
        cv=MultilabelStratifiedKFold(2, shuffle=True, random_state=0),
        scoring="roc_auc",
    ).fit(X, y)
    assert search.best_params_ == {"clf__learning_rate": 3e-3}
    assert search.predict(X).shape == y.shape


def test_randomized_search_works(pipeline, emails):
    X, y = emails
    search = RandomizedSearchCV(
        pipeline,
        {"clf__learning_rate": [1e-5, 1e-3, 3e-3]},
        n_iter=2,
        cv=MultilabelStratifiedKFold(2, shuffle=True, random_state=0),
        scoring="roc_auc",
        random_state=0,
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict_proba(X).shape == y.shape


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
# optuna-integration 5.0 calls it; the warning is of no use to its users.
@pytest.mark.filterwarnings("ignore:`optuna.terminator` module has been:FutureWarning")
# optuna-integration 5.0 again: scikit-learn 1.6 misses the new tags in it.
@pytest.mark.filterwarnings("ignore:The OptunaSearchCV or classes:FutureWarning")
def test_optuna_search_works(pipeline, emails):
    integration = pytest.importorskip(
        "optuna_integration", reason="needs optuna-integration"
    )
    X, y = emails
    search = integration.OptunaSearchCV(
        pipeline,
        RATE_SPACE,
        n_trials=2,
        cv=MultilabelStratifiedKFold(2, shuffle=True, random_state=0),
        scoring="roc_auc",
        random_state=0,
    ).fit(X, y)
    assert np.isfinite(search.best_score_)
    assert search.predict(X).shape == y.shape


# --- the benchmark -------------------------------------------------------------------


def test_the_benchmark_compares_a_search_with_and_without_pruning(
    tiny_bert, emails, tmp_path, monkeypatch, capsys
):
    X, y = emails
    frame = pd.DataFrame(y, columns=["billing", "bug", "lunch"]).assign(text=X)
    for split in ("train", "dev", "test"):
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    benchmark = importlib.import_module("pruning")
    benchmark.main(
        [f"--data={tmp_path}", "--rows=40", "--trials=3", f"--model={tiny_bert}"]
        + ["--max-length=64", "--max-epochs=2"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert "40 texts, 3 labels, 3 trials, 2 folds, 2 epochs" in lines[0]
    trials = [line.split() for line in lines if line[:5].strip().isdigit()]
    assert [trial[0] for trial in trials] == ["0", "1", "2"] * 2
    assert [trial[1:3] for trial in trials[:4]] == [["COMPLETE", "4"]] * 4
    (ratio,) = (line.split() for line in lines if line.startswith("ratio"))
    n_epochs = sum(int(trial[2]) for trial in trials[3:])
    assert float(ratio[2]) == pytest.approx(n_epochs / 12, abs=0.006)
    assert lines[-1].startswith("difference")

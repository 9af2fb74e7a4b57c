"""Training state: a fit that was broken off goes on and ends as if nothing had been."""

import os
import warnings

import numpy as np
import pytest
import torch
from filelock import FileLock
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback

from checkpoints import make_checkpoint
from skbert import TransformerMultiLabelClassifier, TunedThresholdsClassifierCV
from skbert.training.training_state import BestWeights, take_state


class Crash(Callback):
    """Ends a fit with an error in an epoch, unless it is switched off."""

    epoch = None
    error = RuntimeError

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == Crash.epoch and len(net.history[-1, "batches"]) == 2:
            raise Crash.error("crash")

    def on_epoch_begin(self, net, **kwargs):
        Crash.epochs.append(len(net.history))


class CrashAtTheEnd(Crash):
    def on_train_end(self, net, **kwargs):
        if Crash.epoch == "end":
            raise Crash.error("crash")


class Spoil(Callback):
    """Makes the loss of the third epoch NaN."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            with torch.no_grad():
                net.module_.output_layer.bias.fill_(float("nan"))


class Stop(Callback):
    """Ends the training after three epochs, as skorch's EarlyStopping does."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


class Take(Callback):
    """Notes what the state of each epoch holds."""

    def on_epoch_end(self, net, **kwargs):
        Take.names = {name.split(".")[0] for name in take_state(net).tensors}
        Take.bytes = sum(t.nbytes for t in take_state(net).tensors.values())


def one_half(estimator, X, y):
    return 0.5


@pytest.fixture(autouse=True)
def no_crash():
    yield
    Crash.epoch, Crash.epochs = None, []


Crash.epochs = []


@pytest.fixture
def emails(emails):
    X, y = emails
    return X[:36], y[:36]


@pytest.fixture
def make(tiny_bert, tmp_path):
    def make(**params):
        settings = {
            "model": tiny_bert,
            "pooling": "mean",
            "max_length": 64,
            "max_epochs": 5,
            "batch_size": 8,
            "device": "cpu",
            "random_state": 0,
            "checkpoint_dir": tmp_path / "states",
            "net_callbacks": [Crash()],
        }
        return TransformerMultiLabelClassifier(**(settings | params))

    return make


def crash(clf, data, epoch=4, error=RuntimeError, **options):
    Crash.epoch, Crash.error, Crash.epochs = epoch, error, []
    with pytest.raises(error, match="crash"):
        clf.fit(*data, **options)
    Crash.epoch, Crash.epochs = None, []


def outcome(clf, texts):
    history = [
        {key: value for key, value in row.items() if key != "dur"}
        for row in clf.history_
    ]
    weights = dict(clf.net_.module_.named_parameters())
    return history, weights, clf.predict_proba(texts)


def assert_equal(clf, other, texts):
    (history, weights, proba), expected = outcome(clf, texts), outcome(other, texts)
    assert history == expected[0]
    assert weights.keys() == expected[1].keys()
    assert all(torch.equal(w, expected[1][name]) for name, w in weights.items())
    np.testing.assert_array_equal(proba, expected[2])


def files(clf):
    return sorted(clf.checkpoint_dir.glob("*/*"))


# --- equal to the bit -----------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"precision": "fp32", "batch_size": 7, "max_grad_norm": None},
        {"precision": "bf16", "freeze_embeddings": False},
        {"gradient_accumulation_steps": 3},
        {"trainable_layers": 1},
        {"trainable_layers": 0},
        {"long_text": "windows", "max_length": 10},
        {"pooling": "native", "loss": "focal", "pos_weight": "balanced"},
        {"validation_fraction": 0.3},
        {"validation_fraction": 0.3, "n_iter_no_change": 3, "scoring": "f1_macro"},
        {"dropout": 0.3, "warmup": 0.5, "weight_decay": 0.1},
        {"random_state": np.random.RandomState(3)},
    ],
    ids=lambda params: ", ".join(params),
)
def test_a_fit_that_goes_on_equals_one_in_one_piece(make, emails, params):
    X, y = emails
    whole = make(**params, checkpoint_dir=None, net_callbacks=None)
    whole = clone(whole).fit(X, y)
    clf = make(**params)
    crash(clone(clf), emails)
    assert [path.name[:10] for path in files(clf)] == ["epoch-0002", "epoch-0003"]
    clf.fit(X, y)
    assert Crash.epochs[0] == 4
    assert_equal(clf, whole, X)
    assert list(clf.checkpoint_dir.iterdir()) == []


def test_it_goes_on_more_than_once_and_from_the_first_epoch(make, emails):
    whole = make(checkpoint_dir=None).fit(*emails)
    clf = make()
    crash(clf, emails, epoch=1)
    assert files(clf) == []
    for epoch in (2, 2, 3, 5):
        crash(clf, emails, epoch=epoch)
    clf.fit(*emails)
    assert Crash.epochs == [5]
    assert_equal(clf, whole, emails[0])


def test_unknown_labels_weights_and_validation_data_do_not_matter(make, emails):
    X, y = emails
    y = np.where(np.random.default_rng(0).random(y.shape) < 0.2, np.nan, y)
    weight = np.random.default_rng(1).random(24)
    options = {"sample_weight": weight, "X_val": X[24:], "y_val": y[24:]}
    whole = make(checkpoint_dir=None).fit(X[:24], y[:24], **options)
    clf = make()
    crash(clf, (X[:24], y[:24]), **options)
    clf.fit(X[:24], y[:24], **options)
    assert Crash.epochs[0] == 4
    assert_equal(clf, whole, X)


def test_binary_targets(make, emails):
    X, y = emails[0], np.array(["no", "yes"])[emails[1][:, 0]]
    whole = make(checkpoint_dir=None).fit(X, y)
    clf = make()
    crash(clf, (X, y))
    assert_equal(clf.fit(X, y), whole, X)
    assert Crash.epochs[0] == 4


def test_tables_of_gradients_do_not_matter(make, emails, tmp_path):
    model = make_checkpoint("bert", tmp_path / "bert", vocab_size=5000)
    params = {"model": model, "freeze_embeddings": False}
    whole = make(**params, checkpoint_dir=None).fit(*emails)
    clf = make(**params)
    crash(clf, emails)
    assert_equal(clf.fit(*emails), whole, emails[0])


def test_a_warm_start_goes_on_too(make, emails):
    whole, clf = make(warm_start=True, checkpoint_dir=None), make(warm_start=True)
    for estimator in (whole, clf):
        estimator.fit(*emails)
    whole.fit(*emails)
    crash(clf, emails)
    clf.fit(*emails)
    assert Crash.epochs[0] == 4
    assert_equal(clf, whole, emails[0])
    for estimator in (whole, clf):  # the optimizer's moments are there, too
        estimator.fit(*emails)
    assert_equal(clf, whole, emails[0])


def test_a_fit_that_is_over_when_it_is_killed_only_ends(make, emails):
    """Killed after the state that shows that nothing gets better any more."""

    params = {
        "validation_fraction": 0.3,
        "n_iter_no_change": 2,
        "scoring": one_half,
        "net_callbacks": [CrashAtTheEnd()],
    }
    whole = make(**params, checkpoint_dir=None).fit(*emails)
    assert whole.n_iter_ == 3
    clf = make(**params)
    crash(clf, emails, epoch="end")
    clf.fit(*emails)
    assert Crash.epochs == [3]
    assert_equal(clf, whole, emails[0])


def test_global_random_states_are_left_as_they_were(make, emails):
    clf = make()
    crash(clf, emails)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    clf.fit(*emails)
    assert torch.equal(torch.get_rng_state(), before)


# --- what is the same fit -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"verbose": 0},
        {"verbose": 1},
        {"device": torch.device("cpu")},
        {"local_files_only": True},
        {"random_state": np.int64(0)},
    ],
    ids=str,
)
def test_what_changes_nothing_of_a_fit_starts_nothing_anew(make, emails, change):
    clf = make()
    crash(clf, emails)
    clf.set_params(**change).fit(*emails)
    assert Crash.epochs == [4, 5]
    assert list(clf.checkpoint_dir.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": 1},
        {"max_epochs": 6},
        {"batch_size": 9},
        {"learning_rate": 2e-4},
        {"warmup": 0.2},
        {"loss": "focal"},
        {"max_length": 9},
        {"trainable_layers": 1},
        {"threshold": 0.4},
        {"precision": "bf16"},
        {"dropout": 0.2},
        {"net_callbacks": [Crash(), ("another", Callback())]},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_another_fit_has_a_folder_of_its_own(make, emails, change):
    clf = make(precision="fp32")
    crash(clf, emails)
    before = files(clf)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*of the texts are longer than")
        clf.set_params(**change).fit(*emails)
    assert Crash.epochs[0] == 1
    assert files(clf) == before


@pytest.mark.parametrize(
    "change",
    [
        {"scoring": lambda *args: 0.5},
        {"net_callbacks": [type("Local", (Callback,), {})()]},
    ],
    ids=lambda change: ", ".join(change),
)
def test_what_cannot_be_pickled_is_refused_before_weights_are_loaded(
    make, emails, change, monkeypatch
):
    monkeypatch.setattr("skbert.training.fit.build_module", None)
    clf = make(validation_fraction=0.3, **change)
    with pytest.raises(TypeError, match="checkpoint_dir needs parameters that can be"):
        clf.fit(*emails)


@pytest.mark.parametrize("part", ["text", "label", "weight", "order", "names"])
def test_other_data_are_another_fit(make, emails, part):
    X, y = list(emails[0]), emails[1].astype(float)
    weight = np.ones(len(X))
    clf = make()
    crash(clf, (X, y, weight))
    if part == "text":
        X[7] += " invoice"
    elif part == "label":
        y[7, 1] = 1 - y[7, 1]
    elif part == "weight":
        weight[7] = 2.0
    elif part == "order":
        X, y = X[::-1], y[::-1]
    else:
        import pandas as pd

        y = pd.DataFrame(y, columns=["a", "b", "c"])
    clf.fit(X, y, weight)
    assert Crash.epochs[0] == 1


def test_another_model_in_the_same_place_is_another_fit(make, emails, tmp_path):
    for folder, seed in (("a", 0), ("b", 1)):
        make_checkpoint("bert", tmp_path / folder, seed=seed)
    clf = make(model=tmp_path / "model", dropout=0.0)
    (tmp_path / "a").rename(tmp_path / "model")
    crash(clf, emails)
    (tmp_path / "model").rename(tmp_path / "a")
    (tmp_path / "b").rename(tmp_path / "model")
    clf.fit(*emails)
    assert Crash.epochs[0] == 1
    # And the same one in another place is the same.
    clf.set_params(model=tmp_path / "a").fit(*emails)
    assert Crash.epochs == [1, 2, 3, 4, 5, 4, 5]


# --- what stays on the disk -----------------------------------------------------------


def test_without_the_parameter_nothing_is_written(make, emails, tmp_path):
    crash(make(checkpoint_dir=None), emails)
    assert not (tmp_path / "states").exists()


def test_a_loss_that_is_not_finite_leaves_nothing(make, emails):
    clf = make(net_callbacks=[Spoil()])
    with pytest.raises(ValueError, match="loss became nan in epoch 3"):
        clf.fit(*emails)
    assert list(clf.checkpoint_dir.iterdir()) == []


def test_early_stopping_by_a_callback_leaves_nothing(make, emails):
    clf = make(net_callbacks=[Stop()]).fit(*emails)
    assert clf.n_iter_ == 3
    assert list(clf.checkpoint_dir.iterdir()) == []


def test_an_interrupted_fit_keeps_its_state(make, emails):
    whole = make(checkpoint_dir=None).fit(*emails)
    clf = make()
    Crash.epoch, Crash.error = 4, KeyboardInterrupt
    with pytest.warns(UserWarning, match="in epoch 4; .* continues after epoch 3."):
        clf.fit(*emails)
    assert clf.predict(emails[0]).shape == emails[1].shape
    Crash.epoch = None
    clf.fit(*emails)
    assert_equal(clf, whole, emails[0])
    assert list(clf.checkpoint_dir.iterdir()) == []


@pytest.mark.parametrize(
    "params", [{"warm_start": True}, {"random_state": np.random.RandomState(0)}]
)
def test_an_interrupted_fit_that_the_next_call_is_not_says_nothing_of_it(
    make, emails, params
):
    clf = make(**params)
    Crash.epoch, Crash.error = 4, KeyboardInterrupt
    with pytest.warns(UserWarning, match="without validation data.$"):
        clf.fit(*emails)
    Crash.epoch, Crash.epochs = None, []
    clf.fit(*emails)
    assert Crash.epochs == [1, 2, 3, 4, 5]


def test_frozen_weights_are_not_written(make, emails):
    make(trainable_layers=0, net_callbacks=[Take()]).fit(*emails)
    assert Take.names == {"weights", "optimizer", "random"}
    assert Take.bytes < 8000


def test_warnings_point_to_the_call_of_fit(make, emails, tmp_path, monkeypatch):
    clf = make()
    crash(clf, emails)
    states = files(clf)
    for path in states:
        path.write_bytes(b"")
    sync = os.fsync

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.warns(UserWarning) as record:
        clf.fit(*emails)
    monkeypatch.setattr("os.fsync", sync)
    states[0].parent.mkdir()
    with FileLock(states[0].parent / "lock"), pytest.warns(UserWarning) as second:
        clf.fit(*emails)
    said = [str(w.message) for w in (*record, *second)]
    words = ("is damaged", "is damaged", "not be written", "is going on elsewhere")
    assert all(word in text for word, text in zip(words, said, strict=True)), said
    assert {w.filename for w in (*record, *second)} == {__file__}


def test_verbose_says_that_it_goes_on(make, emails, capsys):
    clf = make()
    crash(clf, emails)
    clf.set_params(verbose=1).fit(*emails)
    assert capsys.readouterr().out.startswith("This fit continues after epoch 3.\n")


# --- many fits ------------------------------------------------------------------------


def test_the_processes_of_a_cross_validation_share_the_folder(make, emails):
    X, y = emails
    params = {"net_callbacks": None, "max_epochs": 3}
    clf = make(**params)
    scores = cross_val_score(clf, X, y, cv=3, n_jobs=2, error_score="raise")
    expected = cross_val_score(make(**params, checkpoint_dir=None), X, y, cv=3)
    np.testing.assert_array_equal(scores, expected)
    assert list(clf.checkpoint_dir.iterdir()) == []


def test_a_grid_search_goes_on_in_the_fold_that_was_broken_off(make, emails):
    X, y = emails
    grid = {"learning_rate": [1e-4, 1e-3]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise")
    # The second fit is broken off in its fourth epoch.
    Crash.epoch, Crash.error = 4, RuntimeError
    with pytest.raises(RuntimeError, match="crash"):
        search.fit(X, y)
    Crash.epoch, Crash.epochs = None, []
    search.fit(X, y)
    assert Crash.epochs == [4, 5] + 4 * [1, 2, 3, 4, 5]
    assert list(search.estimator.checkpoint_dir.iterdir()) == []


def test_tuned_thresholds_pass_the_parameter_on(make, emails):
    tuned = TunedThresholdsClassifierCV(make(), cv=0.3, random_state=0)
    with pytest.raises(RuntimeError, match="crash"):
        Crash.epoch, Crash.error = 4, RuntimeError
        tuned.fit(*emails)
    Crash.epoch, Crash.epochs = None, []
    tuned.fit(*emails)
    assert Crash.epochs == [4, 5, 1, 2, 3, 4, 5]
    assert list(tuned.estimator.checkpoint_dir.iterdir()) == []


# --- saved models ---------------------------------------------------------------------


def test_a_saved_model_does_not_know_the_folder(make, emails, tmp_path):
    make(max_epochs=1).fit(*emails).save_pretrained(tmp_path / "model")
    text = (tmp_path / "model" / "skbert.json").read_text()
    assert "checkpoint_dir" not in text
    loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path / "model")
    assert loaded.checkpoint_dir is None


# --- the best weights -----------------------------------------------------------------


def test_best_weights_are_a_copy():
    module = torch.nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    best = BestWeights()
    assert not best.offer(float("nan"), module)
    assert best.offer(0.5, module)
    kept = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.fill_(9.0)
    assert not best.offer(0.5, module)  # the first of two equals
    assert not best.offer(0.1, module)
    best.restore(module)
    torch.testing.assert_close(module.weight, kept)
    assert list(best.weights) == ["weight"]


def test_restoring_without_a_best_changes_nothing():
    module = torch.nn.Linear(2, 1)
    kept = module.weight.detach().clone()
    BestWeights().restore(module)
    torch.testing.assert_close(module.weight, kept)

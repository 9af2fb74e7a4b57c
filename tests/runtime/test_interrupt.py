"""Ctrl-C in a fit by itself, in a cross-validation, and callbacks that end a fit."""

import signal

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbert import (
    TransformerMultiLabelClassifier,
    TunedThresholdsClassifierCV,
    compare,
)
from skbert.runtime.interrupt import interrupts_are_raised, interrupts_raised


@pytest.fixture
def heeded():
    """Let SIGINT do what it does in a terminal.

    Shells ignore it in what they run in the background, these tests included.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def clf(tiny_bert):
    return TransformerMultiLabelClassifier(
        model=tiny_bert,
        max_length=64,
        max_epochs=3,
        batch_size=8,
        device="cpu",
        random_state=0,
    )


class PressCtrlC(Callback):
    """Presses Ctrl-C in the n-th forward pass of the model."""

    def __init__(self, n=1):
        self.n = n

    def on_train_begin(self, net, **kwargs):
        self.count_ = 0
        net.module_.register_forward_pre_hook(self.press)

    def press(self, module, args):
        self.count_ += 1
        if self.count_ == self.n:
            signal.raise_signal(signal.SIGINT)


class Stop(Callback):
    """Ends the training after an epoch, as skorch's EarlyStopping does."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_the_context_nests():
    assert not interrupts_are_raised()
    with interrupts_raised():
        with interrupts_raised():
            pass
        assert interrupts_are_raised()
    assert not interrupts_are_raised()


@pytest.mark.parametrize(("n", "epoch"), [(1, 1), (10, 2)])
def test_a_fit_that_is_interrupted_is_usable(heeded, clf, emails, n, epoch):
    X, y = emails
    clf.set_params(net_callbacks=[PressCtrlC(n)])
    with pytest.warns(UserWarning, match=f"interrupted in epoch {epoch};") as record:
        clf.fit(X, y)
    assert [w.filename for w in record] == [__file__]
    assert clf.n_iter_ == epoch
    assert np.isfinite(clf.predict_proba(X)).all()


class Watch(Callback):
    """Counts the complete batches, and keeps each epoch's weights."""

    n_batches = 0
    weights: list = []

    def on_batch_end(self, net, **kwargs):
        Watch.n_batches += 1

    def on_epoch_end(self, net, **kwargs):
        state = net.module_.state_dict()
        Watch.weights.append({name: w.clone() for name, w in state.items()})


def test_it_ends_a_batch_at_once_and_keeps_the_best_complete_epoch(
    heeded, clf, emails, monkeypatch
):
    monkeypatch.setattr(Watch, "n_batches", 0)
    monkeypatch.setattr(Watch, "weights", [])
    X, y = emails
    # An epoch has five batches, and then two of the validation data.
    clf.set_params(net_callbacks=[Watch(), PressCtrlC(5 + 2 + 2)])
    with pytest.warns(UserWarning, match="interrupted in epoch 2; its weights are"):
        clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert Watch.n_batches == 5 + 1
    (best,) = Watch.weights
    for name, weight in clf.net_.module_.state_dict().items():
        assert torch.equal(weight, best[name]), name


@pytest.mark.parametrize("n", [1, 10])
def test_one_fit_of_many_passes_the_interrupt_on(heeded, clf, emails, n):
    clf.set_params(net_callbacks=[PressCtrlC(n)])
    with pytest.raises(KeyboardInterrupt), interrupts_raised():
        clf.fit(*emails)
    assert not hasattr(clf, "net_")


def test_a_callback_that_ends_the_training_is_no_interrupt(clf, emails):
    clf.set_params(net_callbacks=[Stop()])
    with interrupts_raised():
        clf.fit(*emails)
    assert clf.n_iter_ == 1


@pytest.mark.parametrize("moment", ["tokenization", "frozen layers"])
def test_before_training_there_is_nothing_to_keep(
    heeded, clf, emails, moment, monkeypatch
):
    def press(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)

    if moment == "tokenization":
        monkeypatch.setattr("skbert.training.fit_plan.tokenize", press)
    else:
        monkeypatch.setattr("skbert.training.frozen_states.FrozenStates.append", press)
        clf.set_params(trainable_layers=1)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*emails)
    assert not hasattr(clf, "net_")


def test_a_comparison_ends(heeded, clf, emails):
    clf.set_params(net_callbacks=[PressCtrlC()])
    with pytest.raises(KeyboardInterrupt):
        compare({"a": clf}, *emails, cv=2)


def test_the_tuning_of_thresholds_ends(heeded, clf, emails):
    clf.set_params(net_callbacks=[PressCtrlC()])
    with pytest.raises(KeyboardInterrupt):
        TunedThresholdsClassifierCV(clf, cv=2).fit(*emails)


def test_no_signal_handler_is_installed(clf, emails):
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    clf.fit(*emails)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers

"""Interrupts: Ctrl-C and callbacks told apart; what fits of a cross-validation do."""

import os
import pickle
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from transformers import AutoConfig, AutoModel

from skbert import (
    TransformerMultiLabelClassifier,
    TunedThresholdsClassifierCV,
    compare,
)
from skbert.frozen_part import _give_back
from skbert.interrupt import interrupts_are_raised, interrupts_raised, is_ctrl_c
from skbert.losses import MultiLabelLoss
from skbert.structure import encoder_structure


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
    """Presses Ctrl-C when something happens for the n-th time."""

    def __init__(self, event, n=1):
        self.event = event
        self.n = n

    def initialize(self):
        self.count_ = 0
        setattr(self, self.event, self.press)
        return self

    def press(self, net, **kwargs):
        self.count_ += 1
        if self.count_ == self.n:
            signal.raise_signal(signal.SIGINT)


def caught(function):
    try:
        function()
    except KeyboardInterrupt as interrupt:
        return interrupt


def raise_it():
    raise KeyboardInterrupt


def raise_it_again():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        time.sleep(0)
        raise


def test_a_signal_is_told_from_a_raise_statement(heeded):
    assert not is_ctrl_c(caught(raise_it))
    assert is_ctrl_c(caught(lambda: signal.raise_signal(signal.SIGINT)))
    assert is_ctrl_c(caught(raise_it_again))


@pytest.mark.parametrize(
    "body", ["pass", "time.sleep(9)", "sorted(range(9999))", "f()"]
)
def test_it_comes_wherever_python_is(heeded, body):
    source = f"def f(): pass\ndef run():\n    while True:\n        {body}"
    names = {"time": time}
    exec(source, names)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert is_ctrl_c(caught(names["run"]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_context_nests():
    assert not interrupts_are_raised()
    with interrupts_raised():
        with interrupts_raised():
            pass
        assert interrupts_are_raised()
    assert not interrupts_are_raised()


EVENTS = [
    ("on_batch_end", 1, 1),
    ("on_batch_end", 10, 2),
    ("on_epoch_begin", 2, 2),
    ("on_epoch_end", 1, 1),
]


@pytest.mark.parametrize(("event", "n", "epoch"), EVENTS)
def test_a_fit_alone_returns_a_fitted_estimator(heeded, clf, emails, event, n, epoch):
    X, y = emails
    clf.set_params(net_callbacks=[PressCtrlC(event, n)])
    with pytest.warns(UserWarning, match=f"interrupted in epoch {epoch};") as record:
        clf.fit(X, y)
    assert [w.filename for w in record] == [__file__]
    assert clf.n_iter_ == epoch
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize(("event", "n", "epoch"), EVENTS)
def test_one_fit_of_many_does_not_swallow_it(heeded, clf, emails, event, n, epoch):
    clf.set_params(net_callbacks=[PressCtrlC(event, n)])
    with pytest.raises(KeyboardInterrupt), interrupts_raised():
        clf.fit(*emails)
    assert not hasattr(clf, "net_")


@pytest.fixture
def press_in(heeded):
    """Return what presses Ctrl-C in the first line of a function's n-th call."""

    def press(function, n):
        pressed = []

        def trace(frame, event, arg):
            nonlocal n
            n -= frame.f_code is function.__code__
            if n == 0:
                sys.settrace(before)
                pressed.append(function)
                signal.raise_signal(signal.SIGINT)

        sys.settrace(trace)
        return pressed

    before = sys.gettrace()
    yield press
    sys.settrace(before)


class Watch(Callback):
    """Counts the batches that were completed, and keeps each epoch's weights."""

    n_batches = 0
    weights: list = []

    def on_batch_end(self, net, **kwargs):
        Watch.n_batches += 1

    def on_epoch_end(self, net, **kwargs):
        state = net.module_.state_dict()
        Watch.weights.append({name: w.clone() for name, w in state.items()})


def test_it_ends_a_batch_at_once_and_keeps_the_best_complete_epoch(
    press_in, clf, emails, monkeypatch
):
    monkeypatch.setattr(Watch, "n_batches", 0)
    monkeypatch.setattr(Watch, "weights", [])
    X, y = emails
    clf.set_params(net_callbacks=[Watch()])
    # An epoch has five batches, and then the loss of the validation data.
    press_in(MultiLabelLoss.forward, n=5 + 1 + 2)
    with pytest.warns(UserWarning, match="interrupted in epoch 2; its weights are"):
        clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert Watch.n_batches == 5 + 1
    (best,) = Watch.weights
    for name, weight in clf.net_.module_.state_dict().items():
        assert torch.equal(weight, best[name]), name


MODES = (torch.is_grad_enabled, torch.get_default_device, torch.get_default_dtype)


@pytest.mark.parametrize("n", [1, 5, 13])
@pytest.mark.parametrize(
    ("function", "trainable_layers"),
    [
        (torch.autocast.__exit__, None),
        (torch.autocast.__exit__, 1),
        (torch.no_grad.__exit__, None),
        (torch.no_grad.__exit__, 0),
        (_give_back, 1),
        (_give_back, 0),
    ],
)
def test_in_the_end_of_a_context_it_leaves_nothing_changed(
    press_in, clf, emails, function, n, trainable_layers
):
    X, y = emails
    clf.set_params(trainable_layers=trainable_layers, precision="bf16")
    before = [mode() for mode in MODES]
    pressed = press_in(function, n)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            clf.fit(X, y)
        except KeyboardInterrupt:
            said.append("raised")
    assert pressed
    assert [mode() for mode in MODES] == before
    assert not torch.is_autocast_enabled("cpu")
    if said != ["raised"]:
        assert not any({"forward", "pool"} & vars(m).keys() for m in modules(clf))
        again = pickle.loads(pickle.dumps(clf))
        np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))


def modules(clf):
    return clf.net_.module_.modules()


def test_while_a_model_is_loaded_it_waits(heeded, tiny_bert, monkeypatch):
    heard_at = []

    def press(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # until it is heard
        heard_at.append(threading.current_thread())
        return from_config(*args, **kwargs)

    from_config = AutoModel.from_config
    monkeypatch.setattr(AutoModel, "from_config", press)
    with pytest.raises(KeyboardInterrupt):
        encoder_structure(AutoConfig.from_pretrained(tiny_bert))
    assert len(heard_at) == 1
    assert heard_at[0] is not threading.main_thread()
    assert torch.get_default_device().type == "cpu"
    assert torch.empty(0).device.type == "cpu"


@pytest.mark.parametrize("moment", ["tokenization", "frozen layers"])
def test_before_training_there_is_nothing_to_keep(
    heeded, clf, emails, moment, monkeypatch
):
    def press(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)

    if moment == "tokenization":
        monkeypatch.setattr("skbert.plan.tokenize", press)
    else:
        monkeypatch.setattr("skbert.frozen.FrozenStates.append", press)
        clf.set_params(trainable_layers=1)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*emails)
    assert not hasattr(clf, "net_")


def test_a_comparison_ends(heeded, clf, emails):
    clf.set_params(net_callbacks=[PressCtrlC("on_batch_end")])
    with pytest.raises(KeyboardInterrupt):
        compare({"a": clf}, *emails, cv=2)


def test_the_tuning_of_thresholds_ends(heeded, clf, emails):
    clf.set_params(net_callbacks=[PressCtrlC("on_batch_end")])
    with pytest.raises(KeyboardInterrupt):
        TunedThresholdsClassifierCV(clf, cv=2).fit(*emails)


def test_no_signal_handler_is_installed(clf, emails):
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    clf.fit(*emails)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers

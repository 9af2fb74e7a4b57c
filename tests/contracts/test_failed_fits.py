"""What a fit leaves behind that fails, and what an estimator does that is gone."""

import gc
import logging
import os
import tempfile
import warnings
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

import skbert.training.frozen_states

EVENTS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_batch_end",
    "on_grad_computed",
    "on_epoch_end",
    "on_train_end",
)


@pytest.fixture
def make(make):
    return partial(make, trainable_layers=1)


class Fail(Callback):
    """Raises an error at the n-th time of an event, and keeps no net alive."""

    def __init__(self, event, at, modules):
        self.event, self.at, self.modules = event, at, modules
        self.n_events = 0

    def __deepcopy__(self, memo):
        return Fail(self.event, self.at, self.modules)

    def _see(self, event, net):
        if event == "on_train_begin":
            self.modules.append(weakref.ref(net.module_))
            if self.event == "forward":
                net.module_.register_forward_hook(
                    lambda *args: self._see("forward", None)
                )
        if event == self.event:
            self.n_events += 1
            if self.n_events == self.at:
                raise ArithmeticError(f"an error at {event}")


for name in EVENTS:
    setattr(Fail, name, lambda self, net, event=name, **kwargs: self._see(event, net))


def process_state():
    """Return what a fit may change for a while and has to put back."""
    return (
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),  # noqa: NPY002 (the one that is left alone)
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        logging.getLogger("transformers").level,
        list(warnings.filters),
        dict(os.environ),
    )


def module_state(module):
    return [
        (name, p.requires_grad, p.grad is None, p.detach().clone().numpy().tolist())
        for name, p in module.named_parameters()
    ] + [
        (name, part.training, sorted(vars(part)))
        for name, part in module.named_modules()
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Let frozen layers' states go to a file, in a folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(skbert.training.frozen_states, "MEMORY_BYTES", 0)
    return tmp_path


def open_files(folder):
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return [link for link in links if str(folder) in os.path.realpath(link)]


def error_of_fit(clf, X, y):
    # Not pytest.raises: it keeps the error, whose traceback keeps the module.
    try:
        clf.fit(X, y, X_val=X[:20], y_val=y[:20])
    except ArithmeticError as error:
        return str(error)
    return "no error"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("at", "event"),
    [
        *((1, event) for event in (*EVENTS, "forward")),
        (2, "on_epoch_end"),
        (9, "forward"),  # in the scoring of the first epoch
        (13, "on_grad_computed"),
        (13, "on_batch_end"),
    ],
)
def test_a_fit_that_fails_leaves_everything_as_it_was(
    make, emails, folder, event, at, warm_start
):
    X, y = emails
    modules = []
    clf = make(warm_start=warm_start).fit(X, y)
    before, proba = vars(clf).copy(), clf.predict_proba(X)
    module = module_state(clf.net_.module_)
    clf.net_callbacks = [Fail(event, at, modules)]
    process = process_state()
    gc.collect()
    gc.disable()
    try:
        message = error_of_fit(clf, X, y)
        assert message == f"an error at {event}"
        assert process_state() == process
        assert not open_files(folder)
        assert not list(folder.iterdir())
        assert [ref() for ref in modules] == [None]
    finally:
        gc.enable()
    clf.net_callbacks = before["net_callbacks"]
    assert vars(clf) == before
    assert module_state(clf.net_.module_) == module
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    again = make(warm_start=warm_start).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), proba)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_estimator_that_is_gone_keeps_no_memory(make, emails, warm_start, precision):
    X, y = emails
    gc.collect()
    gc.disable()
    try:
        clf = make(
            warm_start=warm_start, precision=precision, validation_fraction=0.2
        ).fit(X, y)
        clf.predict_proba(X)
        modules = [weakref.ref(clf.net_.module_)]
        clf.fit(X, y)
        assert modules[0]() is None
        modules.append(weakref.ref(clf.net_.module_))
        tensors = [weakref.ref(p) for p in clf.net_.module_.parameters()]
        del clf
        assert [ref() for ref in modules] == [None, None]
        assert all(ref() is None for ref in tensors)
    finally:
        gc.enable()


def test_fit_after_fit_leaves_no_tensor_and_no_module(make, emails):
    X, y = emails

    def fit_and_count():
        make(validation_fraction=0.2).fit(X, y).predict_proba(X)
        gc.collect()
        kinds = torch.Tensor, torch.nn.Module, np.ndarray
        # Not isinstance: it asks proxies for their class, and some warn.
        return sum(issubclass(type(thing), kinds) for thing in gc.get_objects())

    fit_and_count()  # what is imported and cached on first use
    first = fit_and_count()
    assert [fit_and_count() for _ in range(3)] == [first] * 3

"""Errors that say that memory is used up, and what becomes of them.

Memory that is really capped is a fault of `tests.faults.memory`.
"""

import errno
import gc
import sqlite3
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbert.runtime.memory import is_out_of_memory, memory_errors

TOO_MANY = 2**58


def error_of(function, *args):
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 (whatever it is)
        function(*args)
    return caught.value


@pytest.mark.parametrize("allocate", [torch.empty, np.empty, bytearray])
def test_real_errors_are_known(allocate):
    assert is_out_of_memory(error_of(allocate, TOO_MANY))


@pytest.mark.parametrize(
    "error",
    [
        # There is no such device here, and no such system: what others report.
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.98 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("could not create a primitive"),
        RuntimeError("can't start new thread"),
    ],
    ids=str,
)
def test_errors_of_other_machines_are_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("The training loss became nan"),
        ValueError("y holds 7 in column 'out of memory'"),
        KeyError("out of memory"),
        sqlite3.OperationalError("out of memory"),
        RuntimeError("could not create a primitive descriptor for a matmul primitive"),
    ],
    ids=str,
)
def test_other_errors_are_left_alone(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as caught, memory_errors("It", "Wait."):
        raise error
    assert caught.value is error


def test_the_error_has_the_first_line_of_what_was_wrong_and_advice():
    cause = RuntimeError("CUDA error: out of memory.\nCompile with TORCH_USE_CUDA_DSA")
    with (
        pytest.raises(MemoryError) as caught,
        memory_errors("The fit", "Lower max_length."),
    ):
        try:
            raise cause
        except RuntimeError as error:
            raise ValueError("the model cannot be loaded") from error
    assert str(caught.value) == (
        "The fit ran out of memory (CUDA error: out of memory). Lower max_length."
    )
    assert caught.value.__cause__.__cause__ is cause


class Full:
    """A hook that stands for a GPU that is full, where there is none.

    It raises torch's own error for passes of more than so many texts.
    """

    def __init__(self, most):
        self.most = most
        self.sizes = []

    def __call__(self, module, args, kwargs):
        ids = kwargs["input_ids"]
        self.sizes.append(len(ids))
        if len(ids) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def make(make):
    return partial(make, max_epochs=1, learning_rate="auto", dropout=0.0)


def test_predictions_are_the_same_in_smaller_batches(make, emails):
    X, y = emails
    clf = make(precision="fp32").fit(X, y)
    expected = clf.predict_proba(X)
    full = Full(5)
    clf.net_.module_.encoder.register_forward_pre_hook(full, with_kwargs=True)
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=0, atol=1e-6)
    assert max(full.sizes) > 5
    fitted = [size for size in full.sizes if size <= 5]
    assert sum(fitted) == len(X)
    assert len(full.sizes) - len(fitted) <= 5  # no batch was tried in vain afterwards


def test_a_text_that_cannot_be_predicted_is_a_memory_error_with_advice(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    clf.net_.module_.encoder.register_forward_pre_hook(Full(0), with_kwargs=True)
    with pytest.raises(
        MemoryError, match=r"Prediction ran out of memory \(CUDA out of.*chunk_size"
    ) as caught:
        clf.predict_proba(X)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


class Fill(Callback):
    """Lets a fit run out of memory as `Full` says."""

    def on_train_begin(self, net, **kwargs):
        net.module_.encoder.register_forward_pre_hook(Full(0), with_kwargs=True)


def test_a_text_that_cannot_be_learned_is_a_memory_error_with_advice(make, emails):
    clf = make(net_callbacks=[Fill()])
    with (
        pytest.warns(UserWarning, match="Memory does not suffice"),
        pytest.raises(
            MemoryError,
            match=r"The fit ran out of memory \(CUDA out of.*batch_size would change",
        ),
    ):
        clf.fit(*emails)
    assert not hasattr(clf, "net_")


# --- on a GPU -------------------------------------------------------------------------


@pytest.fixture
def cap():
    """Give a function that caps the memory of the GPU at so many bytes."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    total = torch.cuda.get_device_properties("cuda").total_memory

    def cap(most=total):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / total))

    yield cap
    cap()


def take_the_rest():
    """Return tensors that fill what torch has from the GPU already."""
    taken, size = [], 2**24
    while size >= 512:
        try:
            taken.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            size //= 2
    return taken


@pytest.fixture
def on_a_gpu(cap, make):
    """Give a classifier that takes some hundred megabytes of a GPU, and its data."""
    X = ["the invoice and a crash " * 10] * 512
    y = np.eye(2, dtype=int)[np.arange(512) % 2]
    params = {"batch_size": 512, "max_epochs": 3, "max_length": 64}
    return make(device="cuda", precision="fp32", **params), X, y


def train_losses(clf):
    return [row["train_loss"] for row in clf.history_]


def test_a_fit_that_a_gpu_cannot_hold_learns_the_same_in_parts(cap, on_a_gpu):
    clf, X, y = on_a_gpu
    clf.fit(X, y)  # libraries take their workspaces for good
    del clf.net_
    cap()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    expected = train_losses(clf.fit(X, y))
    needed = torch.cuda.max_memory_allocated() - before
    del clf.net_
    cap(before + needed // 2)
    with pytest.warns(UserWarning, match="Memory does not suffice for 512") as caught:
        clf.fit(X, y)
    assert len(caught) == 1
    np.testing.assert_allclose(train_losses(clf), expected, rtol=1e-4)


def test_a_gpu_that_cannot_hold_one_text_leaves_the_classifier_as_it_was(cap, on_a_gpu):
    clf, X, y = on_a_gpu
    expected = clf.fit(X, y).predict_proba(X)
    net, history = clf.net_, clf.history_
    cap(1)
    taken = take_the_rest()
    for use in (lambda: clf.predict_proba(X), lambda: clf.fit(X, y)):
        with pytest.raises(MemoryError, match=r"ran out of memory \(CUDA out of"):
            use()
    del taken
    cap()
    assert clf.net_ is net
    assert clf.history_ is history
    np.testing.assert_array_equal(clf.predict_proba(X), expected)

"""Errors that say that memory is used up, and what becomes of them.

Memory that is really capped is a fault of `faults.memory`.
"""

import errno
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbert.out_of_memory import is_out_of_memory, memory_errors

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
    """A hook that stands for a GPU that is full: there is none here.

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

import numpy as np
import pytest
import torch

from skbert.inputs.targets import encode_targets
from skbert.tokens.batching import LabelledTokens, TrainingBatches
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import RaggedTokens
from skbert.training.device_dataset import ResidentSet, resident_set

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


@pytest.fixture
def dataset():
    """Rows of 0 to 11 tokens, partly unknown targets, sample weights."""
    rng = np.random.default_rng(0)
    lengths = np.append(rng.integers(0, 12, size=39), 11)
    tokens = RaggedTokens(
        rng.integers(5, 99, size=lengths.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.zeros(40, dtype=bool),
    )
    y = rng.integers(0, 2, size=(40, 3)).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    return LabelledTokens(tokens, encode_targets(y), rng.random(40))


def assert_same_batches(dataset, device, padding, **tolerance):
    options = {"batch_size": 7, "padding": padding, "seed": 0, "accumulation": 2}
    expected = list(TrainingBatches(dataset, **options))
    source = ResidentSet(dataset, device)
    found = list(TrainingBatches(dataset, source=source, **options))
    assert len(found) == len(expected) == 6
    for a, b in zip(found, expected, strict=True):
        assert a.ends_step == b.ends_step
        for name in ("input_ids", "attention_mask", "targets", "weights"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x.dtype, x.device.type) == (y.dtype, device.type)
            torch.testing.assert_close(x.cpu(), y, **tolerance)


@pytest.mark.parametrize(
    "padding",
    [Padding(3), Padding(3, 8), Padding(0, 8, 11), Padding(3, 4, left=True)],
    ids=str,
)
def test_batches_made_on_the_device_are_those_of_the_host(dataset, padding):
    assert_same_batches(dataset, torch.device("cpu"), padding, rtol=0, atol=0)


@needs_cuda
def test_batches_made_on_a_gpu(dataset):
    # A GPU multiplies by the inverse where a processor divides.
    cuda, padding = torch.device("cuda"), Padding(3, 8)
    assert_same_batches(dataset, cuda, padding, rtol=1e-6, atol=0)


def test_targets_without_sample_weights(dataset):
    plain = LabelledTokens(dataset.tokens, dataset.targets)
    source = ResidentSet(plain, torch.device("cpu"))
    rows = np.array([3, 1])
    for a, b in zip(
        source.gather(rows, Padding()), plain.gather(rows, Padding()), strict=True
    ):
        assert torch.equal(a, b)


def test_a_set_that_does_not_fit_stays_on_the_host(dataset, monkeypatch):
    """There is no GPU here, so that the error of a full one is raised on purpose."""

    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    device = torch.device("cpu")
    assert isinstance(resident_set(dataset, device), ResidentSet)
    monkeypatch.setattr(ResidentSet, "__init__", full)
    with pytest.warns(UserWarning, match="does not fit into the memory of the GPU"):
        assert resident_set(dataset, device) is None


def test_other_errors_are_raised(dataset, monkeypatch):
    def broken(*args):
        raise RuntimeError("CUDA driver error")

    monkeypatch.setattr(ResidentSet, "__init__", broken)
    with pytest.raises(RuntimeError, match="driver error"):
        resident_set(dataset, torch.device("cpu"))

import gc
import weakref

import numpy as np
import pytest
import torch

from skbert.prediction.batches import PredictionBatches
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import RaggedTokens

CPU = torch.device("cpu")


def ragged(lengths):
    ids = np.arange(sum(lengths), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return RaggedTokens(ids, offsets, np.zeros(len(lengths), bool))


def sums(ids, mask):
    return (ids * mask).sum(1)


class Full:
    """Sums that stand for a GPU that is full: there is none here.

    More tokens than so many raise torch's own error.
    """

    def __init__(self, most):
        self.most = most
        self.sizes, self.alive = [], []

    def __call__(self, ids, mask):
        assert not any(tensor() is not None for tensor in self.alive)
        self.sizes.append(ids.numel())
        product = ids * mask
        self.alive = [weakref.ref(product)]
        if ids.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return product.sum(1)


def results(compute, tokens):
    found = torch.full((len(tokens),), -1)
    batches = PredictionBatches(compute, padding=Padding(), device=CPU)
    for rows, result in batches.results(tokens):
        assert (found[torch.from_numpy(rows)] == -1).all()
        found[torch.from_numpy(rows)] = result
    return found.tolist()


LENGTHS = np.random.default_rng(0).integers(1, 40, size=300)


@pytest.mark.parametrize("most", [40, 100, 1000])
def test_batches_are_halved_until_they_fit_and_stay_so(most):
    tokens, full = ragged(LENGTHS), Full(most)
    gc.disable()  # what was computed in vain must go by itself
    try:
        assert results(full, tokens) == results(sums, tokens)
    finally:
        gc.enable()
    failed = [size > most for size in full.sizes]
    assert any(failed)
    # Once more at most, where more of shorter texts are as many tokens as the bound.
    assert sum(failed) <= failed.index(False) + 1


def test_the_bound_holds_for_what_comes_later():
    full = Full(100)
    batches = PredictionBatches(full, padding=Padding(), device=CPU)
    first = list(batches.results(ragged(LENGTHS)))
    n_first = len(full.sizes)
    second = list(batches.results(ragged(LENGTHS)))
    assert len(full.sizes) - n_first == len(second) >= len(first)


def test_a_single_text_that_does_not_fit_is_an_error():
    full = Full(30)
    with pytest.raises(torch.OutOfMemoryError):
        results(full, ragged([31] * 4))
    assert full.sizes == [4 * 31, 2 * 31, 31]


def test_other_errors_come_through():
    def fail(ids, mask):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        results(fail, ragged([3, 4]))

import copy

import pytest
import torch
from torch import nn

from skbert.embedding_gradients import EmbeddingGradients


class Model(nn.Module):
    """Looks words up in a vocabulary, and kinds in a table of two."""

    def __init__(self, n_words=5000):
        super().__init__()
        self.words = nn.Embedding(n_words, 8, padding_idx=0)
        self.kinds = nn.Embedding(2, 8)
        self.layer = nn.Linear(8, 3)

    def forward(self, ids):
        return self.layer(self.words(ids) + self.kinds(ids % 2)).square().sum()


def batches(n, n_words=5000):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, n_words, (4, 6), generator=generator) for _ in range(n)]


def train(model, collected, *, accumulation=1):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    seen = []
    for number, ids in enumerate(batches(6), start=1):
        with collected.collected():
            model(ids).backward()
        seen.append(model.words.weight.grad.clone())
        if number % accumulation == 0:
            optimizer.step()
            collected.clear()
            optimizer.zero_grad()
    return seen


class Nothing:
    """The dense gradients of torch."""

    def collected(self):
        return torch.enable_grad()

    def clear(self):
        pass


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_gradients_and_updates_are_those_of_dense_gradients(accumulation):
    torch.manual_seed(0)
    model = Model()
    twin = copy.deepcopy(model)
    found = train(model, EmbeddingGradients(model), accumulation=accumulation)
    expected = train(twin, Nothing(), accumulation=accumulation)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_repeated_run_is_equal_to_the_bit():
    torch.manual_seed(0)
    model = Model()
    twin = copy.deepcopy(model)
    train(model, EmbeddingGradients(model))
    train(twin, EmbeddingGradients(twin))
    assert torch.equal(model.words.weight, twin.words.weight)


def test_one_place_holds_the_gradient_of_all_steps():
    model = Model()
    collected = EmbeddingGradients(model)
    places = set()
    for ids in batches(3):
        with collected.collected():
            model(ids).backward()
        places.add(model.words.weight.grad.data_ptr())
        collected.clear()
        assert not model.words.weight.grad.any()
    assert len(places) == 1


def test_layers_are_as_they_were_outside_of_the_context():
    model = Model()
    collected = EmbeddingGradients(model)
    with pytest.raises(ZeroDivisionError), collected.collected():
        assert model.words.sparse
        raise ZeroDivisionError
    assert not model.words.sparse


def test_small_and_frozen_tables_are_left_alone():
    small, frozen = Model(n_words=100), Model()
    frozen.words.weight.requires_grad_(False)
    for model, n_words in ((small, 100), (frozen, 5000)):
        with EmbeddingGradients(model).collected():
            assert not model.words.sparse
            model(batches(1, n_words)[0]).backward()
        assert not model.kinds.weight.grad.is_sparse


def test_a_table_without_a_gradient_has_none():
    model = Model()
    with EmbeddingGradients(model).collected():
        model.layer(torch.zeros(8)).sum().backward()
    assert model.words.weight.grad is None


def test_a_table_with_two_uses_gets_the_sum_of_both():
    model = Model()
    collected = EmbeddingGradients(model)
    (ids,) = batches(1)

    def loss():
        return model(ids) + model.words.weight.square().sum()

    with collected.collected():
        loss().backward()
    found = model.words.weight.grad.clone()
    collected.clear()
    assert not model.words.weight.grad.any()
    model.zero_grad()
    loss().backward()
    torch.testing.assert_close(found, model.words.weight.grad)

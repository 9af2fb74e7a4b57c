import pytest
import torch
from torch import nn

from skbert.training.grad_buffers import EmbeddingBuffers


class Model(nn.Module):
    """Looks words up in a vocabulary, and kinds in a table of two."""

    def __init__(self, n_words=5000):
        super().__init__()
        self.words = nn.Embedding(n_words, 8, padding_idx=0)
        self.kinds = nn.Embedding(2, 8)
        self.layer = nn.Linear(8, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, ids):
        states = self.layer(self.words(ids) + self.kinds(ids % 2))
        with torch.autocast("cpu", enabled=False):
            return self.head(states.float()).square().sum()


def make(kind=Model, seed=0, **params):
    torch.manual_seed(seed)
    return kind(**params)


def batches(n, n_words=5000):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, n_words, (4, 6), generator=generator) for _ in range(n)]


def backward(call, ids):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = call(ids)
    loss.backward()


def train(model, with_buffers, *, accumulation=1, on_batch=lambda number: None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    buffers, seen = EmbeddingBuffers(model), []
    for number, ids in enumerate(batches(6), start=1):
        on_batch(number)
        if with_buffers:
            with buffers.collected():
                backward(model, ids)
        else:
            backward(model, ids)
        seen.append([None if p.grad is None else p.grad.clone() for p in parts(model)])
        if number % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
    return seen


def parts(model):
    return list(model.parameters())


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_gradients_and_weights_are_those_without_buffers(accumulation):
    model, twin = make(), make()
    found = train(model, True, accumulation=accumulation)
    expected = train(twin, False, accumulation=accumulation)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(parts(model), parts(twin))


def test_a_repeated_run_is_equal_to_the_bit():
    model, twin = make(), make()
    train(model, True)
    train(twin, True)
    assert torch.equal(model.words.weight, twin.words.weight)


def test_callbacks_may_change_weights_and_freeze_them():
    models = make(), make()
    for model, with_buffers in zip(models, (True, False), strict=True):

        def change(number, model=model):
            if number == 3:
                with torch.no_grad():
                    model.layer.weight.mul_(2)
                    model.words.weight.mul_(2)
            if number == 5:
                model.layer.weight.requires_grad_(False)
                model.words.weight.requires_grad_(False)

        seen = train(model, with_buffers, on_batch=change)
        assert seen[-1][0] is None and seen[-1][2] is None
    torch.testing.assert_close(parts(models[0]), parts(models[1]))


def test_one_place_holds_a_gradient_for_the_whole_fit():
    model = make()
    buffers, places = EmbeddingBuffers(model), set()
    for ids in batches(3):
        with buffers.collected():
            backward(model, ids)
        places.add(model.words.weight.grad.data_ptr())
        model.zero_grad()
    assert len(places) == 1


def test_the_module_is_as_it_was_outside_of_the_context():
    model = make()
    before = dict(model.named_parameters())
    with pytest.raises(ZeroDivisionError), EmbeddingBuffers(model).collected():
        assert model.words.sparse
        backward(model, batches(1)[0])
        raise ZeroDivisionError
    assert not model.words.sparse
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_small_and_frozen_tables_are_left_alone():
    small, frozen = make(n_words=100), make()
    frozen.words.weight.requires_grad_(False)
    for model, n_words in ((small, 100), (frozen, 5000)):
        with EmbeddingBuffers(model).collected():
            assert not model.words.sparse
            backward(model, batches(1, n_words)[0])
        assert not model.kinds.weight.grad.is_sparse


def test_what_is_not_used_has_no_gradient():
    model = make()
    with EmbeddingBuffers(model).collected():
        model.head(torch.zeros(6)).sum().backward()
    assert model.words.weight.grad is None
    assert model.layer.weight.grad is None


def test_a_table_with_two_uses_gets_the_sum_of_both():
    class Tied(Model):
        def forward(self, ids):
            return super().forward(ids) + self.words.weight.square().sum()

    model, twin = make(Tied), make(Tied)
    buffers = EmbeddingBuffers(model)
    for ids in batches(2):  # the second finds nothing left of the first
        model.zero_grad()
        twin.zero_grad()
        with buffers.collected():
            backward(model, ids)
        backward(twin, ids)
        torch.testing.assert_close(model.words.weight.grad, twin.words.weight.grad)


def test_tables_that_share_a_weight_leave_nothing_of_earlier_batches():
    class TwoStacks(Model):
        def __init__(self):
            super().__init__()
            self.more_words = nn.Embedding(5000, 8)
            self.more_words.weight = self.words.weight

        def forward(self, ids):
            return super().forward(ids) + self.more_words(ids + 1).square().sum()

    model, twin = make(TwoStacks), make(TwoStacks)
    buffers = EmbeddingBuffers(model)
    for ids in batches(3, n_words=4999):
        model.zero_grad()
        twin.zero_grad()
        with buffers.collected():
            backward(model, ids)
        backward(twin, ids)
        torch.testing.assert_close(model.words.weight.grad, twin.words.weight.grad)

import pytest
import torch
from torch import nn

from skbert.training.grad_buffers import StandIns


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


class Strict(Model):
    """Multiplies outside of autocast, where types must agree."""

    def forward(self, ids):
        with torch.autocast("cpu", enabled=False):
            return super().forward(ids)


def make(kind=Model, seed=0, **params):
    torch.manual_seed(seed)
    return kind(**params)


def stand_ins(model, dtype=torch.bfloat16):
    return StandIns(model, dtype, exact=model.head)


def batches(n, n_words=5000):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, n_words, (4, 6), generator=generator) for _ in range(n)]


def backward(call, ids):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = call(ids)
    loss.backward()


def train(model, with_stand_ins, *, accumulation=1, on_batch=lambda number: None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    replaced, seen = stand_ins(model), []
    for number, ids in enumerate(batches(6), start=1):
        on_batch(number)
        if with_stand_ins:
            with replaced.collected() as call:
                backward(call, ids)
        else:
            backward(model, ids)
        seen.append([None if p.grad is None else p.grad.clone() for p in parts(model)])
        if number % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
    return seen


def parts(model):
    return list(model.parameters())


@pytest.mark.parametrize("kind", [Model, Strict])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_gradients_and_weights_are_those_of_autocast(kind, accumulation):
    model, twin = make(kind), make(kind)
    found = train(model, True, accumulation=accumulation)
    expected = train(twin, False, accumulation=accumulation)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(parts(model), parts(twin))


def test_weights_of_linear_layers_are_equal_to_the_bit():
    # Rows of a table are added up in another order, weights are not.
    model, twin = make(), make()
    for seen in (model, twin):
        seen.words.weight.requires_grad_(False)
    train(model, True)
    train(twin, False)
    for ours, theirs in zip(parts(model), parts(twin), strict=True):
        assert torch.equal(ours, theirs)


def test_a_repeated_run_is_equal_to_the_bit():
    model, twin = make(), make()
    train(model, True)
    train(twin, True)
    assert torch.equal(model.words.weight, twin.words.weight)


def test_callbacks_may_change_weights_and_freeze_them():
    models = make(), make()
    for model, with_stand_ins in zip(models, (True, False), strict=True):

        def change(number, model=model):
            if number == 3:
                with torch.no_grad():
                    model.layer.weight.mul_(2)
                    model.words.weight.mul_(2)
            if number == 5:
                model.layer.weight.requires_grad_(False)
                model.words.weight.requires_grad_(False)

        seen = train(model, with_stand_ins, on_batch=change)
        assert seen[-1][0] is None and seen[-1][2] is None
    torch.testing.assert_close(parts(models[0]), parts(models[1]))


def test_one_place_holds_a_gradient_for_the_whole_fit():
    model = make()
    replaced, places = stand_ins(model), set()
    for ids in batches(3):
        with replaced.collected() as call:
            backward(call, ids)
        kept = (model.words.weight, model.layer.weight)
        places.add(tuple(weight.grad.data_ptr() for weight in kept))
        model.zero_grad()
    assert len(places) == 1


def test_products_are_computed_in_the_given_type():
    model, seen = make(), []
    model.layer.register_forward_hook(lambda layer, _, out: seen.append(layer.weight))
    with stand_ins(model).collected() as call:
        backward(call, batches(1)[0])
    assert seen[0].dtype == torch.bfloat16
    assert model.layer.weight.dtype == model.layer.weight.grad.dtype == torch.float32


def test_the_module_is_as_it_was_outside_of_the_context():
    model = make()
    before = dict(model.named_parameters())
    with pytest.raises(ZeroDivisionError), stand_ins(model).collected() as call:
        assert model.words.sparse
        backward(call, batches(1)[0])
        raise ZeroDivisionError
    assert not model.words.sparse
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_errors_of_the_module_come_through():
    class Broken(Model):
        def forward(self, ids):
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        with stand_ins(make(Broken)).collected() as call:
            call(batches(1)[0])


def test_an_interrupt_leaves_the_module_as_it_was():
    class Slow(Model):
        def forward(self, ids):
            raise KeyboardInterrupt

    model = make(Slow)
    before = dict(model.named_parameters())
    replaced = stand_ins(model)
    with pytest.raises(KeyboardInterrupt), replaced.collected() as call:
        call(batches(1)[0])
    assert all(p is before[name] for name, p in model.named_parameters())
    # Even where it comes between two layers, once the fit is over.
    replaced._stand_ins[0].take_over()
    assert any(p is not before[name] for name, p in model.named_parameters())
    replaced.give_back()
    assert all(p is before[name] for name, p in model.named_parameters())


def test_small_and_frozen_tables_are_left_alone():
    small, frozen = make(n_words=100), make()
    frozen.words.weight.requires_grad_(False)
    for model, n_words in ((small, 100), (frozen, 5000)):
        with stand_ins(model, None).collected() as call:
            assert not model.words.sparse
            backward(call, batches(1, n_words)[0])
        assert not model.kinds.weight.grad.is_sparse


def test_what_is_not_used_has_no_gradient():
    model = make()
    with stand_ins(model).collected():
        model.head(torch.zeros(6)).sum().backward()
    assert model.words.weight.grad is None
    assert model.layer.weight.grad is None


def test_a_table_with_two_uses_gets_the_sum_of_both():
    class Tied(Model):
        def forward(self, ids):
            return super().forward(ids) + self.words.weight.square().sum()

    model, twin = make(Tied), make(Tied)
    replaced = stand_ins(model)
    for ids in batches(2):  # the second finds nothing left of the first
        model.zero_grad()
        twin.zero_grad()
        with replaced.collected() as call:
            backward(call, ids)
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
    replaced = stand_ins(model)
    for ids in batches(3, n_words=4999):
        model.zero_grad()
        twin.zero_grad()
        with replaced.collected() as call:
            backward(call, ids)
        backward(twin, ids)
        torch.testing.assert_close(model.words.weight.grad, twin.words.weight.grad)

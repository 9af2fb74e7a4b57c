import copy
import gc
import math
import weakref
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from skbert.tokens.batching import Batch
from skbert.tokens.windows import Windows
from skbert.training.losses import MultiLabelLoss
from skbert.training.optimizer import linear_schedule, parameter_groups
from skbert.training.step import TrainingStep


class Bag(nn.Module):
    """A classifier small enough to compute by hand: embeddings, norm, head."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.Embedding(20, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        states = self.norm(self.embeddings(input_ids))
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return self.head((states * mask).sum(1) / mask.sum(1))


def make_batch(n, seed=0, scale=1.0, ends_step=True):
    g = torch.Generator().manual_seed(seed)
    return Batch(
        input_ids=torch.randint(0, 20, (n, 5), generator=g),
        attention_mask=torch.ones(n, 5, dtype=torch.int64),
        targets=torch.randint(0, 2, (n, 3), generator=g).float(),
        weights=torch.full((n, 3), scale / (3 * n)),
        ends_step=ends_step,
    )


def make_step(module, *, n_steps=10, warmup=0.0, rate=0.1, **kwargs):
    optimizer = torch.optim.SGD(module.parameters(), lr=rate)
    options = {
        "device": torch.device("cpu"),
        "precision": "fp32",
        "max_grad_norm": None,
    }
    return TrainingStep(
        module,
        MultiLabelLoss(),
        optimizer,
        linear_schedule(optimizer, n_steps, warmup),
        **(options | kwargs),
    )


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Bag()


def test_a_step_is_one_update_by_the_gradient(module):
    batch = make_batch(4)
    before = copy.deepcopy(module)
    expected = nn.functional.binary_cross_entropy_with_logits(
        before(batch.input_ids, batch.attention_mask), batch.targets
    )
    expected.backward()
    loss = make_step(module)(batch)
    assert loss.item() == pytest.approx(expected.item())
    assert not loss.requires_grad
    pairs = zip(module.parameters(), before.parameters(), strict=True)
    for new, old in pairs:
        torch.testing.assert_close(new, old - 0.1 * old.grad)
        assert new.grad is None


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_at_fp16_callbacks_see_gradients_that_are_not_scaled(module, max_grad_norm):
    """There is no GPU here: a scaler that is switched on multiplies on the CPU, too."""
    twin, seen = copy.deepcopy(module), []

    def look(batch):
        seen.append(module.head.weight.grad.clone())

    step = make_step(module, on_grad_computed=look, max_grad_norm=max_grad_norm)
    step.scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=1024.0)
    plain = make_step(twin, max_grad_norm=max_grad_norm)
    for seed in range(2):
        batches = [make_batch(4, seed, ends_step=False), make_batch(4, seed + 9)]
        for batch in batches:
            step(batch)
        # The last batch shows the gradients of all of its step.
        plain.module.zero_grad()
        for batch in batches:
            plain._backward(batch)
        expected = twin.head.weight.grad.clone()
        plain._finish(batches[-1])
        plain.pass_on(batches[-1])
        torch.testing.assert_close(seen[-1], expected)
    assert len(seen) == 2
    torch.testing.assert_close(module.head.weight, twin.head.weight)


def test_the_loss_falls(module):
    step, batch = make_step(module, n_steps=100, rate=0.5), make_batch(8)
    losses = [step(batch).item() for _ in range(50)]
    assert losses[-1] < 0.7 * losses[0]


def test_accumulated_halves_equal_the_whole(module):
    whole = copy.deepcopy(module)
    batch = make_batch(8)
    make_step(whole)(batch)
    step = make_step(module)
    for rows, ends in ((slice(0, 4), False), (slice(4, 8), True)):
        step(
            Batch(
                batch.input_ids[rows],
                batch.attention_mask[rows],
                batch.targets[rows],
                batch.weights[rows],
                ends_step=ends,
            )
        )
    for a, b in zip(module.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_optimizer_waits_for_the_end_of_the_step(module):
    before = [p.clone() for p in module.parameters()]
    make_step(module)(make_batch(4, ends_step=False))
    for new, old in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)


def test_gradients_are_clipped_to_the_norm(module):
    before = [p.detach().clone() for p in module.parameters()]
    make_step(module, rate=1.0, max_grad_norm=0.01)(make_batch(4, scale=1000.0))
    pairs = zip(module.parameters(), before, strict=True)
    moved = math.sqrt(sum((n - o).square().sum().item() for n, o in pairs))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_bf16_is_close_to_fp32(module):
    half = copy.deepcopy(module)
    batch = make_batch(16)
    exact = make_step(module)(batch)
    rounded = make_step(half, precision="bf16")(batch)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-2)
    assert rounded.item() != exact.item()


def test_gradients_are_shown_before_they_are_used(module):
    norms = []

    def look(batch):
        norms.append(float(module.head.weight.grad.norm()))

    make_step(module, on_grad_computed=look)(make_batch(4))
    assert len(norms) == 1
    assert norms[0] > 0


def test_the_module_runs_where_the_states_are_given(module):
    seen = []

    @contextmanager
    def given(states):
        seen.append(states)
        handle = module.register_forward_hook(lambda *args: seen.append("forward"))
        yield
        handle.remove()

    batch = make_batch(4)
    states = torch.ones(4, 5, 8)
    make_step(module, given=given)(replace(batch, states=states))
    assert seen[0] is states
    make_step(module, given=given)(batch)
    assert seen[1:] == ["forward", None, "forward"]


def test_the_schedule_rises_then_falls_to_zero(module):
    step = make_step(module, n_steps=20, warmup=0.25, rate=1.0)
    rates = []
    for _ in range(20):
        rates.append(step.optimizer.param_groups[0]["lr"])
        step(make_batch(2))
    np.testing.assert_allclose(rates[:6], [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    np.testing.assert_allclose(rates[5:], np.linspace(1.0, 1 / 15, 15))
    assert step.optimizer.param_groups[0]["lr"] == 0


def test_only_matrices_decay_and_the_head_has_its_own_rate(module):
    module.embeddings.weight.requires_grad_(False)
    groups = parameter_groups(
        module.named_parameters(),
        {"head.weight", "head.bias"},
        learning_rate=1.0,
        head_learning_rate=10.0,
        weight_decay=0.1,
    )
    seen = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert seen == {
        id(module.norm.weight): (1.0, 0.0),
        id(module.norm.bias): (1.0, 0.0),
        id(module.head.weight): (10.0, 0.1),
        id(module.head.bias): (10.0, 0.0),
    }


def test_parts_of_a_large_batch_make_the_same_update(module, monkeypatch):
    twin = copy.deepcopy(module)
    monkeypatch.setattr(
        "skbert.training.step._PART_TOKENS", 10
    )  # two rows of five tokens
    sizes = []
    module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    loss = make_step(module)(make_batch(5))
    monkeypatch.undo()
    assert loss.item() == pytest.approx(make_step(twin)(make_batch(5)).item())
    assert sizes == [2, 2, 1]
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


# --- out of memory --------------------------------------------------------------------


class Full:
    """A hook that stands for a GPU that is full: there is none here.

    Passes of more than so many texts raise torch's own error: in the forward pass, or
    in the backward pass, when some gradients are there.
    """

    def __init__(self, module, most, where="forward"):
        self.most, self.where = most, where
        self.sizes = []
        module.register_forward_hook(self)

    def __call__(self, module, inputs, logits):
        self.sizes.append(len(logits))
        if len(logits) <= self.most:
            return
        if self.where == "forward":
            self.fail()
        module.embeddings.weight.register_hook(self.fail)

    def fail(self, *args):
        if len(args) and self.sizes[-1] <= self.most:
            return
        raise torch.OutOfMemoryError("CUDA out of memory.")


def assert_same_weights(module, twin):
    for ours, theirs in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_a_step_that_does_not_fit_is_done_again_in_parts(module, accumulation, where):
    twin = copy.deepcopy(module)
    sizes = [2, 7, 8, 1, 2, 8]  # the first ones of a step fit
    batches = [
        make_batch(n, seed=i, ends_step=i % accumulation == accumulation - 1)
        for i, n in enumerate(sizes)
    ]
    full = Full(module, 3, where)
    step, plain = make_step(module), make_step(twin)
    with pytest.warns(UserWarning, match="Memory does not suffice for") as caught:
        losses = [step(batch).item() for batch in batches]
    assert len(caught) == 1
    assert losses == pytest.approx([plain(batch).item() for batch in batches])
    assert_same_weights(module, twin)
    # Tried twice in vain, with 7 or 8 texts and with 4; afterwards never again.
    assert sum(size > 3 for size in full.sizes) == 2
    assert step.schedule.last_epoch == plain.schedule.last_epoch


def test_texts_in_windows_are_never_divided(module):
    # The first text has so many windows that half of it is more than the mean.
    counts = torch.tensor([9, 1, 1, 1])
    batch = replace(make_batch(12), counts=counts, windows=Windows())
    batch = replace(batch, targets=batch.targets[:4], weights=batch.weights[:4])
    full = Full(module, 9)
    twin = copy.deepcopy(module)
    twin._forward_hooks.clear()
    with pytest.warns(UserWarning, match="does not suffice for 4 texts"):
        make_step(module)(batch)
    assert full.sizes == [12, 10, 9, 1, 1, 1]
    make_step(twin)(batch)
    assert_same_weights(module, twin)


def test_a_single_text_that_does_not_fit_is_an_error(module):
    full = Full(module, 0)
    with (
        pytest.warns(UserWarning, match="does not suffice for 5 texts"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        make_step(module)(make_batch(5))
    assert full.sizes == [5, 3, 2, 1]


def test_what_was_computed_is_gone_before_the_step_is_done_again(module):
    alive = []

    class Look(Full):
        def __call__(self, module, inputs, logits):
            assert not any(tensor() is not None for tensor in alive)
            alive.append(weakref.ref(logits))
            super().__call__(module, inputs, logits)

    gc.disable()
    try:
        Look(module, 4)
        with pytest.warns(UserWarning, match="does not suffice for 8 texts"):
            make_step(module)(make_batch(8))
    finally:
        gc.enable()


def test_callbacks_see_the_gradients_of_the_whole_step_once(module):
    seen = []
    Full(module, 4)

    def look(batch):
        seen.append((len(batch), module.head.weight.grad.clone()))

    twin = copy.deepcopy(module)
    twin._forward_hooks.clear()
    with pytest.warns(UserWarning, match="does not suffice for 8 texts"):
        make_step(module, on_grad_computed=look)(make_batch(8))
    batch = make_batch(8)
    MultiLabelLoss()(
        twin(batch.input_ids, batch.attention_mask), batch.targets, batch.weights
    ).backward()
    ((n_rows, gradient),) = seen
    assert n_rows == 8
    torch.testing.assert_close(gradient, twin.head.weight.grad)

import copy

import pytest
import torch

from skbert.models.configuration import load_config
from skbert.models.module import build_module
from skbert.training.optimizer import (
    continue_optimizer,
    linear_schedule,
    make_optimizer,
)

CPU = torch.device("cpu")


@pytest.fixture
def module(tiny_bert):
    return build_module(tiny_bert, load_config(tiny_bert), n_labels=3, pooling="mean")[
        0
    ]


def make(module, *, rate=0.1, recorded=False):
    return make_optimizer(
        module,
        learning_rate=rate,
        head_learning_rate=10 * rate,
        weight_decay=0.01,
        device=CPU,
        recorded=recorded,
    )


def update(module, optimizer):
    ids = torch.arange(8).reshape(2, 4)
    module.eval()(ids, torch.ones_like(ids)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_rates_in_tensors_follow_the_schedule_in_place(module):
    plain, recorded = make(copy.deepcopy(module)), make(module, recorded=True)
    schedules = [linear_schedule(o, 10, 0.2) for o in (plain, recorded)]
    tensors = [group["lr"] for group in recorded.param_groups]
    for _ in range(10):
        rates = [group["lr"] for group in plain.param_groups]
        torch.testing.assert_close(torch.stack(tensors), torch.tensor(rates))
        for optimizer, schedule in zip((plain, recorded), schedules, strict=True):
            optimizer.step()
            schedule.step()
    for group, tensor in zip(recorded.param_groups, tensors, strict=True):
        assert group["lr"] is tensor
        assert tensor == 0
    assert len({t.data_ptr() for t in tensors}) == len(tensors) == 4


def test_rates_in_tensors_update_alike(module):
    other = copy.deepcopy(module)
    for model, recorded in ((module, False), (other, True)):
        optimizer = make(model, rate=1e-3, recorded=recorded)
        schedule = linear_schedule(optimizer, 10, 0.2)
        for _ in range(3):
            update(model, optimizer)
            schedule.step()
    twin = dict(other.named_parameters())
    for name, parameter in module.named_parameters():
        # Attention does not depend on that: its gradient is rounding, blown up by Adam.
        if "key.bias" not in name:
            torch.testing.assert_close(twin[name], parameter, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recorded", [True, False])
def test_moments_are_taken_over_and_nothing_else(module, recorded):
    earlier = make(module, rate=0.5, recorded=not recorded)
    linear_schedule(earlier, 10, 0.2)
    update(module, earlier)
    optimizer = make(module, rate=0.1, recorded=recorded)
    before = [dict(group) for group in optimizer.param_groups]
    continue_optimizer(optimizer, earlier.state_dict())
    assert optimizer.param_groups == before
    linear_schedule(optimizer, 10, 0.0)
    assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx(
        [float(g["lr"]) for g in before]
    )
    for parameter, state in earlier.state.items():
        torch.testing.assert_close(optimizer.state[parameter], state)
        assert optimizer.state[parameter]["exp_avg"] is not state["exp_avg"]

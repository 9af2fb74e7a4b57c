import pytest
import torch
from torch import nn

from skbert.models.dropout import Dropout, use_fast_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_dropped_with_probability_p_and_the_others_scaled(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(300, 401, dtype=dtype)
    y = Dropout(p)(x)
    assert y.dtype == dtype
    kept = y != 0
    n = x.numel()
    assert abs(kept.sum().item() - n * (1 - p)) < 5 * (n * p * (1 - p)) ** 0.5
    assert torch.equal(y[kept], torch.full_like(y[kept], 1 / (1 - p)))


def test_rows_and_columns_and_calls_are_dropped_independently():
    torch.manual_seed(0)
    layer, x = Dropout(0.5), torch.ones(400, 400)
    first, second = (layer(x) > 0 for _ in range(2))
    both = torch.corrcoef(torch.stack([first.flatten(), second.flatten()]).float())
    assert both[0, 1].abs() < 0.02
    # Four neighbours come from one draw of 64 bits.
    for shift in range(1, 5):
        pair = torch.stack([first[:, :-shift].flatten(), first[:, shift:].flatten()])
        assert torch.corrcoef(pair.float())[0, 1].abs() < 0.02


def test_gradients_pass_where_elements_passed():
    torch.manual_seed(0)
    x = torch.randn(7, 9, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach() / x.detach())


def test_a_seed_repeats_the_mask():
    layer, x = Dropout(0.1), torch.ones(5, 3)
    answers = []
    for _ in range(2):
        torch.manual_seed(3)
        answers.append(layer(x))
    assert torch.equal(*answers)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything_can_be_dropped(p):
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(p)(x), x * (1 - p))


def test_eval_mode_changes_nothing():
    x = torch.randn(4, 5)
    assert Dropout(0.5).eval()(x) is x


def test_an_empty_batch_is_legal():
    assert Dropout(0.5)(torch.empty(0, 4)).shape == (0, 4)


def test_dropout_layers_are_replaced_wherever_they_are():
    inner = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2).eval())
    model = nn.Sequential(nn.Dropout(0.1), inner, nn.Dropout1d(0.3))
    use_fast_dropout(model)
    assert type(model[0]) is Dropout and model[0].p == 0.1 and model[0].training
    assert type(inner[1]) is Dropout and inner[1].p == 0.2 and not inner[1].training
    assert type(model[2]) is nn.Dropout1d
    assert str(model[0]) == "Dropout(p=0.1, inplace=False)"

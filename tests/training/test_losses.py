import math

import numpy as np
import pytest
import torch

from skbert.training.losses import MultiLabelLoss, balanced_pos_weight

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
ONES = torch.ones(2, 2)


def cell(loss, logit, target, **params):
    """Return the loss of one cell as a Python number."""
    value = MultiLabelLoss(loss, **params)(
        torch.tensor([[logit]]), torch.tensor([[target]]), torch.ones(1, 1)
    )
    return value.item()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_bce_is_the_negative_log_likelihood():
    expected = -sum(
        math.log(sigmoid(x) if y else 1 - sigmoid(x))
        for x, y in zip(LOGITS.flatten().tolist(), TARGETS.flatten(), strict=True)
    )
    assert MultiLabelLoss()(LOGITS, TARGETS, ONES).item() == pytest.approx(expected)


@pytest.mark.parametrize(("logit", "target"), [(1.5, 1.0), (1.5, 0.0), (-3.0, 1.0)])
def test_focal_is_its_formula(logit, target):
    p = sigmoid(logit) if target else 1 - sigmoid(logit)
    expected = -((1 - p) ** 3) * math.log(p)
    assert cell("focal", logit, target, gamma=3.0) == pytest.approx(expected, rel=1e-5)
    alpha = 0.25 if target else 0.75
    weighted = cell("focal", logit, target, gamma=3.0, alpha=0.25)
    assert weighted == pytest.approx(alpha * expected, rel=1e-5)


def test_focal_without_gamma_is_bce():
    assert cell("focal", -0.7, 1.0, gamma=0.0) == pytest.approx(cell("bce", -0.7, 1.0))


@pytest.mark.parametrize("logit", [1.5, -1.0, -4.0])
def test_asymmetric_is_its_formula(logit):
    p = sigmoid(logit)
    shifted = max(p - 0.05, 0)
    negative = -(shifted**4) * math.log(1 - shifted)
    positive = -((1 - p) ** 2) * math.log(p)
    assert cell("asymmetric", logit, 0.0) == pytest.approx(negative, rel=1e-5)
    assert cell("asymmetric", logit, 1.0, gamma_pos=2.0) == pytest.approx(positive)


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric"])
def test_pos_weight_scales_positives_only(loss):
    weight = torch.tensor([5.0])
    plain = {t: cell(loss, 0.3, t) for t in (0.0, 1.0)}
    assert cell(loss, 0.3, 1.0, pos_weight=weight) == pytest.approx(5 * plain[1.0])
    assert cell(loss, 0.3, 0.0, pos_weight=weight) == pytest.approx(plain[0.0])


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric"])
def test_a_cell_of_no_weight_has_no_gradient_whatever_its_logit(loss):
    logits = torch.tensor([[50.0, 1.0], [torch.inf, 1.0]], requires_grad=True)
    weights = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    value = MultiLabelLoss(loss)(logits, TARGETS, weights)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad[0, 0] == 0
    assert torch.isfinite(logits.grad[:, 1]).all()


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric"])
@pytest.mark.parametrize("logit", [-80.0, 80.0])
def test_extreme_logits_have_finite_losses_and_gradients(loss, logit):
    logits = torch.full((1, 2), logit, requires_grad=True)
    value = MultiLabelLoss(loss)(logits, torch.tensor([[0.0, 1.0]]), torch.ones(1, 2))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_half_precision_logits_give_a_float32_loss():
    loss = MultiLabelLoss()(LOGITS.bfloat16(), TARGETS, ONES)
    assert loss.dtype == torch.float32


def test_balanced_weights_are_capped():
    weights = balanced_pos_weight(np.array([50, 10, 1, 90]), np.full(4, 100))
    np.testing.assert_allclose(weights, [1, 9, 10, 1])
    assert weights.dtype == np.float32

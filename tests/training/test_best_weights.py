import torch

from skbert.training.best_weights import BestWeights


def test_best_weights_are_a_copy():
    module = torch.nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    best = BestWeights()
    assert not best.offer(float("nan"), module)
    assert best.offer(0.5, module)
    kept = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.fill_(9.0)
    assert not best.offer(0.5, module)  # the first of two equals
    assert not best.offer(0.1, module)
    best.restore(module)
    torch.testing.assert_close(module.weight, kept)
    assert list(best.weights) == ["weight"]


def test_restoring_without_a_best_changes_nothing():
    module = torch.nn.Linear(2, 1)
    kept = module.weight.detach().clone()
    BestWeights().restore(module)
    torch.testing.assert_close(module.weight, kept)

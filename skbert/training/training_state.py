"""What training changes in a net: the best weights, and the state after an epoch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from skbert.runtime.randomness import random_states, set_random_states
from skbert.training.fit_checkpoints import EpochState
from skbert.training.optimizer import continue_optimizer

__all__ = ["BestWeights", "put_back", "take_state"]


class BestWeights:
    """The trainable weights of the epoch with the best score, in CPU memory."""

    def __init__(self) -> None:
        self.score = -math.inf
        self.weights: dict[str, Tensor] = {}

    def offer(self, score: float, module: nn.Module) -> bool:
        """Keep a copy of the weights if ``score`` is the best so far; NaN never is."""
        if not score > self.score:
            return False
        self.score = score
        self.weights = {
            name: parameter.detach().to("cpu", copy=True)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        return True

    @torch.no_grad()
    def restore(self, module: nn.Module) -> None:
        """Put the best weights back, if any were kept."""
        parameters = dict(module.named_parameters())
        for name, weight in self.weights.items():
            parameters[name].copy_(weight)


def take_state(net: Any) -> EpochState:
    """Return the state that a net needs to continue after the current epoch.

    Parameters
    ----------
    net : MultiLabelNet

    Returns
    -------
    EpochState
        Without the frozen weights, which the checkpoint of the model holds.
    """
    tensors = {f"weights.{name}": t for name, t in _changing(net).items()}
    for index, moments in net.optimizer_.state_dict()["state"].items():
        for name, tensor in moments.items():
            tensors[f"optimizer.{index}.{name}"] = tensor
    for name, tensor in net.run_.best.weights.items():
        tensors[f"best.{name}"] = tensor
    for name, tensor in random_states(torch.device(net.device)).items():
        tensors[f"random.{name}"] = tensor
    facts = {
        "history": list(net.history),
        "best_score": net.run_.best.score,
        "scaler": net.run_.scaler.state_dict(),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()
    }
    return EpochState(len(net.history), tensors, facts)


@torch.no_grad()
def put_back(net: Any, state: EpochState) -> None:
    """Restore the state of a net that is about to train.

    Only tensors that training changes are written, so that the kept outputs of frozen
    layers stay valid.

    Parameters
    ----------
    net : MultiLabelNet
        Its history and its schedule are those of the state.
    state : EpochState
    """
    for name, tensor in _changing(net).items():
        tensor.copy_(state.tensors[f"weights.{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(state, "optimizer").items():
        index, key = name.split(".")
        moments.setdefault(int(index), {})[key] = tensor
    groups = net.optimizer_.state_dict()["param_groups"]
    continue_optimizer(net.optimizer_, {"state": moments, "param_groups": groups})
    net.run_.best.score = state.facts["best_score"]
    net.run_.best.weights = {
        name: tensor.clone() for name, tensor in _part(state, "best").items()
    }
    net.run_.scaler.load_state_dict(state.facts["scaler"])
    set_random_states(torch.device(net.device), _part(state, "random"))


def _part(state: EpochState, kind: str) -> dict[str, Tensor]:
    prefix = f"{kind}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.tensors.items()
        if name.startswith(prefix)
    }


def _changing(net: Any) -> dict[str, Tensor]:
    """Return the tensors that training changes: trained parameters and buffers."""
    module: nn.Module = net.module_
    trained = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    tensors: dict[str, Tensor] = {
        name: parameter
        for name, parameter in module.named_parameters()
        if id(parameter) in trained
    }
    # Other buffers are constants that the module computes by itself.
    kept = module.state_dict().keys()
    return tensors | {
        name: buffer for name, buffer in module.named_buffers() if name in kept
    }

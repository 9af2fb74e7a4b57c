"""Best weights: a copy of a module's weights at its best epoch, in memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["BestWeights"]


class BestWeights:
    """The trainable weights of the epoch with the best score, in CPU memory."""

    def __init__(self) -> None:
        self.score = -math.inf
        self.weights: dict[str, Tensor] = {}

    def offer(self, score: float, module: nn.Module) -> bool:
        """Keep a copy of the weights if ``score`` is the best; nan never is."""
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

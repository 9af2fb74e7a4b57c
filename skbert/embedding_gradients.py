"""Embedding gradients: of a vocabulary, only the rows that a batch has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EmbeddingGradients"]

# Fewer rows are quicker filled with zeros than sorted.
_FEWEST_ROWS = 4096


class EmbeddingGradients:
    """The gradients of trainable embeddings, kept from step to step.

    torch makes the gradient of a vocabulary anew for every batch: tens of megabytes of
    zeros for a few hundred rows. Here each has one place for the whole fit, in which
    these rows alone are written and cleared. Sums, norms and updates are those of
    dense gradients.

    Parameters
    ----------
    module : Module
        Its embeddings on other devices than the CPU stay as they are: GPUs write zeros
        fast, and a recorded step cannot sort.
    """

    def __init__(self, module: nn.Module) -> None:
        self._layers = [
            layer
            for layer in module.modules()
            if isinstance(layer, nn.Embedding)
            and layer.weight.requires_grad
            and layer.weight.device.type == "cpu"
            and layer.num_embeddings >= _FEWEST_ROWS
            and not layer.sparse
        ]
        self._sums = [torch.zeros_like(layer.weight) for layer in self._layers]
        self._rows: list[list[Tensor]] = [[] for _ in self._layers]

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Add up what backward passes inside of the context compute."""
        for layer in self._layers:
            layer.sparse = True
            layer.weight.grad = None  # what is there already is in the sum
        try:
            yield
        finally:
            for layer in self._layers:
                layer.sparse = False
        for layer, total, rows in zip(
            self._layers, self._sums, self._rows, strict=True
        ):
            gradient = layer.weight.grad
            if gradient is None:
                continue
            if gradient.is_sparse:
                gradient = gradient.coalesce()
                rows.append(gradient.indices()[0])
                total.index_add_(0, rows[-1], gradient.values())
            else:  # used for more than looking up
                rows.append(torch.arange(len(total)))
                total.add_(gradient)
            layer.weight.grad = total

    def clear(self) -> None:
        """Begin a new sum."""
        for total, rows in zip(self._sums, self._rows, strict=True):
            for some in rows:
                total.index_fill_(0, some, 0.0)
            rows.clear()

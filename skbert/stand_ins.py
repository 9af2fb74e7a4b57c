"""Stand-ins: what a training step reads instead of large parameters, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["StandIns"]

# Fewer rows are quicker filled with zeros than sorted.
_FEWEST_ROWS = 4096


class StandIns:
    """Leaves that stand for parameters while gradients are computed.

    The gradients of a step's batches are added up in a place that each parameter keeps
    for the whole fit; sums, norms and updates are those of the plain way. Spared is
    memory that would be asked for anew, filled and given back in every batch:

    - Weights of linear layers are read in the type of their products. Autocast makes a
      copy of each, and one of its gradient.
    - The gradient of a vocabulary is tens of megabytes of zeros and a few hundred rows.
      Here these rows alone are written and cleared.

    On other devices than the CPU nothing is replaced: their memory is fast, and
    recorded steps cannot sort.

    Parameters
    ----------
    module : Module
    dtype : torch.dtype or None
        Of the products under autocast; None without it.
    exact : Module, optional
        A linear layer whose products are not those of autocast.
    """

    def __init__(
        self,
        module: nn.Module,
        dtype: torch.dtype | None,
        exact: nn.Module | None = None,
    ) -> None:
        self._module = module
        self._stand_ins: dict[str, _StandIn] = {}
        for name, layer in module.named_modules():
            if not _is_trained_on_cpu(layer):
                continue
            key = f"{name}.weight"
            if isinstance(layer, nn.Embedding):
                if layer.num_embeddings >= _FEWEST_ROWS and not layer.sparse:
                    self._stand_ins[key] = _Table(layer)
            elif dtype is not None and layer is not exact:
                self._stand_ins[key] = _Weight(layer, dtype)

    @contextmanager
    def collected(self) -> Iterator[Callable[..., Tensor]]:
        """Yield what to call instead of the module; then add up the gradients."""
        stand_ins = list(self._stand_ins.values())
        for stand_in in stand_ins:
            stand_in.take_over()
        try:
            yield self._call
        finally:
            for stand_in in stand_ins:
                stand_in.give_back()
        for stand_in in stand_ins:
            stand_in.collect()

    def _call(self, *inputs: Tensor) -> Tensor:
        leaves = {name: stand_in.leaf for name, stand_in in self._stand_ins.items()}
        try:
            return functional_call(self._module, leaves, inputs)
        except RuntimeError:
            tables: dict[str, _StandIn] = {
                name: stand_in
                for name, stand_in in self._stand_ins.items()
                if isinstance(stand_in, _Table)
            }
            if len(tables) == len(self._stand_ins):
                raise
            # Some layer multiplies outside of autocast, where types must agree. What
            # is wrong in itself fails once more.
            self._stand_ins = tables
        return self._call(*inputs)


def _is_trained_on_cpu(layer: nn.Module) -> bool:
    # Not subclasses: these may do anything with their weights.
    if type(layer) not in (nn.Linear, nn.Embedding):
        return False
    weight: Any = layer.weight
    return weight.requires_grad and weight.device.type == "cpu"


class _StandIn:
    """What is read instead of a weight, and the place of the weight's gradient."""

    leaf: Tensor

    def take_over(self) -> None:
        """Become the weight as it is now; callbacks may change and freeze it."""
        raise NotImplementedError

    def give_back(self) -> None:
        """Leave the layer as it was."""

    def collect(self) -> None:
        """Add the gradient of the leaf to that of the weight."""
        raise NotImplementedError


class _Weight(_StandIn):
    """A copy in another type."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        self._weight = layer.weight
        self._total = torch.zeros_like(layer.weight)
        self.leaf = torch.zeros_like(layer.weight, dtype=dtype)

    @torch.no_grad()
    def take_over(self) -> None:
        """Copy the weight."""
        self.leaf.requires_grad_(self._weight.requires_grad)
        self.leaf.copy_(self._weight)

    def collect(self) -> None:
        """Add the gradient of the copy to that of the weight."""
        gradient, self.leaf.grad = self.leaf.grad, None
        if gradient is None:
            return
        if self._weight.grad is None:
            self._weight.grad = self._total.copy_(gradient)
        else:
            self._weight.grad.add_(gradient)


class _Table(_StandIn):
    """A leaf in the memory of an embedding, of which rows are looked up."""

    def __init__(self, layer: nn.Embedding) -> None:
        self._layer = layer
        self.leaf = layer.weight.detach()
        self._total = torch.zeros_like(layer.weight)
        self._rows: list[Tensor] = []  # those that are not zero

    def take_over(self) -> None:
        """Ask for gradients of the rows that are looked up."""
        self.leaf = self._layer.weight.detach()
        self.leaf.requires_grad_(self._layer.weight.requires_grad)
        self._layer.sparse = True

    def give_back(self) -> None:
        """Let the layer have gradients of all rows again."""
        self._layer.sparse = False

    def collect(self) -> None:
        """Add the gradient of the leaf to that of the weight."""
        gradient, self.leaf.grad = self.leaf.grad, None
        if gradient is None:
            return
        if self._layer.weight.grad is None:
            self._clear()
            self._layer.weight.grad = self._total
        total = self._layer.weight.grad
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            self._rows.append(gradient.indices()[0])
            total.index_add_(0, self._rows[-1], gradient.values())
        else:  # used for more than looking up
            self._rows.append(torch.arange(len(total)))
            total.add_(gradient)

    def _clear(self) -> None:
        for rows in self._rows:
            self._total.index_fill_(0, rows, 0.0)
        self._rows.clear()

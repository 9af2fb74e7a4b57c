"""Stand-ins: what a training step reads instead of large parameters, on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from skbert.runtime.memory import is_out_of_memory

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
      Here these rows alone are written and cleared. Not where layers share it.

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
        self._stand_ins: list[_StandIn] = []
        # Where several layers share a table, as those of T5's two stacks do, none knows
        # which rows of the gradient the others have written.
        holders = Counter(
            id(parameter)
            for part in module.modules()
            for parameter in part.parameters(recurse=False)
        )
        for layer in module.modules():
            if not _is_trained_on_cpu(layer):
                continue
            if isinstance(layer, nn.Embedding):
                large = layer.num_embeddings >= _FEWEST_ROWS
                if large and not layer.sparse and holders[id(layer.weight)] == 1:
                    self._stand_ins.append(_Table(layer))
            elif isinstance(layer, nn.Linear) and dtype and layer is not exact:
                self._stand_ins.append(_Weight(layer, dtype))

    @contextmanager
    def collected(self) -> Iterator[Callable[..., Tensor]]:
        """Yield what to call instead of the module; add its gradients up as they come.

        There may be several backward passes, with the weights as they are at first.
        """
        try:
            for stand_in in self._stand_ins:
                stand_in.take_over()
            yield self._call
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Leave the module as it was, wherever an interrupt came."""
        for stand_in in self._stand_ins:
            stand_in.give_back()

    @property
    def tables_only(self) -> bool:
        """Whether weights of linear layers are read as they are."""
        return all(isinstance(stand_in, _Table) for stand_in in self._stand_ins)

    def keep_tables_only(self) -> None:
        """Read the weights of linear layers as they are from now on."""
        self.give_back()
        self._stand_ins = [s for s in self._stand_ins if isinstance(s, _Table)]

    def _call(self, *inputs: Tensor) -> Tensor:
        try:
            return self._module(*inputs)
        except RuntimeError as error:
            if is_out_of_memory(error) or self.tables_only:
                raise
            # Some layer multiplies outside of autocast, where types must agree. What
            # is wrong in itself fails once more.
            self.keep_tables_only()
            for table in self._stand_ins:
                table.take_over()
        return self._call(*inputs)


def _is_trained_on_cpu(layer: nn.Module) -> bool:
    # Not subclasses: these may do anything with their weights.
    if type(layer) not in (nn.Linear, nn.Embedding):
        return False
    weight: Any = layer.weight
    return weight.requires_grad and weight.device.type == "cpu"


class _StandIn:
    """What is read instead of a layer's weight, and the place of its gradient."""

    def __init__(self, layer: nn.Linear | nn.Embedding) -> None:
        self._layer = layer
        self._weight = layer.weight
        self._total = torch.zeros_like(layer.weight)
        self._hook: RemovableHandle | None = None

    def take_over(self) -> None:
        """Become the weight as it is now; callbacks may change and freeze it."""
        leaf = self._make_leaf()
        if leaf.requires_grad:
            # Taken off afterwards: it would hold this object, which holds the leaf.
            self._hook = leaf.register_post_accumulate_grad_hook(self._collect)
        self._layer.weight = leaf

    def give_back(self) -> None:
        """Leave the layer as it was."""
        self._layer.weight = self._weight
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _make_leaf(self) -> nn.Parameter:
        raise NotImplementedError

    def _collect(self, leaf: Tensor) -> None:
        gradient, leaf.grad = leaf.grad, None
        if gradient is not None:
            self._add(gradient)

    def _add(self, gradient: Tensor) -> None:
        raise NotImplementedError


class _Weight(_StandIn):
    """A copy in another type."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(layer)
        self._leaf = nn.Parameter(torch.zeros_like(layer.weight, dtype=dtype))

    @torch.no_grad()
    def _make_leaf(self) -> nn.Parameter:
        self._leaf.copy_(self._weight)
        self._leaf.requires_grad_(self._weight.requires_grad)
        return self._leaf

    def _add(self, gradient: Tensor) -> None:
        if self._weight.grad is None:
            self._weight.grad = self._total.copy_(gradient)
        else:
            self._weight.grad.add_(gradient)


class _Table(_StandIn):
    """A leaf in the memory of an embedding, of which rows are looked up."""

    _layer: nn.Embedding

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__(layer)
        self._rows: list[Tensor] = []  # those that are not zero

    def take_over(self) -> None:
        """Ask for gradients of the rows that are looked up."""
        super().take_over()
        self._layer.sparse = True

    def give_back(self) -> None:
        """Let the layer have gradients of all rows again."""
        super().give_back()
        self._layer.sparse = False

    def _make_leaf(self) -> nn.Parameter:
        trained = self._weight.requires_grad
        return nn.Parameter(self._weight.detach(), requires_grad=trained)

    def _add(self, gradient: Tensor) -> None:
        if self._weight.grad is None:
            self._clear()
            self._weight.grad = self._total
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            self._rows.append(gradient.indices()[0])
            self._weight.grad.index_add_(0, self._rows[-1], gradient.values())
        else:  # used for more than looking up
            self._rows.append(torch.arange(len(self._total)))
            self._weight.grad.add_(gradient)

    def _clear(self) -> None:
        for rows in self._rows:
            self._total.index_fill_(0, rows, 0.0)
        self._rows.clear()

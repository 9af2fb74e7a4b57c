"""One training step: forward, backward and update, in parts if memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from skbert.runtime.cuda_graphs import give_back_memory
from skbert.runtime.device import autocast
from skbert.runtime.memory import is_out_of_memory
from skbert.runtime.warn import warn_user
from skbert.tokens.batching import Batch

__all__ = ["TrainingStep"]


# Tokens, including padding, that go through a model at once on the CPU. More of them do
# not fit into the cache and take memory. With MiniLM, 2,048 tokens are some 3% faster
# than 768 but take 230 MB more (docs/performance.md).
_PART_TOKENS = 768


class TrainingStep:
    """Forward, loss, backward, clip, update, schedule: the eager reference.

    Where memory runs out, the gradients since the last update are computed once more,
    in parts of half the size, and from then on all in parts of that size. The result
    is the same within rounding, but for dropout, which draws other masks.

    Parameters
    ----------
    module : Module
        Called with ``(input_ids, attention_mask)``; returns logits.
    loss : Module
        Called with ``(logits, targets, weights)``; returns a sum.
    optimizer : Optimizer
    schedule : LambdaLR
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    max_grad_norm : float or None
    on_grad_computed : callable, optional
        Called with each batch when its gradients are computed, before the update. At
        fp16 it is called for the last batch of an optimizer step only.
    given : callable, optional
        Called with the states of a batch, or None. Returns the context in which the
        module starts from these states.
    collected : callable, optional
        Returns the context in which the gradients of a batch are computed. See
        `EmbeddingBuffers.collected`.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: nn.Module,
        optimizer: Optimizer,
        schedule: LambdaLR,
        *,
        device: torch.device,
        precision: str,
        max_grad_norm: float | None,
        on_grad_computed: Callable[[Batch], None] | None = None,
        given: Callable[[Tensor | None], AbstractContextManager] = nullcontext,
        collected: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.device = device
        self.precision = precision
        self.max_grad_norm = max_grad_norm
        self.on_grad_computed = on_grad_computed
        self.given = given
        self.collected = collected
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        # Recorded steps write gradients to fixed addresses.
        self.keeps_gradients = False
        # A GPU has the memory, and is faster with few launches.
        self._part_tokens = math.inf if device.type == "cuda" else _PART_TOKENS
        self._has_warned = False
        # Batches of the current optimizer step whose gradients are computed already.
        self._waiting: list[Batch] = []
        # Only fp16 has too few exponent bits for gradients.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def __call__(self, batch: Batch) -> Tensor:
        """Train on one batch; return its loss, still on the device."""
        batch = batch.to(self.device)
        loss = self._try_gradients([batch])
        while loss is None:
            give_back_memory()
            self._clear_gradients()
            loss = self._try_gradients([*self._waiting, batch])
        self._finish(batch)
        self.pass_on(batch)
        return loss

    def compute(self, batch: Batch) -> Tensor:
        """Do the part of a step that runs on the device; keep the learning rates.

        Parameters
        ----------
        batch : Batch
            A batch on the device.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        loss = self._gradients(batch)
        self._finish(batch)
        return loss

    def pass_on(self, batch: Batch) -> None:
        """Do the part of a step after `compute` that does not run on the device.

        Parameters
        ----------
        batch : Batch
            The batch of `compute`. It must not be changed afterwards.
        """
        if batch.ends_step:
            self._waiting.clear()
            self.schedule.step()
        else:
            self._waiting.append(batch)

    def _try_gradients(self, batches: list[Batch]) -> Tensor | None:
        """Return the last batch's loss; None if it has to be tried in smaller parts."""
        loss = None
        for batch in batches:
            try:
                loss = self._gradients(batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if not self._halve_parts(batch):
                    raise
                # The caller tries again after this block, because the traceback of the
                # error keeps what the parts have computed.
                return None
        return loss

    def _halve_parts(self, batch: Batch) -> bool:
        """Halve the size of parts; return whether that is possible."""
        part = next(batch.parts(self._part_tokens))
        if len(part) == 1:
            return False
        # The mean of the batch counts, because other texts may have more windows.
        self._part_tokens = (len(part) + 1) // 2 * batch.tokens_per_row
        if not self._has_warned:
            self._has_warned = True
            warn_user(
                f"Memory does not suffice for {len(part)} texts at once. From now on "
                "they go through the model in smaller parts. The results are the same "
                "except for new dropout masks, but it is slower.",
            )
        return True

    def _gradients(self, batch: Batch) -> Tensor:
        """Add up the gradients of a batch; return its loss."""
        loss = torch.zeros((), dtype=torch.float32, device=self.device)
        with self.collected():
            for part in batch.parts(self._part_tokens):
                loss += self._backward(part)
        return loss

    def _finish(self, batch: Batch) -> None:
        """Show the gradients and use them."""
        if batch.ends_step:
            self.scaler.unscale_(self.optimizer)  # does nothing but at fp16
        # Gradients can be unscaled once per step, so that at fp16 those of the batches
        # before the last are never shown.
        is_true = batch.ends_step or not self.scaler.is_enabled()
        if self.on_grad_computed is not None and is_true:
            self.on_grad_computed(batch)
        if batch.ends_step:
            self._update()

    def _backward(self, batch: Batch) -> Tensor:
        with autocast(self.device, self.precision), self.given(batch.states):
            logits = self.module(batch.input_ids, batch.attention_mask)
        logits = batch.per_text(logits.float())
        loss = self.loss(logits, batch.targets, batch.weights)
        self.scaler.scale(loss).backward()
        return loss.detach()

    def _update(self) -> None:
        if self.max_grad_norm is not None:
            self._clip(self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._clear_gradients()

    def _clear_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=not self.keeps_gradients)

    def _clip(self, largest: float) -> None:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = get_total_norm(gradients)
        # Reading the norm would wait for a GPU. On a CPU most steps need no change.
        if self.device.type == "cuda" or norm > largest:
            clip_grads_with_norm_(self.parameters, largest, norm)

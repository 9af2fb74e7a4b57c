"""Predictions that are recorded as one CUDA graph for each shape of a batch.

See `skbert.runtime.cuda_graphs` for the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from skbert.runtime.cuda_graphs import ONE_RECORDING, RecordedShapes, Recorder

__all__ = ["GraphedForward"]

# Batches of one shape that run eagerly before the shape is recorded. A prediction has a
# third of a training step's kernel launches, and large batches hide them.
_EAGER_PREDICTIONS = 8


class GraphedForward:
    """A forward pass that is recorded once for each shape of a batch.

    Parameters
    ----------
    forward : callable
        Function of ``(input_ids, attention_mask)`` on the device that returns logits.
    record : callable
        A `CudaRecorder`, or a replacement in tests.
    """

    def __init__(
        self, forward: Callable[[Tensor, Tensor], Tensor], *, record: Recorder
    ) -> None:
        self._forward = forward
        self._recorder = record
        self._shapes: RecordedShapes[_RecordedForward] = RecordedShapes(
            _EAGER_PREDICTIONS, "Prediction"
        )

    @property
    def n_shapes(self) -> int:
        """Number of recorded shapes."""
        return len(self._shapes)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits; the next batch of this shape may write over them.

        Shape: (batch_size, seq_len) twice -> (batch_size, n_labels)
        """
        with ONE_RECORDING:
            recorded = self._shapes.get(
                tuple(input_ids.shape), partial(self._record, input_ids)
            )
            if recorded is not None:
                return recorded(input_ids, attention_mask)
        return self._forward(input_ids, attention_mask)

    def _record(self, input_ids: Tensor) -> _RecordedForward:
        return _RecordedForward(self._forward, input_ids, self._recorder)

    def release(self) -> None:
        """Free the recordings and their memory."""
        self._shapes.clear()


class _RecordedForward:
    """A forward pass of one shape, with the memory that it reads and writes."""

    def __init__(
        self,
        forward: Callable[[Tensor, Tensor], Tensor],
        input_ids: Tensor,
        record: Recorder,
    ) -> None:
        self._ids = ids = torch.zeros_like(input_ids)
        self._mask = mask = torch.zeros_like(input_ids)
        mask[:, 0] = 1
        self._logits = result = forward(ids, mask)
        self._replay = record(
            lambda: result.copy_(forward(ids, mask)), lambda: forward(ids, mask)
        )

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits, shape (batch_size, n_labels)."""
        self._ids.copy_(input_ids, non_blocking=True)
        self._mask.copy_(attention_mask, non_blocking=True)
        self._replay()
        return self._logits

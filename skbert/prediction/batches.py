"""Prediction batches: ragged tokens -> what is computed of them, as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from skbert.runtime.cuda_graphs import give_back_memory
from skbert.runtime.memory import is_out_of_memory
from skbert.runtime.threads import in_shared_thread
from skbert.tokens.batching import prediction_rows, prediction_tokens, sent
from skbert.tokens.padding import Padding, pad
from skbert.tokens.tokenization import RaggedTokens

__all__ = ["PredictionBatches"]

Result = TypeVar("Result")


class PredictionBatches(Generic[Result]):
    """Computes something of each batch; halves the batches where memory runs out.

    Parameters
    ----------
    compute : callable
        Called with ``(input_ids, attention_mask)`` on the device.
    padding : Padding
    device : torch.device
    """

    def __init__(
        self,
        compute: Callable[[Tensor, Tensor], Result],
        *,
        padding: Padding,
        device: torch.device,
    ) -> None:
        self._compute = compute
        self._padding = padding
        self._device = device
        self._max_tokens = prediction_tokens(device)

    def results(self, tokens: RaggedTokens) -> Iterator[tuple[np.ndarray, Result]]:
        """Yield the rows of one batch after the other, and what is computed of them.

        Parameters
        ----------
        tokens : RaggedTokens
        """
        n_done = 0
        while n_done < len(tokens):
            for rows in prediction_rows(
                tokens,
                max_tokens=self._max_tokens,
                padding=self._padding,
                start=n_done,
            ):
                result = self._try(*pad(tokens, rows, self._padding))
                if result is None:
                    break  # the rest in smaller batches
                yield rows, result
                n_done += len(rows)

    def _try(self, ids: Tensor, mask: Tensor) -> Result | None:
        """Return what is computed; None if memory ran out, with a lower bound."""
        try:
            inputs = sent(ids, self._device), sent(mask, self._device)
            if self._device.type == "cpu":
                return in_shared_thread(self._compute, *inputs)
            return self._compute(*inputs)
        except Exception as error:
            if not is_out_of_memory(error) or len(ids) == 1:
                raise
        # Not in the handler: the error's traceback holds what was computed so far.
        give_back_memory()
        self._max_tokens = ids.numel() // 2
        return None

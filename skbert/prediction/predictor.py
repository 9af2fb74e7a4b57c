"""Prediction of logits, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from skbert.prediction.batches import PredictionBatches
from skbert.prediction.graphs import GraphedForward
from skbert.runtime.cuda_graphs import Recorder
from skbert.runtime.device import autocast
from skbert.runtime.memory import is_out_of_memory
from skbert.runtime.quiet import quiet_transformers
from skbert.tokens.batching import prediction_tokens, sent
from skbert.tokens.few_shapes import forward_in_few_shapes
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import RaggedTokens, Tokens

__all__ = ["Predictor", "working_precision"]

# Maximum number of logits of windows that wait to be pooled. At 4 bytes each they take
# 134 MB. 16,384 texts of 8 windows with 2,048 labels would take 1 GB.
_UNPOOLED_LOGITS = 2**25


class Predictor:
    """Predicts the logits of texts that come in several parts.

    This is a context manager, which frees the memory of recorded predictions.

    Parameters
    ----------
    module : Module
        A network in eval mode.
    n_labels : int
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    record : callable, optional
        Recorder of forward passes, such as `CudaRecorder`.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        n_labels: int,
        padding: Padding,
        device: torch.device,
        precision: str,
        record: Recorder | None = None,
    ) -> None:
        self._n_labels = n_labels
        self._device = device
        # A partial and not a method, which would make a cycle of references that keeps
        # the module alive until the garbage collector runs.
        forward = partial(_forward, module, device, precision)
        if device.type == "cpu":
            # In half precision the code for a shape takes a hundred times the memory.
            is_half = precision != "fp32"
            padding = replace(padding, relative=is_half)
            numbers = 2 if is_half else 4
            budget = prediction_tokens(device)
            forward = partial(forward_in_few_shapes, forward, padding, budget, numbers)
        self._graphs = None
        if record is not None:
            self._graphs = GraphedForward(forward, record=record)
        self._batches = PredictionBatches(
            self._graphs or forward, padding=padding, device=device
        )

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *error) -> None:
        if self._graphs is not None:
            self._graphs.release()

    @torch.inference_mode()
    def logits(self, tokens: Tokens) -> np.ndarray:
        """Compute the logits of some texts.

        Parameters
        ----------
        tokens : RaggedTokens or WindowedTokens

        Returns
        -------
        ndarray of shape (n_texts, n_labels), float32
            Logits in the order of ``tokens``. The device holds one batch at a time and
            the logits, which are read when all are computed. For texts in windows,
            parts of the texts bound the memory.
        """
        if isinstance(tokens, RaggedTokens):
            return self._of_sequences(tokens).numpy()
        logits = np.empty((len(tokens), self._n_labels), dtype=np.float32)
        for rows in _parts(tokens.offsets, max(1, _UNPOOLED_LOGITS // self._n_labels)):
            part, counts = tokens.take(rows), torch.from_numpy(tokens.counts_of(rows))
            by_window = self._of_sequences(part.sequences)
            logits[rows] = tokens.windows.pool(by_window, counts).numpy()
        return logits

    def _of_sequences(self, sequences: RaggedTokens) -> Tensor:
        """Return the logits on the CPU, shape (n_sequences, n_labels), float32."""
        shape = len(sequences), self._n_labels
        logits = torch.empty(shape, dtype=torch.float32, device=self._device)
        with quiet_transformers():
            for rows, part in self._batches.results(sequences):
                logits[sent(torch.from_numpy(rows), self._device)] = part
        return logits.cpu()


def _forward(
    module: nn.Module,
    device: torch.device,
    precision: str,
    input_ids: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    with autocast(device, precision):
        return module(input_ids, attention_mask).float()


def _parts(offsets: np.ndarray, max_windows: int) -> Iterator[np.ndarray]:
    """Yield groups of texts with at most so many windows, or one text with more.

    Shape: (n_texts + 1,) -> (n_rows,) each
    """
    start = 0
    while start < len(offsets) - 1:
        end = np.searchsorted(offsets, offsets[start] + max_windows, side="right") - 1
        end = max(start + 1, int(end))
        yield np.arange(start, end)
        start = end


@torch.inference_mode()
def working_precision(
    module: nn.Module,
    *,
    padding: Padding,
    device: torch.device,
    precision: str,
    asked: str,
) -> str:
    """Return the precision at which a model works.

    A few architectures, such as DeBERTa v1, overflow in half precision, because they
    fill masks with the least number of another type. A text of one token shows it.

    Parameters
    ----------
    module : Module
        A network on ``device``.
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
        Precision to try.
    asked : {"auto", "fp32", "bf16", "fp16"}
        Precision that the user asked for.

    Raises
    ------
    ValueError
        If the model does not work at the precision that was asked for.
    """
    if precision == "fp32":
        return precision
    ids = torch.full((1, padding.width(1)), padding.pad_id, device=device)
    training = module.training
    module.eval()
    try:
        _forward(module, device, precision, ids, torch.ones_like(ids))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        if asked == "auto":
            return "fp32"
        raise ValueError(
            f"precision={precision!r} does not work with this model ({error}); use "
            "precision='auto' or 'fp32'."
        ) from error
    finally:
        module.train(training)
    return precision

"""Inference: ragged tokens -> logits, sorted by length inside, in order outside."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skbert.batching import Padding, pad, prediction_rows, prediction_tokens, sent
from skbert.checkpoint import quiet_transformers
from skbert.device import autocast
from skbert.graphs import GraphedForward
from skbert.recorder import Recorder
from skbert.tokenization import Tokens

__all__ = ["Predictor", "working_precision"]


class Predictor:
    """Predicts ragged tokens, part after part; what it records serves all parts.

    A context manager, which gives the memory of its recordings back.

    Parameters
    ----------
    module : Module
        In eval mode.
    n_labels : int
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    record : callable, optional
        Records the forward passes of shapes that come often, as `CudaRecorder` does.
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
        self._module = module
        self._n_labels = n_labels
        self._padding = padding
        self._device = device
        self._precision = precision
        self._graphs = None
        if record is not None:
            self._graphs = GraphedForward(self._forward, record=record)

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
            In the order of ``tokens``. Only one batch at a time is on the device, and
            the logits, which are read when all of them are there.
        """
        forward = self._graphs or self._forward
        sequences, counts = tokens.sequences, tokens.counts_of(np.arange(len(tokens)))
        logits = torch.empty(len(sequences), self._n_labels, device=self._device)
        budget = prediction_tokens(self._device)
        batches = prediction_rows(sequences, max_tokens=budget, padding=self._padding)
        with quiet_transformers():
            for rows in batches:
                ids, mask = pad(sequences, rows, self._padding)
                batch = sent(ids, self._device), sent(mask, self._device)
                logits[sent(torch.from_numpy(rows), self._device)] = forward(*batch)
        logits = logits.cpu()
        if tokens.windows is not None:
            logits = tokens.windows.pool(logits, torch.from_numpy(counts))
        return logits.numpy()

    def _forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        with autocast(self._device, self._precision):
            return self._module(input_ids, attention_mask).float()


@torch.inference_mode()
def working_precision(
    module: nn.Module,
    *,
    padding: Padding,
    device: torch.device,
    precision: str,
    asked: str,
) -> str:
    """Return the precision at which a model really runs.

    A few architectures (DeBERTa v1) overflow in half precision: they fill masks with
    the least number of another type. One text of one token tells.

    Parameters
    ----------
    module : Module
        On ``device``.
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
        To be tried.
    asked : {"auto", "fp32", "bf16", "fp16"}
        What the user asked for.

    Raises
    ------
    ValueError
        If the model does not run at the precision that was asked for.
    """
    if precision == "fp32":
        return precision
    ids = torch.full((1, padding.width(1)), padding.pad_id, device=device)
    training = module.training
    module.eval()
    try:
        with autocast(device, precision):
            module(ids, torch.ones_like(ids))
    except RuntimeError as error:
        if asked == "auto":
            return "fp32"
        raise ValueError(
            f"precision={precision!r} does not work with this model ({error}); use "
            "precision='auto' or 'fp32'."
        ) from error
    finally:
        module.train(training)
    return precision

"""Inference: ragged tokens -> logits, sorted by length inside, in order outside."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skbert.batching import Padding, pad, prediction_rows
from skbert.device import autocast
from skbert.tokenization import RaggedTokens

__all__ = ["predict_logits"]


@torch.inference_mode()
def predict_logits(
    module: nn.Module,
    tokens: RaggedTokens,
    *,
    n_labels: int,
    padding: Padding,
    device: torch.device,
    precision: str,
) -> np.ndarray:
    """Compute the logits of all texts.

    Parameters
    ----------
    module : Module
        In eval mode.
    tokens : RaggedTokens
    n_labels : int
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}

    Returns
    -------
    ndarray of shape (n_texts, n_labels), float32
        In the order of ``tokens``. Only one batch at a time is on the device.
    """
    logits = np.empty((len(tokens), n_labels), dtype=np.float32)
    for rows in prediction_rows(tokens.lengths):
        ids, mask = pad(tokens, rows, padding)
        with autocast(device, precision):
            batch = module(ids.to(device), mask.to(device))
        logits[rows] = batch.float().cpu().numpy()
    return logits

"""Inference: ragged tokens -> logits, sorted by length inside, in order outside."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skbert.batching import Padding, pad, prediction_rows, prediction_tokens
from skbert.device import autocast
from skbert.tokenization import RaggedTokens

__all__ = ["predict_logits", "working_precision"]


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
    for rows in prediction_rows(tokens, max_tokens=prediction_tokens(device)):
        ids, mask = pad(tokens, rows, padding)
        with autocast(device, precision):
            batch = module(ids.to(device), mask.to(device))
        logits[rows] = batch.float().cpu().numpy()
    return logits


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

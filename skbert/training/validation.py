"""The scores that an epoch records of the validation set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from skbert.metrics.scorers import resolve_scoring
from skbert.tokens.batching import LabelledTokens

__all__ = ["validation_scores"]

# Scores that every epoch records beside the chosen one, as the Trainer's table does.
_RECORDED_SCORES = {
    "valid_f1_micro": "f1_micro",
    "valid_roc_auc_micro": "roc_auc_micro",
    "valid_accuracy": "accuracy",
}


def validation_scores(
    logits: np.ndarray,
    dataset: LabelledTokens,
    *,
    criterion: nn.Module,
    device: torch.device,
    name: str,
    scoring: str | Callable[..., float],
    threshold: float | np.ndarray,
) -> dict[str, float]:
    """Return the mean loss and the scores, by the names of their columns.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_labels), float32
    dataset : LabelledTokens
    criterion : MultiLabelLoss
        A loss on ``device``.
    device : torch.device
    name : str
        Column of the score that chooses the best epoch.
    scoring : str or callable
        That score.
    threshold : float or ndarray of shape (n_labels,)
    """
    y_true = dataset.targets.with_nan()
    proba = expit(logits.astype(np.float64))
    y_pred = (proba >= np.asarray(threshold)).astype(np.int64)
    columns = [*_RECORDED_SCORES.items(), (name, scoring)]
    return {"valid_loss": _mean_loss(logits, dataset, criterion, device)} | {
        column: resolve_scoring(score)(y_true, proba, y_pred)
        for column, score in columns
    }


def _mean_loss(
    logits: np.ndarray,
    dataset: LabelledTokens,
    criterion: nn.Module,
    device: torch.device,
) -> float:
    """Return the mean over the known cells."""
    weights = dataset.loss_weights(np.arange(len(dataset)))
    known = max(int(dataset.targets.known.sum()), 1)
    tensors = (logits, dataset.targets.values, weights / np.float32(known))
    with torch.no_grad():
        loss = criterion(*(torch.from_numpy(t).to(device) for t in tensors))
    return loss.item()

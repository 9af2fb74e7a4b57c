"""Losses of logits against masked and weighted targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LOSSES", "MultiLabelLoss", "balanced_pos_weight"]

# A label with one positive in 40,000 must not outweigh all others.
_MAX_BALANCED_WEIGHT = 10.0


def bce(logits: Tensor, targets: Tensor, pos_weight: Tensor | None) -> Tensor:
    """Binary cross-entropy of each cell.

    Shape: (batch_size, n_labels) twice -> (batch_size, n_labels)
    """
    return F.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=pos_weight, reduction="none"
    )


def focal(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor | None,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Tensor:
    """Focal loss of each cell (Lin et al. 2017).

    Shape: (batch_size, n_labels) twice -> (batch_size, n_labels)
    """
    # The probability of the wrong class, in log space so that no cell underflows.
    log_wrong = F.logsigmoid(torch.where(targets > 0.5, -logits, logits))
    loss = bce(logits, targets, pos_weight) * torch.exp(gamma * log_wrong)
    if alpha is not None:
        loss = loss * torch.where(targets > 0.5, alpha, 1 - alpha)
    return loss


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor | None,
    *,
    gamma_neg: float = 4.0,
    gamma_pos: float = 0.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss of each cell (Ridnik et al. 2021).

    Shape: (batch_size, n_labels) twice -> (batch_size, n_labels)
    """
    positive = -F.logsigmoid(logits) * torch.exp(gamma_pos * F.logsigmoid(-logits))
    if pos_weight is not None:
        positive = positive * pos_weight
    # Exactly 0 and 1 are excluded. There, the logarithm or the slope of a power below 1
    # is infinite, and its product with a slope of 0 is NaN.
    p_shifted = (torch.sigmoid(logits) - clip).clamp(min=1e-8, max=1 - 1e-6)
    negative = -torch.log1p(-p_shifted) * p_shifted**gamma_neg
    return torch.where(targets > 0.5, positive, negative)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": bce,
    "focal": focal,
    "asymmetric": asymmetric,
}


class MultiLabelLoss(nn.Module):
    """The weighted sum of a loss over the cells of a batch, in float32.

    Parameters
    ----------
    loss : {"bce", "focal", "asymmetric"}, default="bce"
    pos_weight : Tensor of shape (n_labels,), optional
        Factor of each label's positive cells.
    **params
        Keyword arguments of the loss: ``gamma`` and ``alpha`` for focal, ``gamma_neg``,
        ``gamma_pos`` and ``clip`` for asymmetric.
    """

    def __init__(
        self, loss: str = "bce", pos_weight: Tensor | None = None, **params: float
    ) -> None:
        super().__init__()
        self.cell_loss = LOSSES[loss]
        self.params = params
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of the cells' losses.

        Shape: (batch_size, n_labels) three times -> ()
        """
        # In float32 even under autocast, because bf16 has only 8 bits for a logit.
        cells = self.cell_loss(logits.float(), targets, self.pos_weight, **self.params)
        # A cell of weight 0 must have a gradient of 0 even if its loss is infinite, and
        # 0 * inf is NaN.
        return torch.where(weights > 0, cells * weights, 0.0).sum()


def balanced_pos_weight(positives: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return negatives / positives of each label, between 1 and 10.

    Parameters
    ----------
    positives, support : ndarray of shape (n_labels,), float
        Known positives and known values.

    Returns
    -------
    ndarray of shape (n_labels,), float32
    """
    ratio = (support - positives) / np.maximum(positives, 1.0)
    return np.clip(ratio, 1.0, _MAX_BALANCED_WEIGHT).astype(np.float32)

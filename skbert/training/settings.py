"""Settings: parameters that may say "auto" -> the values that a fit uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

__all__ = ["FitSettings", "resolve_settings"]

# Measured on GoEmotions (43,410 texts: three epochs suffice) and on 1,022 e-mails
# (160 updates are too few, 500 and more do).
_MIN_EPOCHS = 3
_MAX_EPOCHS = 20
_MIN_STEPS = 640

_SMALL_DATA = 5_000

# The learning rate that suits a width of 384 is 1e-4, 768 wants 5e-5.
_LEARNING_RATE_TIMES_WIDTH = 1e-4 * 384


@dataclass(frozen=True)
class FitSettings:
    """The values that a fit uses, none of them "auto"."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    pooling: str
    precision: str
    device: torch.device


def resolve_settings(
    estimator,
    *,
    n_samples: int,
    hidden_size: int,
    pooling: str,
    precision: str,
    device: torch.device,
) -> FitSettings:
    """Replace every "auto" of an estimator's parameters by its value.

    Parameters
    ----------
    estimator : TransformerMultiLabelClassifier
    n_samples : int
        Of the training set.
    hidden_size : int
        Width of the encoder.
    pooling, precision : str
    device : torch.device

    Returns
    -------
    FitSettings
    """
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = 16 if n_samples < _SMALL_DATA else 32
    max_epochs = estimator.max_epochs
    if max_epochs == "auto":
        steps = math.ceil(
            n_samples / (batch_size * estimator.gradient_accumulation_steps)
        )
        max_epochs = min(_MAX_EPOCHS, max(_MIN_EPOCHS, math.ceil(_MIN_STEPS / steps)))
    learning_rate = estimator.learning_rate
    if learning_rate == "auto":
        learning_rate = _LEARNING_RATE_TIMES_WIDTH / hidden_size
    head_learning_rate = estimator.head_learning_rate
    if head_learning_rate == "auto":
        head_learning_rate = 10 * learning_rate
    return FitSettings(
        max_epochs=max_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        pooling=pooling,
        precision=precision,
        device=device,
    )

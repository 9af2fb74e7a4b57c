"""Predictions in batches of few shapes, because torch keeps code for each shape."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from skbert.tokens.padding import Padding

__all__ = ["forward_in_few_shapes"]

# Shorter texts are padded to this, because they take too little time to matter.
_SHORTEST = 8


def forward_in_few_shapes(
    forward: Callable[[Tensor, Tensor], Tensor],
    padding: Padding,
    max_tokens: int,
    numbers: int,
    input_ids: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    """Return the logits of a batch that is filled up to one of few shapes.

    On the CPU, oneDNN compiles code for every shape and keeps the last thousand. In
    half precision it compiles all products, which takes megabytes for each shape, and
    in fp32 it compiles GELU, which takes kilobytes. This code lies between activations.
    If new code replaces old code all the time, the heap gets fragmented and grows
    without end.

    Full batches have one number of texts for each length. The rest at the end of a call
    can have any number, so it is filled up with padding and copies of its last text.
    From one power of two to the next there are four lengths and ``numbers`` numbers.

    Parameters
    ----------
    forward : callable
        Function of input ids and attention mask.
    padding : Padding
    max_tokens : int
        Number of tokens of a full batch.
    numbers : int
        Numbers of texts from one power of two to the next; a power of two itself.
    input_ids, attention_mask : Tensor of shape (batch_size, seq_len), int64

    Returns
    -------
    Tensor of shape (batch_size, n_labels)
    """
    n_texts, width = input_ids.shape
    if n_texts >= max_tokens // width:
        return forward(input_ids, attention_mask)
    wider = _rounded_up(max(width, _SHORTEST), 4, padding.multiple_of)
    if padding.most is not None:
        wider = max(width, min(wider, padding.most))
    n_rows = max(n_texts, min(_rounded_up(n_texts, numbers), max_tokens // wider))
    columns = (wider - width, 0) if padding.left else (0, wider - width)
    rows = torch.arange(n_rows).clamp(max=n_texts - 1)
    return forward(
        pad(input_ids, columns, value=padding.pad_id)[rows],
        pad(attention_mask, columns)[rows],
    )[:n_texts]


def _rounded_up(number: int, per_octave: int, multiple_of: int = 1) -> int:
    """Round up to one of ``per_octave`` numbers between two powers of two."""
    power = 2 ** max(0, (number - 1).bit_length() - 1)
    step = math.lcm(multiple_of, max(1, power // per_octave))
    return -(-number // step) * step

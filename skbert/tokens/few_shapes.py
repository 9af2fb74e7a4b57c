"""Few shapes: batches that are not full, filled up to one of few sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from skbert.tokens.padding import Padding

__all__ = ["forward_in_few_shapes"]

# Shorter texts are filled up to this: their layers take no time worth a shape.
_SHORTEST = 8


def forward_in_few_shapes(
    forward: Callable[[Tensor, Tensor], Tensor],
    padding: Padding,
    max_tokens: int,
    numbers: int,
    input_ids: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    """Return the logits of a batch, computed in one of few shapes.

    On the CPU oneDNN compiles code for every shape and keeps the last thousand: in half
    precision that of all products, megabytes for each shape of a batch, in fp32 that of
    GELU, kilobytes. But these lie between activations that come and go, and where code
    comes and goes as well, the heap is full of holes that fit nothing and grows without
    end. Full batches have one number of texts for each length. What is left over at the
    end of a call has any: it is filled up, with padding and with its last text, so that
    from one power of two to the next there are four lengths and ``numbers`` numbers.

    Parameters
    ----------
    forward : callable
        Of input ids and attention mask.
    padding : Padding
    max_tokens : int
        Of a full batch.
    numbers : int
        Of texts, from one power of two to the next; a power of two itself.
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
    """Return one of so many numbers from one power of two to the next, or more."""
    power = 2 ** max(0, (number - 1).bit_length() - 1)
    step = math.lcm(multiple_of, max(1, power // per_octave))
    return -(-number // step) * step

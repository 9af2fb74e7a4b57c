"""Few shapes: batches that are not full, filled up to one of few sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from skbert.padding import Padding

__all__ = ["forward_in_few_shapes"]


def forward_in_few_shapes(
    forward: Callable[[Tensor, Tensor], Tensor],
    padding: Padding,
    max_tokens: int,
    input_ids: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    """Return the logits of a batch, computed in one of few shapes.

    For products in half precision on the CPU, oneDNN compiles code for every shape and
    keeps the last thousand, some three megabytes for each shape of a batch. Full
    batches have one number of texts for each length. What is left over at the end of a
    call has any: it is filled up by a quarter at most, with padding and with its last
    text, so that there are four lengths and four numbers from one power of two to the
    next.

    Parameters
    ----------
    forward : callable
        Of input ids and attention mask.
    padding : Padding
    max_tokens : int
        Of a full batch.
    input_ids, attention_mask : Tensor of shape (batch_size, seq_len), int64

    Returns
    -------
    Tensor of shape (batch_size, n_labels)
    """
    n_texts, width = input_ids.shape
    if n_texts >= max_tokens // width:
        return forward(input_ids, attention_mask)
    wider = _rounded_up(width, padding.multiple_of)
    if padding.most is not None:
        wider = max(width, min(wider, padding.most))
    more = _rounded_up(n_texts) - n_texts
    columns = (wider - width, 0) if padding.left else (0, wider - width)
    rows = torch.arange(n_texts + more).clamp(max=n_texts - 1)
    return forward(
        pad(input_ids, columns, value=padding.pad_id)[rows],
        pad(attention_mask, columns)[rows],
    )[:n_texts]


def _rounded_up(number: int, multiple_of: int = 1) -> int:
    step = math.lcm(multiple_of, max(1, 2 ** ((number - 1).bit_length() - 3)))
    return -(-number // step) * step

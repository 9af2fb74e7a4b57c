"""Padding of the texts of a batch to one length."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from skbert.tokens.tokenization import RaggedTokens

__all__ = ["Padding", "columns", "pad"]

# Maximum number of lengths of a coarse padding, because each costs a CUDA graph.
_COARSE_LENGTHS = 16


@dataclass(frozen=True)
class Padding:
    """How texts are padded.

    Attributes
    ----------
    pad_id : int
    multiple_of : int, default=1
        Number to whose multiples the padded length is rounded up.
    most : int, optional
        Upper bound of rounding: the number of positions of the model.
    relative : bool, default=False
        Whether to round up by an eighth at most, so that there are eight lengths from
        one power of two to the next. torch keeps megabytes of compiled code for every
        shape that it has seen.
    left : bool, default=False
        Whether the padding comes before the text.
    """

    pad_id: int = 0
    multiple_of: int = 1
    most: int | None = None
    relative: bool = False
    left: bool = False

    def width(self, longest: int) -> int:
        """Return the padded length of a batch whose longest text has this length."""
        longest = max(longest, 1)
        multiple = self.multiple_of
        if self.relative:
            multiple = math.lcm(multiple, max(1, 2 ** (longest.bit_length() - 4)))
        width = _rounded_up(longest, multiple)
        return width if self.most is None else max(longest, min(width, self.most))

    def coarse(self) -> Padding:
        """Return a padding to at most 16 lengths, which are multiples of 8 or more."""
        multiple = _rounded_up(-(-(self.most or 1) // _COARSE_LENGTHS), 8)
        return replace(self, multiple_of=math.lcm(self.multiple_of, multiple))


def _rounded_up(number: int, multiple_of: int) -> int:
    return -(-number // multiple_of) * multiple_of


def columns(lengths: np.ndarray, width: int, *, left: bool = False) -> np.ndarray:
    """Return the number of the token in each column of a padded batch.

    Parameters
    ----------
    lengths : ndarray of shape (batch_size,), int
    width : int
        Width of the batch.
    left : bool, default=False
        See `Padding`.

    Returns
    -------
    ndarray of shape (batch_size or 1, width), int
        Columns without a token of that number are padding.
    """
    column = np.arange(width)[np.newaxis]
    return column - (width - lengths)[:, np.newaxis] if left else column


def pad(
    tokens: RaggedTokens, rows: np.ndarray, padding: Padding
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the texts ``rows`` to the longest of them.

    Parameters
    ----------
    tokens : RaggedTokens
    rows : ndarray of shape (batch_size,), int
    padding : Padding

    Returns
    -------
    input_ids, attention_mask : Tensor of shape (batch_size, seq_len), int64
    """
    starts = tokens.offsets[rows]
    lengths = tokens.offsets[rows + 1] - starts
    column = columns(lengths, padding.width(int(lengths.max())), left=padding.left)
    mask = (column >= 0) & (column < lengths[:, np.newaxis])
    index = np.clip(starts[:, np.newaxis] + column, 0, len(tokens.ids) - 1)
    ids = np.where(mask, tokens.ids[index], padding.pad_id)
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(
        mask.astype("int64")
    )

"""A training set in the memory of a GPU, where its batches are made."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skbert.runtime.cuda_graphs import give_back_memory
from skbert.runtime.memory import is_out_of_memory
from skbert.runtime.warn import warn_user
from skbert.tokens.batching import LabelledTokens, sent
from skbert.tokens.padding import Padding

__all__ = ["ResidentSet", "resident_set"]


def resident_set(dataset: LabelledTokens, device: torch.device) -> ResidentSet | None:
    """Move a training set to a device; return None if its memory does not suffice.

    Then the host makes the batches, as it does for a CPU.
    """
    try:
        return ResidentSet(dataset, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    give_back_memory()
    warn_user(
        "The training set does not fit into the memory of the GPU, so that every batch "
        "is sent there: with the same results but slower."
    )
    return None


class ResidentSet:
    """A training set on a device, to which the host sends row numbers only.

    Parameters
    ----------
    dataset : LabelledTokens
    device : torch.device

    Notes
    -----
    It takes four bytes for each token and two for each cell of the targets. GoEmotions
    takes 6 MB.
    """

    def __init__(self, dataset: LabelledTokens, device: torch.device) -> None:
        tokens, targets = dataset.tokens.sequences, dataset.targets
        self._sequences_of = dataset.tokens.sequences_of
        self._lengths = tokens.lengths  # on the host, which computes the width
        self._device = device
        self._ids = torch.from_numpy(tokens.ids).to(device)
        self._starts = torch.from_numpy(tokens.offsets).to(device)
        self._targets = torch.from_numpy(targets.values.astype("uint8")).to(device)
        self._known = torch.from_numpy(targets.known).to(device)
        self._row_weights = torch.from_numpy(dataset.row_weights).to(device)

    def gather(self, rows: np.ndarray, padding: Padding) -> tuple[Tensor, ...]:
        """Return a batch of rows, as `LabelledTokens.gather` does.

        Parameters
        ----------
        rows : ndarray of shape (batch_size,), int
        padding : Padding

        Returns
        -------
        input_ids, attention_mask : Tensor of shape (n_sequences, seq_len), int64
        targets, weights : Tensor of shape (batch_size, n_labels), float32
            Tensors on the device, which the host does not wait for.
        """
        sequences = self._sequences_of(rows)
        width = padding.width(int(self._lengths[sequences].max()))
        at = sent(torch.from_numpy(sequences), self._device)
        # Shape: (n_sequences, 1)
        starts, ends = self._starts[at].unsqueeze(1), self._starts[at + 1].unsqueeze(1)
        position = torch.arange(width, device=self._device)
        position = position + (ends - width if padding.left else starts)
        mask = (position >= starts) & (position < ends)
        ids = self._ids[position.clamp(0, len(self._ids) - 1)].long()
        ids = ids.masked_fill(~mask, padding.pad_id)
        at = sent(torch.from_numpy(rows), self._device)
        weights = self._known[at] * self._row_weights[at].unsqueeze(1)
        return ids, mask.long(), self._targets[at].float(), weights

"""Frozen: the layers below the trainable ones, computed once per fit and kept."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from skbert.models.architecture import encoder_layers
from skbert.models.frozen_part import FrozenEncoder, FrozenLayers, frozen_part
from skbert.models.module import MultiLabelModule
from skbert.prediction.batches import PredictionBatches
from skbert.runtime.device import autocast, storage_dtype
from skbert.runtime.warn import warn_user
from skbert.tokens.padding import Padding, columns
from skbert.tokens.tokenization import RaggedTokens

__all__ = ["FrozenStates", "frozen_states"]

# States up to this size stay in memory, larger ones go to a file. MiniLM's of the
# 43,410 comments of GoEmotions take 0.7 GB in bf16, BERT-base's of 10,000 texts of 128
# tokens 2 GB: a laptop can spare that beside the model, but hardly more.
MEMORY_BYTES = 2 * 2**30


def _pays(trainable_layers: int | None, n_layers: int, max_epochs: int) -> bool:
    """Say whether keeping the frozen part's states can save time.

    They cost one pass through the frozen part, as an epoch does: only from the second
    epoch on is anything saved. Embeddings alone are no cheaper to read back than to
    look up.
    """
    if trainable_layers is None or max_epochs < 2:
        return False
    return trainable_layers == 0 or trainable_layers < n_layers


@contextmanager
def frozen_states(
    module: MultiLabelModule,
    tokens: RaggedTokens,
    *,
    trainable_layers: int | None,
    always_eval: list[nn.Module],
    max_epochs: int,
    padding: Padding,
    device: torch.device,
    precision: str,
    progress: bool = False,
) -> Iterator[FrozenStates | None]:
    """Compute what the frozen part makes of all texts; give it up at the end.

    Parameters
    ----------
    module : MultiLabelModule
        On ``device``, its frozen part frozen.
    tokens : RaggedTokens
        Of the training set.
    trainable_layers : int or None
    always_eval : list of Module
        What stays in eval mode while training, as of `freeze`.
    max_epochs : int
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    progress : bool, default=False
        Whether to show a bar on a terminal.

    Yields
    ------
    FrozenStates or None
        None where the states are to be computed anew in every epoch: it would not
        pay, the model cannot be cut there, or the disk is full (with a warning).
    """
    states = None
    if _pays(trainable_layers, len(encoder_layers(module.encoder)), max_epochs):
        assert trainable_layers is not None
        part = frozen_part(
            module,
            tokens,
            trainable_layers=trainable_layers,
            always_eval=always_eval,
            padding=padding,
        )
        if part is not None:
            dtype = storage_dtype(precision)
            states = FrozenStates(part, tokens.lengths, dtype, left=padding.left)
    try:
        if states is not None:
            try:
                usable = _fill(states, tokens, padding, device, precision, progress)
            except OSError as error:
                usable = False
                warn_user(
                    f"The frozen layers' states find no room in "
                    f"{tempfile.gettempdir()} ({error}): they are computed anew in "
                    "every epoch, which is slower. Make room there, or let TMPDIR "
                    "name another folder.",
                )
            if not usable:
                states.close()
                states = None
        yield states
    finally:
        if states is not None:
            states.close()


@torch.no_grad()
def _fill(
    states: FrozenStates,
    tokens: RaggedTokens,
    padding: Padding,
    device: torch.device,
    precision: str,
    progress: bool,
) -> bool:
    """Compute all states; say whether they can be kept."""
    states.part.module.eval()

    def compute(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(device, precision):
            return states.part.states(ids, mask), mask

    batches = PredictionBatches(compute, padding=padding, device=device)
    # A bar that is switched off would start tqdm's thread all the same.
    with (
        tqdm(
            total=len(tokens),
            desc="frozen layers",
            unit="text",
            leave=False,
            disable=None,
        )
        if progress
        else nullcontext()
    ) as bar:
        for rows, (batch, mask) in batches.results(tokens):
            if not states.append(rows, batch, mask):
                return False
            if bar is not None:
                bar.update(len(rows))
    states.finish()
    return True


class FrozenStates:
    """The frozen part's states of all texts, without padding.

    Parameters
    ----------
    part : FrozenLayers or FrozenEncoder
    lengths : ndarray of shape (n_texts,), int
        Tokens of each text.
    dtype : torch.dtype
        Of the states of tokens. Those of whole texts are few and stay exact.
    left : bool, default=False
        As of `Padding`.
    """

    def __init__(
        self,
        part: FrozenLayers | FrozenEncoder,
        lengths: np.ndarray,
        dtype: torch.dtype,
        *,
        left: bool = False,
    ) -> None:
        self.part = part
        self._lengths = lengths if part.keeps_tokens else np.ones_like(lengths)
        self._left = left
        self._dtype = dtype if part.keeps_tokens else torch.float32
        self._starts = np.zeros(len(lengths), dtype=np.int64)
        self._n_states = int(self._lengths.sum())
        self._n_filled = 0
        # Shape: (n_states + 1, width); the last is zero and stands for padding.
        self._states: Tensor | None = None
        self._file: IO[bytes] | None = None
        self._width = 0
        self._frozen = [p for p in part.module.parameters() if not p.requires_grad]
        self._seen = self._fingerprint()

    # --- filling ------------------------------------------------------------------

    def append(self, rows: np.ndarray, states: Tensor, mask: Tensor) -> bool:
        """Keep the states of a batch; say whether they can be kept.

        Not where one is beyond the range of the type, or where the model, with other
        batches than were tried, has no state per token.

        Shape: (batch_size,), (batch_size, seq_len, width), (batch_size, seq_len)
        """
        if self.part.keeps_tokens:
            if states.shape[:2] != mask.shape:
                return False
            states = states[mask.bool()]
        else:
            states = states.squeeze(1)
        kept = states.to(self._dtype).cpu()
        if self._n_filled == 0:
            self._make_room(kept.shape[1])
        ends = self._n_filled + np.cumsum(self._lengths[rows])
        self._starts[rows] = ends - self._lengths[rows]
        self._write(kept)
        return bool(torch.isfinite(kept).all())

    def _make_room(self, width: int) -> None:
        self._width = width
        n_bytes = (self._n_states + 1) * width * self._dtype.itemsize
        if n_bytes <= MEMORY_BYTES:
            self._states = torch.zeros(self._n_states + 1, width, dtype=self._dtype)
            return
        # Where the system knows files without a name, nothing can be left behind, not
        # even by a process that is killed.
        self._file = tempfile.TemporaryFile(prefix="skbert-")
        # A full disk shows now, not after minutes; where room cannot be reserved, it
        # shows while writing.
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._file.fileno(), 0, n_bytes)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise

    def _write(self, states: Tensor) -> None:
        end = self._n_filled + len(states)
        if self._file is None:
            assert self._states is not None
            self._states[self._n_filled : end] = states
        else:
            # Not through the map: there a full disk would end the process.
            self._file.write(states.contiguous().view(torch.uint8).numpy().data)
        self._n_filled = end

    def finish(self) -> None:
        """Turn what was written into what `take` reads."""
        if self._file is None:
            return
        self._write(torch.zeros(1, self._width, dtype=self._dtype))
        self._file.flush()
        # NumPy has no bfloat16: bytes do.
        mapped = np.memmap(self._file, dtype=np.uint8, mode="r+")
        self._states = torch.from_numpy(mapped).view(self._dtype).view(-1, self._width)

    # --- use ----------------------------------------------------------------------

    def take(self, rows: np.ndarray, seq_len: int) -> Tensor:
        """Return the states of some texts, padded with zeros.

        Parameters
        ----------
        rows : ndarray of shape (batch_size,), int
        seq_len : int
            Of the padded batch.

        Returns
        -------
        Tensor of shape (batch_size, seq_len, width)
            Or (batch_size, 1, width) where there is one state per text.
        """
        assert self._states is not None
        width, lengths = (seq_len if self.part.keeps_tokens else 1), self._lengths[rows]
        column = columns(lengths, width, left=self._left)
        index = self._starts[rows][:, np.newaxis] + column
        is_padding = (column < 0) | (column >= lengths[:, np.newaxis])
        index[is_padding] = self._n_states
        return self._states[torch.from_numpy(index)]

    def given(self, states: Tensor | None) -> AbstractContextManager[None]:
        """Return the context in which the module goes on from ``states``, if any."""
        return nullcontext() if states is None else self.part.given(states)

    def is_current(self) -> bool:
        """Say whether the frozen part is still what the states came from.

        A callback may thaw it or write to it.
        """
        return self._seen == self._fingerprint()

    def _fingerprint(self) -> list[tuple[bool, int]]:
        # The version counts what was written to a tensor in place.
        return [(p.requires_grad, p._version) for p in self._frozen]

    def close(self) -> None:
        """Free the memory, or the file and its room on the disk."""
        self._states = None
        if self._file is not None:
            # On a full disk there is no room for what its buffer still holds, either.
            with suppress(OSError):
                self._file.close()
            self._file = None

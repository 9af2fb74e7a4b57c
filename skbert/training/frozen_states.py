"""Outputs of the frozen layers, computed once for all epochs of a fit."""

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

# States up to this size stay in memory, and larger ones go to a file. For the 43,410
# comments of GoEmotions, MiniLM's take 0.7 GB in bf16. For 10,000 texts of 128 tokens,
# BERT-base's take 2 GB. A laptop can spare that beside the model, but hardly more.
MEMORY_BYTES = 2 * 2**30


def _pays(trainable_layers: int | None, n_layers: int, max_epochs: int) -> bool:
    """Return whether keeping the frozen part's states can save time.

    Computing them costs one pass through the frozen part, as an epoch does, so that
    they save time from the second epoch on. Embeddings alone are as cheap to look up
    as to read back.
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
    """Compute the outputs of the frozen part for all texts; free them at the end.

    Parameters
    ----------
    module : MultiLabelModule
        On ``device``, with its frozen part frozen.
    tokens : RaggedTokens
        Tokens of the training set.
    trainable_layers : int or None
    always_eval : list of Module
        Modules that stay in eval mode while training. See `freeze`.
    max_epochs : int
    padding : Padding
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    progress : bool, default=False
        Whether to show a bar on a terminal.

    Yields
    ------
    FrozenStates or None
        None if every epoch has to compute the states again, because keeping them does
        not pay, the model cannot be cut there, or the disk is full (with a warning).
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
                    "There is no room for the outputs of the frozen layers in "
                    f"{tempfile.gettempdir()} ({error}). Every epoch computes them "
                    "again, which is slower. Make room there, or let TMPDIR name "
                    "another folder.",
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
    """Compute all states; return whether they can be kept."""
    states.part.module.eval()

    def compute(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(device, precision):
            return states.part.states(ids, mask), mask

    batches = PredictionBatches(compute, padding=padding, device=device)
    # Even a disabled bar starts a thread of tqdm.
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
        Type of the states of tokens. States of whole texts are few and stay exact.
    left : bool, default=False
        See `Padding`.
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
        # Shape: (n_states + 1, width). The last state is zero, for padding.
        self._states: Tensor | None = None
        self._file: IO[bytes] | None = None
        self._width = 0
        self._frozen = [p for p in part.module.parameters() if not p.requires_grad]
        self._seen = self._fingerprint()

    # --- filling ------------------------------------------------------------------

    def append(self, rows: np.ndarray, states: Tensor, mask: Tensor) -> bool:
        """Keep the states of a batch; return whether they can be kept.

        They cannot if one is beyond the range of the type, or if the model does not
        return a state for each token of this batch.

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
        # On most systems the file has no name, so that even a process that is killed
        # leaves nothing behind.
        self._file = tempfile.TemporaryFile(prefix="skbert-")
        # Reserving the room shows at once whether the disk is full. Systems that cannot
        # reserve it show so while writing.
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
            # On a full disk, writing through the memory map would end the process.
            self._file.write(states.contiguous().view(torch.uint8).numpy().data)
        self._n_filled = end

    def finish(self) -> None:
        """Make the states that were written readable for `take`."""
        if self._file is None:
            return
        self._write(torch.zeros(1, self._width, dtype=self._dtype))
        self._file.flush()
        # NumPy does not know bfloat16, but it knows bytes.
        mapped = np.memmap(self._file, dtype=np.uint8, mode="r+")
        self._states = torch.from_numpy(mapped).view(self._dtype).view(-1, self._width)

    # --- use ----------------------------------------------------------------------

    def take(self, rows: np.ndarray, seq_len: int) -> Tensor:
        """Return the states of some texts, padded with zeros.

        Parameters
        ----------
        rows : ndarray of shape (batch_size,), int
        seq_len : int
            Length of the padded batch.

        Returns
        -------
        Tensor of shape (batch_size, seq_len, width)
            Or (batch_size, 1, width) if there is one state per text.
        """
        assert self._states is not None
        width, lengths = (seq_len if self.part.keeps_tokens else 1), self._lengths[rows]
        column = columns(lengths, width, left=self._left)
        index = self._starts[rows][:, np.newaxis] + column
        is_padding = (column < 0) | (column >= lengths[:, np.newaxis])
        index[is_padding] = self._n_states
        return self._states[torch.from_numpy(index)]

    def given(self, states: Tensor | None) -> AbstractContextManager[None]:
        """Return a context in which the module starts from ``states``, if any."""
        return nullcontext() if states is None else self.part.given(states)

    def is_current(self) -> bool:
        """Return whether the frozen part is unchanged since the states were computed.

        A callback may unfreeze it or change its weights.
        """
        return self._seen == self._fingerprint()

    def _fingerprint(self) -> list[tuple[bool, int]]:
        # torch increments the version whenever a tensor is changed in place.
        return [(p.requires_grad, p._version) for p in self._frozen]

    def close(self) -> None:
        """Free the memory, or the file and its room on the disk."""
        self._states = None
        if self._file is not None:
            # On a full disk, flushing the file's buffer fails, too.
            with suppress(OSError):
                self._file.close()
            self._file = None

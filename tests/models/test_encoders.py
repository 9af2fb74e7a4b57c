"""Every family of encoders: a test for each cell of the table in docs/encoders.rst."""

import io
import json
import logging as python_logging
import re
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from skorch.callbacks import Callback
from transformers import AutoModel

import skbert.training.frozen_states
from checkpoints import CANINE_MAX_LENGTH, CORPUS, FAMILIES, MAX_LENGTH
from encoder_table import PAGE, answer, with_table
from skbert import TransformerMultiLabelClassifier
from skbert.exceptions import ModelFormatError
from skbert.models.tokenizer import load_tokenizer

# The second of two layers, by each family's own name for it.
TOP_LAYER = {
    "distilbert": "transformer.layer.1.",
    "modernbert": "layers.1.",
    "xlnet": "layer.1.",
}
ABOVE_THE_LAYERS = {
    "canine": ("projection.", "final_char_encoder.", "pooler."),
    "modernbert": ("final_norm.",),
}
EMBEDDINGS = {"canine": "char_embeddings.", "xlnet": "word_embedding."}
# What a native head does not use: CANINE's reads the states of merged characters,
# Longformer's a token that attends with weights of its own (the others' decay, but
# biases do not).
UNUSED = {
    "longformer": re.compile(r"layer\.1\.attention\.self\.(query|key|value)\.bias"),
    "canine": re.compile(r"^(projection|final_char_encoder)\."),
    "xlnet": re.compile(r"mask_emb$|\.(seg_embed|r_s_bias)$"),
}

# With the two special ones, whole fours of characters, for CANINE's sake.
WHOLE_FOURS = ["The invoice is attached.  "[:22], "A crash!!!", "ok"]
TEXTS = [*WHOLE_FOURS, "", "The error comes after the update.", "Thank you. " * 4]


class Look(Callback):
    """Note whether the frozen layers' states are kept."""

    def __init__(self):
        self.kept = None

    def on_epoch_begin(self, net, **kwargs):
        self.kept = net.run_.frozen is not None

    def __deepcopy__(self, memo):
        return self


@pytest.fixture(scope="module")
def shelf():
    """Give a place for what is fitted once for all tests of the module."""
    return {}


@pytest.fixture
def fit(shelf, checkpoint, emails):
    """Give a function that fits a classifier; nobody may change what it gives."""

    def fit(family, pooling="native", k=None, precision="fp32"):
        key = family, pooling, k, precision
        if key not in shelf:
            shelf[key] = fit_anew(family, pooling, k, precision)
        return shelf[key]

    def fit_anew(family, pooling, k, precision):
        look = Look()
        clf = TransformerMultiLabelClassifier(
            checkpoint(family),
            pooling=pooling,
            trainable_layers=k,
            max_length=MAX_LENGTH,
            max_epochs=2,
            batch_size=8,
            learning_rate=1e-3,
            precision=precision,
            device="cpu",
            net_callbacks=[look],
            random_state=0,
        )
        texts, targets = emails
        # CANINE reads characters: whole e-mails would be cut, with a warning.
        clf.fit([text[: MAX_LENGTH - 2] for text in texts[:24]], targets[:24])
        clf.kept = look.kept
        return clf

    fit.anew = fit_anew
    return fit


@contextmanager
def nothing_kept():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skbert.training.frozen_states, "_pays", lambda *args: False)
        yield


def losses(clf):
    return [row["train_loss"] for row in clf.history_]


def assert_good_answers(clf):
    """Check that texts differ, and that none depends on its neighbours."""
    together = clf.predict_proba(TEXTS)
    alone = np.vstack([clf.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.ptp(together, axis=0).min() > 1e-3
    assert losses(clf)[1] < losses(clf)[0]


def assert_the_same_when_loaded(clf, folder):
    clf.save_pretrained(folder)
    loaded = TransformerMultiLabelClassifier.from_pretrained(
        folder, device="cpu", precision="fp32"
    )
    np.testing.assert_allclose(
        loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS), rtol=0, atol=1e-6
    )


# --- the columns ----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_fit(fit, family):
    assert answer(family, "fit") == "yes"
    assert_good_answers(fit(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_load(fit, family, tmp_path):
    assert answer(family, "load") == "yes"
    assert_the_same_when_loaded(fit(family), tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_pipeline(fit, family, tmp_path):
    clf = fit(family)
    clf.save_pretrained(tmp_path)
    classify = transformers.pipeline(
        "text-classification", model=str(tmp_path), top_k=None, device="cpu"
    )

    def largest_difference(texts):
        rows = [{one["label"]: one["score"] for one in row} for row in classify(texts)]
        theirs = [[row[name] for name in clf.label_names_] for row in rows]
        return np.abs(clf.predict_proba(texts) - theirs).max()

    assert largest_difference(WHOLE_FOURS) < 1e-5
    if answer(family, "pipeline") == "yes":
        assert largest_difference(TEXTS) < 1e-5
    else:
        assert largest_difference(TEXTS[4:]) > 1e-4
        with pytest.raises(RuntimeError, match="max_pool"):  # two characters, not four
            classify("")


@pytest.mark.parametrize("k", [None, 0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_layers(fit, checkpoint, family, k):
    if k and answer(family, "layers") != "yes":
        with pytest.raises(ValueError, match="trainable_layers=1.*they share weights"):
            fit(family, k=k)
        return
    module = fit(family, k=k).net_.module_
    before = AutoModel.from_pretrained(checkpoint(family)).state_dict()
    after = dict(module.encoder.named_parameters())

    moved = {name for name, value in after.items() if not value.equal(before[name])}

    expected = {name for name in after if is_trained(family, name, k)}
    unused = UNUSED.get(family, re.compile("$^"))
    assert moved == {name for name in expected if not unused.search(name)}
    assert {name for name, p in after.items() if p.requires_grad} == expected
    assert all(p.requires_grad for _, p in module.head_parameters())
    assert bool(expected) == (k != 0)


def is_trained(family, name, k):
    if k is None:
        return not name.startswith(EMBEDDINGS.get(family, "embeddings."))
    top = TOP_LAYER.get(family, "encoder.layer.1.")
    above = ABOVE_THE_LAYERS.get(family, ("pooler.",))
    return k == 1 and name.startswith((top, *above))


@pytest.mark.parametrize("family", FAMILIES)
def test_mean(fit, family, tmp_path):
    assert answer(family, "mean") == "yes"
    clf = fit(family, "mean")
    assert_good_answers(clf)
    assert_the_same_when_loaded(clf, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16(fit, family):
    if answer(family, "bf16") == "no":
        with pytest.raises(ValueError, match="precision='bf16' does not work"):
            fit(family, precision="bf16")
        assert fit(family, precision="auto").precision_ == "fp32"
        return
    clf = fit(family, precision="bf16")
    assert clf.precision_ == "bf16"
    np.testing.assert_allclose(losses(clf), losses(fit(family)), rtol=0.01)
    assert losses(clf) != losses(fit(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_kept(fit, family):
    kept = answer(family, "kept")
    pooling = "native" if kept == "yes" else "mean"
    k = 0 if kept == "mean, 0" else 1
    clf = fit(family, pooling, k)
    assert clf.kept
    with nothing_kept():
        reference = fit.anew(family, pooling, k, "fp32")
    assert not reference.kept
    np.testing.assert_allclose(losses(clf), losses(reference), rtol=1e-5)
    np.testing.assert_allclose(
        clf.decision_function(TEXTS), reference.decision_function(TEXTS), atol=1e-4
    )


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if answer(family, "kept") != "yes"]
)
def test_not_kept(fit, family):
    """Nor need it be said: the fit is right, and slower."""
    k = 0 if answer(family, "layers") != "yes" else 1
    assert not fit(family, k=k).kept
    if answer(family, "kept") == "mean, 0" and k:
        assert not fit(family, "mean", k).kept


# --- the table ------------------------------------------------------------------------


def test_the_page_has_the_table_of_these_tests():
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run python tests/encoder_table.py"


def test_a_page_without_a_place_for_the_table_is_told():
    with pytest.raises(ValueError, match="0 places"):
        with_table("Encoders")


# --- what models lack -----------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_longer_text_than_the_model_reads_is_an_error(checkpoint, family, emails):
    limit = CANINE_MAX_LENGTH if family == "canine" else MAX_LENGTH
    clf = TransformerMultiLabelClassifier(checkpoint(family), max_length=limit + 1)
    with pytest.raises(
        ValueError, match=f"max_length={limit + 1} is beyond the {limit} "
    ):
        clf.fit(*emails)


@pytest.mark.parametrize("family", ["modernbert", "roberta", "xlm-roberta"])
def test_a_pad_token_is_not_needed(family, checkpoint, emails, tmp_path):
    X, y = emails
    folder = shutil.copytree(checkpoint(family), tmp_path / "model")
    path = folder / "tokenizer_config.json"
    # The families' own classes would make a pad token up.
    settings = {"tokenizer_class": "TokenizersBackend", "model_max_length": MAX_LENGTH}
    path.write_text(json.dumps(settings))
    for pooling in ("native", "mean"):
        clf = TransformerMultiLabelClassifier(
            folder,
            pooling=pooling,
            max_length=MAX_LENGTH,
            max_epochs=2,
            batch_size=8,
            learning_rate=1e-3,
            precision="fp32",
            device="cpu",
            random_state=0,
        )
        clf.fit(X[:24], y[:24])
        assert clf.tokenizer_.pad_token_id is None
        assert_good_answers(clf)


def test_a_decoder_is_pooled_by_the_mean(gpt2, emails):
    X, y = emails
    settings = {"max_length": MAX_LENGTH, "max_epochs": 2, "random_state": 0}
    settings |= {"precision": "fp32", "device": "cpu", "batch_size": 8}
    clf = TransformerMultiLabelClassifier(gpt2, pooling="mean", **settings)
    assert_good_answers(clf.fit(X[:24], y[:24]))
    clf.set_params(pooling="native")
    with pytest.raises(ModelFormatError, match="no bias.*use pooling='mean'"):
        clf.fit(X[:24], y[:24])


@pytest.fixture
def gpt2(checkpoint, tmp_path):
    """Give a decoder, without a pad token as published; its tokenizer is RoBERTa's."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint("roberta"))
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=MAX_LENGTH,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    settings = {"tokenizer_class": "TokenizersBackend", "model_max_length": MAX_LENGTH}
    path.write_text(json.dumps(settings))
    return tmp_path


@pytest.mark.parametrize("k", [1, 2])
def test_an_albert_with_weights_for_each_layer_has_layers(checkpoint, emails, k):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        checkpoint("albert", num_hidden_groups=2),
        trainable_layers=k,
        max_length=MAX_LENGTH,
        max_epochs=1,
        random_state=0,
    )
    encoder = clf.fit(X[:8], y[:8]).net_.module_.encoder
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    groups = [f"encoder.albert_layer_groups.{i}." for i in (0, 1)]
    assert {any(name.startswith(g) for name in trained) for g in groups[2 - k :]} == {
        True
    }
    assert all(name.startswith((*groups[2 - k :], "pooler.")) for name in trained)


# --- what a family says and asks for --------------------------------------------------


def test_longformer_says_nothing(checkpoint, emails, messages):
    """It has notes on what it adds to its inputs, which come once in a process."""
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        checkpoint("longformer"),
        max_length=MAX_LENGTH,
        max_epochs=1,
        device="cpu",
        random_state=0,
    )
    clf.fit(X[:8], y[:8])
    transformers.utils.logging.warning_once.cache_clear()
    clf.predict_proba(X[:2])
    assert messages == []
    transformers.utils.logging.warning_once.cache_clear()
    clf.net_.module_(torch.zeros(1, 8).long(), torch.ones(1, 8).long())
    assert len(messages) == 1  # it would have spoken


@pytest.fixture
def messages():
    """Give a list of what transformers says from now on, what it has said included."""
    logging = transformers.utils.logging
    heard = []
    handler = python_logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logging.warning_once.cache_clear()
    logging.add_handler(handler)
    yield heard
    # Not remove_handler: that of transformers 5.4 refuses to.
    logging.get_logger("transformers").removeHandler(handler)


@pytest.fixture
def deberta_v3(checkpoint, tmp_path):
    """Give DeBERTa v3 as it is published: with a sentencepiece model, no more."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = shutil.copytree(checkpoint("deberta-v3"), tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    settings = {"do_lower_case": False, "vocab_type": "spm"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    special = ("pad", "bos", "eos", "unk")
    pieces = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    names = zip(special, pieces, strict=True)
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=content,
        vocab_size=150,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **{f"{name}_id": number for number, name in enumerate(special)},
        **{f"{name}_piece": piece for name, piece in names},
    )
    (folder / "spm.model").write_bytes(content.getvalue())
    return folder


def test_a_sentencepiece_model_is_a_tokenizer(deberta_v3, emails):
    pytest.importorskip("google.protobuf")
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        deberta_v3, max_length=MAX_LENGTH, max_epochs=1, random_state=0
    )
    clf.fit([text[:MAX_LENGTH] for text in X[:8]], y[:8])
    tokens = clf.tokenizer_.convert_ids_to_tokens(clf.tokenizer_(CORPUS[0]).input_ids)
    assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
    assert "▁invoice" in tokens and "[UNK]" not in tokens


def test_a_sentencepiece_model_that_cannot_be_read_names_the_extra(
    checkpoint, tmp_path
):
    """Whether the packages are missing or the file is damaged."""
    folder = shutil.copytree(checkpoint("deberta-v3"), tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"no model")
    with pytest.raises(ModelFormatError, match=r"spm\.model.*skbert\[sentencepiece\]"):
        load_tokenizer(folder)

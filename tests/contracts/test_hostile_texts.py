"""Texts that nobody meant to write: a right answer or a clean error, nothing else."""

import decimal
import enum
import re
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from skbert import TransformerMultiLabelClassifier
from skbert.inputs.texts import check_texts
from skbert.tokens.tokenization import tokenize

# The same examples in every run, and nothing is written.
quick = settings(derandomize=True, database=None, deadline=None, max_examples=40)
slow = settings(quick, max_examples=12)

# What texts of users, of attackers and of broken files are made of.
PIECES = [
    *("", " ", "\0", "\x1b[2J", "\x7f", "\r\n", "\t", "\u2028", "\u00a0", "\ufeff"),
    *("e\u0301\u0323", "\u0301", "\u200d", "\u200b", "\ufe0f", "\ufffd", "\U0010ffff"),
    *(
        "👩🏽\u200d🚀",
        "🇩🇪",
        "1\ufe0f\u20e3",
        "𝔘𠮷",
        "שלום",
        "مرحبا",
        "\u202e",
        "\u2066",
    ),
    *("[SEP]", "[PAD]", "[MASK]", "<s>", "</s>", "<|endoftext|>", "##a", "▁", "Ġ"),
    *("invoice", "crash", "İ", "ß", "ﬁ", "क्षि", "ไทย", "漢字", "a" * 300, "!?" * 50),
]
# `characters` gives every code point, halves of surrogate pairs among them.
any_text = st.one_of(
    st.text(st.characters(), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
)
lone_or_paired = st.text(st.sampled_from("a\ud83d\ude00\udbff\udc00\ufeff"), max_size=8)
legal_text = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)


def repaired(text):
    """Join what was written in two halves, replace a half alone: by hand."""
    characters = []
    while text:
        if re.match("[\ud800-\udbff][\udc00-\udfff]", text):
            high, low = ord(text[0]) - 0xD800, ord(text[1]) - 0xDC00
            characters.append(chr(0x10000 + high * 0x400 + low))
            text = text[2:]
        else:
            is_half = 0xD800 <= ord(text[0]) < 0xE000
            characters.append("\ufffd" if is_half else text[0])
            text = text[1:]
    return "".join(characters)


# --- what goes in ---------------------------------------------------------------------


@quick
@given(st.lists(st.one_of(any_text, lone_or_paired), min_size=1, max_size=8))
def test_every_text_becomes_one_that_can_be_encoded(texts):
    checked = check_texts(texts)
    assert checked == [repaired(text) for text in texts]
    for text in checked:
        assert type(text) is str
        text.encode("utf-8")


def as_series(dtype):
    return lambda texts: pd.Series(texts, dtype=dtype)


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": lambda texts: np.array(texts, dtype=object),
    "column": lambda texts: np.array(texts, dtype=object)[:, np.newaxis],
    "column of a matrix": lambda texts: np.matrix(texts, dtype=object).T,
    "masked array": lambda texts: np.ma.array(np.array(texts, dtype=object)),
    "Series of object": as_series(object),
    "Series of str": as_series("str"),
    "Series of string": as_series("string"),
    "Series of string[python]": as_series("string[python]"),
    "Series of string[pyarrow]": as_series("string[pyarrow]"),
    "Series of ArrowDtype": as_series(pd.ArrowDtype(pa.string())),
    "Series of category": as_series("category"),
    "frame": lambda texts: pd.DataFrame({"": texts}, index=[3] * len(texts)),
    "polars Series": lambda texts: pl.Series(texts, dtype=pl.String),
    "polars Categorical": lambda texts: pl.Series(texts, dtype=pl.Categorical),
    "polars frame": lambda texts: pl.DataFrame({"": texts}, schema={"": pl.String}),
    "pyarrow Array": lambda texts: pa.array(texts, pa.string()),
    "pyarrow large Array": lambda texts: pa.array(texts, pa.large_string()),
    "pyarrow Table": lambda texts: pa.table({"": pa.array(texts, pa.string())}),
}


TEXT_TYPES = [str]
if hasattr(np.dtypes, "StringDType"):  # since NumPy 2.0
    TEXT_TYPES.append(np.dtypes.StringDType())


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", CONTAINERS)
@slow
@given(st.lists(legal_text, min_size=1, max_size=5))
@example(["a\0", "a"])
def test_texts_are_the_same_in(kind, texts):
    container = CONTAINERS[kind](texts)
    if kind == "Series of category":  # to pandas 2.2 "a" and "a\0" are one category
        assume(list(container) == texts)
    checked = check_texts(container)
    assert checked == texts
    assert {type(text) for text in checked} == {str}


@pytest.mark.parametrize("dtype", TEXT_TYPES)
@slow
@given(texts=st.lists(legal_text, min_size=1, max_size=5))
def test_an_array_of_str_gives_what_numpy_keeps(dtype, texts):
    # NumPy's own str ends before the zeros at the end.
    array = np.array(texts, dtype=dtype)
    assert check_texts(array) == array.tolist()
    assert check_texts(array[:, np.newaxis]) == array.tolist()


def test_a_member_of_an_enum_is_its_text():
    folder = enum.Enum("Folder", {"INBOX": "in the box", "ODD": "é"}, type=str)
    assert check_texts(list(folder)) == ["in the box", "é"]


class Nameless:
    def __repr__(self):
        raise RuntimeError("no name")


NO_TEXTS = [
    *(None, np.nan, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.ma.masked),
    *(
        0,
        1.5,
        True,
        1j,
        10**5000,
        np.int8(3),
        np.datetime64("NaT"),
        np.timedelta64(1, "s"),
    ),
    *(b"a", bytearray(b"a"), np.bytes_(b"a"), memoryview(b"a")),
    *([], ["a"], ("a",), {"a"}, {"a": "b"}, np.array("a"), np.array(["a"]), range(3)),
    *(decimal.Decimal(1), object(), len, str, Nameless(), "a".join, pd.Series(["a"])),
    *(["a" * 10_000], {"a": "b" * 10_000}),
]


@quick
@given(
    st.sampled_from(NO_TEXTS),
    st.lists(any_text, max_size=4),
    st.lists(any_text, max_size=4),
)
def test_an_entry_that_is_no_text_is_named(entry, before, after):
    with pytest.raises((TypeError, ValueError)) as raised:
        check_texts([*before, entry, *after], "X_val")
    message = str(raised.value)
    assert message.startswith(f"X_val, row {len(before)} is ")
    assert len(message) < 300


@pytest.mark.parametrize("entry", NO_TEXTS, ids=lambda entry: type(entry).__name__)
def test_what_is_no_text_is_no_sequence_of_texts(entry):
    if isinstance(entry, pd.Series) or (
        isinstance(entry, (list, tuple, np.ndarray))
        and np.ndim(entry) == 1
        and len(entry)
    ):
        pytest.skip("is a sequence of texts")
    with pytest.raises((TypeError, ValueError), match="^X |^X, row 0|in X:"):
        check_texts(entry)


# --- tokens ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizers(checkpoint):
    return cache(lambda family: AutoTokenizer.from_pretrained(checkpoint(family)))


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "canine"])
@slow
@given(st.data())
def test_tokens_are_those_of_the_tokenizer_and_of_each_text_alone(
    tokenizers, family, data
):
    texts = check_texts(data.draw(st.lists(any_text, min_size=1, max_size=5)))
    tokenizer = tokenizers(family)
    tokens = tokenize(tokenizer, texts, max_length=24)
    expected = tokenizer(texts, truncation=True, max_length=24)["input_ids"]
    assert [list(tokens[i]) for i in range(len(texts))] == expected
    for row, text in enumerate(texts):
        alone = tokenize(tokenizer, [text], max_length=24)
        np.testing.assert_array_equal(alone[0], tokens[row])
        assert alone.truncated[0] == tokens.truncated[row]


@pytest.mark.parametrize("long_text", ["head_tail", "windows"])
@slow
@given(st.data())
def test_no_part_of_a_long_text_gets_lost_or_longer_than_allowed(
    tokenizers, long_text, data
):
    texts = check_texts(data.draw(st.lists(any_text, min_size=1, max_size=4)))
    tokenizer = tokenizers("bert")
    tokens = tokenize(tokenizer, texts, max_length=9, long_text=long_text)
    assert tokens.sequences.lengths.max() <= 9
    assert len(tokens) == len(texts)
    for row, text in enumerate(texts):
        content = tokenizer(text, add_special_tokens=False)["input_ids"]
        (first, *rest) = tokens.sequences_of(np.array([row]))
        last = rest[-1] if rest else first
        if len(content) <= 7:
            assert tokens.sequences[first][1:-1].tolist() == content
        elif not (long_text == "windows" and tokens.truncated[row]):
            assert tokens.sequences[last][-2] == content[-1]
        assert tokens.sequences[first][1:].tolist()[: len(content[:1])] == content[:1]


# --- answers --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clf(tiny_bert):
    texts = ["the invoice", "a crash", "the invoice of a crash", "a note"] * 3
    return TransformerMultiLabelClassifier(
        str(tiny_bert),
        max_length=32,
        max_epochs=2,
        device="cpu",
        precision="fp32",
        random_state=0,
    ).fit(texts, [[1, 0], [0, 1], [1, 1], [0, 0]] * 3)


@slow
@given(texts=st.lists(any_text, min_size=1, max_size=12), data=st.data())
def test_an_answer_depends_on_its_own_text_alone(clf, texts, data):
    proba = clf.predict_proba(texts)
    assert proba.shape == (len(texts), 2)
    assert ((proba > 0) & (proba < 1)).all()
    order = data.draw(st.permutations(range(len(texts))))
    some = order[: data.draw(st.integers(1, len(texts)))]
    again = clf.predict_proba([texts[i] for i in some])
    np.testing.assert_allclose(again, proba[some], rtol=0, atol=1e-6)
    alone = clf.predict_proba([texts[some[0]]])
    np.testing.assert_allclose(alone[0], proba[some[0]], rtol=0, atol=1e-6)


@slow
@given(st.lists(any_text, min_size=1, max_size=12))
def test_all_kinds_of_answers_agree(clf, texts):
    proba = clf.predict_proba(texts)
    chosen = proba >= clf.thresholds_
    np.testing.assert_array_equal(clf.predict(texts), chosen)
    assert clf.predict_labels(texts) == [tuple(clf.label_names_[row]) for row in chosen]
    np.testing.assert_array_equal(list(clf.iter_predict_proba(iter(texts))), proba)
    parts = list(clf.iter_predict_proba(iter(texts), chunk_size=5))
    np.testing.assert_allclose(parts, proba, rtol=0, atol=1e-6)
    logits = clf.decision_function(texts)
    np.testing.assert_allclose(np.log(proba / (1 - proba)), logits, atol=1e-9)


@slow
@given(st.lists(any_text, min_size=1, max_size=6), st.integers(33, 200))
def test_padding_changes_nothing(clf, texts, n_words):
    # In a batch of one text as long as can be, every other is padded to its length.
    alone = clf.predict_proba(texts)
    padded = clf.predict_proba([*texts, "invoice " * n_words])
    np.testing.assert_allclose(padded[:-1], alone, rtol=0, atol=1e-6)


@settings(slow, max_examples=4)
@given(st.lists(any_text, min_size=6, max_size=6))
def test_a_fit_to_any_texts_gives_probabilities(tiny_bert, texts):
    clf = TransformerMultiLabelClassifier(
        tiny_bert, max_length=16, max_epochs=1, device="cpu", random_state=0
    ).fit(texts, [[1, 0], [0, 1]] * 3)
    assert np.isfinite(clf.history_[0]["train_loss"])
    proba = clf.predict_proba(texts)
    assert ((proba > 0) & (proba < 1)).all()


@pytest.mark.parametrize(
    "unit", ["invoice ", "a", "😀", "\0", "שלום", "\ud800", "[SEP]"]
)
def test_a_line_of_ten_megabytes_is_read_as_far_as_others_are(clf, unit):
    whole = unit * (10_000_000 // len(unit.encode("utf-8", "surrogatepass")))
    start = whole[: 32 * 32]
    proba = clf.predict_proba([whole, "a crash"])
    np.testing.assert_allclose(
        proba, clf.predict_proba([start, "a crash"]), rtol=0, atol=1e-6
    )

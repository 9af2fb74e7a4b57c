import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer

from skbert.inputs.texts import check_texts
from skbert.models.tokenizer import load_tokenizer
from skbert.tokens import tokenization
from skbert.tokens.tokenization import tokenize

TEXTS = ["The invoice is attached.", "", "Hello again, this is a note."]


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        pd.Series,
        lambda x: pd.Series(x, dtype="string"),
        lambda x: pd.Series(x, index=[7, 7, 9]),
        np.array,
        lambda x: np.array(x, dtype=object),
        lambda x: np.array(x, dtype=object)[:, np.newaxis],
        lambda x: pd.DataFrame({"text": x}),
    ],
)
def test_all_shapes_of_texts_are_taken(convert):
    texts = check_texts(convert(TEXTS))
    assert texts == TEXTS
    assert all(type(text) is str for text in texts)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a text", TypeError, "single str.*Wrap one text in a list"),
        (None, TypeError, "single NoneType"),
        (3, TypeError, "single int"),
        ([], ValueError, "0 sample"),
        (["a", None], ValueError, "row 1 is missing.*Drop the row"),
        (["a", np.nan], ValueError, r"row 1 is missing \(NaN\).*fillna"),
        (pd.Series(["a", pd.NA], dtype="string"), ValueError, "row 1 is missing"),
        ([b"a"], TypeError, "row 0 is bytes.*decode"),
        (["a", 5], TypeError, r"row 1 is 5 \(int\)"),
        ([["a", "b"]], TypeError, "row 0 is a list.*join"),
        (np.zeros((2, 1)), TypeError, r"row 0 is .*0\.0.*float"),
        (np.array([["a", "b"]]), ValueError, r"shape \(1, 2\).*one column"),
        (pd.DataFrame({"p": ["a"], "q": ["b"]}), ValueError, "p, q.*Select the column"),
        (sparse.csr_array([[1.0]]), TypeError, "sparse matrix of numbers"),
        ((t for t in TEXTS), TypeError, "generator.*list"),
        ({"a": 1}, TypeError, "single dict"),
        (pd.NaT, TypeError, "single NaTType"),
        ([10**5000], TypeError, "row 0 is what cannot be shown .int"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        check_texts(X)


def test_messages_name_what_they_speak_of():
    with pytest.raises(ValueError, match="X_val, row 0"):
        check_texts([None], "X_val")


def test_surrogates_become_characters_that_tokenizers_take():
    texts = check_texts(["lone \ud800 half", "whole \ud83d\ude00 pair", "é"])
    assert texts == ["lone � half", "whole 😀 pair", "é"]


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta", "distilbert"])
def test_truncation_is_that_of_the_tokenizer(checkpoint, family):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(family))
    texts = [*TEXTS, "See the invoice and the payment. " * 5]
    tokens = tokenize(tokenizer, texts, max_length=12)
    expected = tokenizer(texts, truncation=True, max_length=12)["input_ids"]
    assert [list(tokens[i]) for i in range(4)] == expected
    assert tokens.truncated.tolist() == [len(e) == 12 for e in expected]
    assert tokens.lengths.tolist() == [len(e) for e in expected]
    assert tokens.ids.dtype == np.int32


def test_canine_reads_characters(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("canine"))
    tokens = tokenize(tokenizer, ["ab", ""], max_length=8)
    assert tokens[0].tolist()[1:-1] == [ord("a"), ord("b")]
    assert len(tokens[1]) == 2


def test_head_tail_keeps_both_ends(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    text = "invoice " * 30 + "crash " * 30
    tokens = tokenize(
        tokenizer, [text, "invoice"], max_length=14, long_text="head_tail"
    )
    words = tokenizer.convert_ids_to_tokens(tokens[0].tolist())
    assert words == ["[CLS]", *["invoice"] * 3, *["crash"] * 9, "[SEP]"]
    assert tokens.truncated.tolist() == [True, False]


def test_head_tail_reads_the_end_of_a_very_long_text(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    text = "invoice " * 5_000 + "crash"
    tokens = tokenize(tokenizer, [text], max_length=10, long_text="head_tail")
    assert tokenizer.decode(tokens[0].tolist()).endswith("crash [SEP]")


def test_windows_overlap_and_each_has_its_special_tokens(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    text = "hello again invoice crash meeting payment refund error note garden"
    params = {"overlap": 0.5, "max_windows": 9}
    tokens = tokenize(
        tokenizer,
        [text, "invoice"],
        max_length=6,
        long_text="windows",
        long_text_params=params,
    )
    decoded = [
        tokenizer.decode(tokens.sequences[i]) for i in range(len(tokens.sequences))
    ]
    assert decoded == [
        "[CLS] hello again invoice crash [SEP]",
        "[CLS] invoice crash meeting payment [SEP]",
        "[CLS] meeting payment refund error [SEP]",
        "[CLS] refund error note garden [SEP]",
        "[CLS] invoice [SEP]",
    ]
    assert tokens.offsets.tolist() == [0, 4, 5]
    assert tokens.lengths.tolist() == [24, 3]
    assert not tokens.truncated.any()


def test_a_text_longer_than_its_windows_is_cut(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    params = {"max_windows": 2, "overlap": 0}
    options = {"long_text": "windows", "long_text_params": params}
    texts = ["invoice " * n for n in (8, 9, 10_000)]
    tokens = tokenize(tokenizer, texts, max_length=6, **options)
    assert tokens.truncated.tolist() == [False, True, True]
    assert np.diff(tokens.offsets).tolist() == [2, 2, 2]


def test_a_very_long_text_is_cut_before_it_is_tokenized(tiny_bert, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    seen = []
    call = type(tokenizer).__call__

    def record(self, text, **kwargs):
        seen.append(max(map(len, text)) if isinstance(text, list) else len(text))
        return call(self, text, **kwargs)

    monkeypatch.setattr(type(tokenizer), "__call__", record)
    tokens = tokenize(tokenizer, ["a " * 1_000_000], max_length=8)
    assert max(seen) == 32 * 8
    assert len(tokens[0]) == 8
    # Letters without a space are one unknown token: only the cut tells.
    assert tokenize(tokenizer, ["q" * 10_000], max_length=8).truncated[0]


def test_long_texts_are_tokenized_few_at_a_time(tiny_bert, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    texts = ["crash", "invoice " * 10, "error " * 4, "a", "b " * 60, "c"]
    expected = tokenize(tokenizer, texts, max_length=12, long_text="head_tail")
    seen = []
    call = type(tokenizer).__call__

    def record(self, text, **kwargs):
        seen.append(text)
        return call(self, text, **kwargs)

    monkeypatch.setattr(tokenization, "_CHARACTERS_PER_CALL", 100)
    monkeypatch.setattr(type(tokenizer), "__call__", record)
    tokens = tokenize(tokenizer, texts, max_length=12, long_text="head_tail")
    calls = [text for text in seen if isinstance(text, list)]
    assert [len(call) for call in calls] == [2, 2, 1, 1]
    np.testing.assert_array_equal(tokens.ids, expected.ids)
    np.testing.assert_array_equal(tokens.offsets, expected.offsets)


def test_the_callers_list_is_left_alone():
    texts = ["a \ud800", "b"]
    assert check_texts(texts) == ["a \ufffd", "b"]
    assert texts == ["a \ud800", "b"]


def test_no_room_for_a_text_is_an_error(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    with pytest.raises(ValueError, match="max_length=2 leaves no room.*3 or more"):
        tokenize(tokenizer, ["a"], max_length=2)


def test_a_tokenizer_that_hides_the_text_is_refused():
    def reverse(text, add_special_tokens=True):
        return {"input_ids": [1, 9, 2] if add_special_tokens else [5]}

    with pytest.raises(ValueError, match="special tokens around a text"):
        tokenize(reverse, ["a"], max_length=8)


def test_take_keeps_rows_together(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokens = tokenize(tokenizer, TEXTS, max_length=12)
    taken = tokens.take(np.array([2, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken[0], tokens[2])
    np.testing.assert_array_equal(taken[1], tokens[0])
    assert len(tokens.take(np.array([], dtype=int)).ids) == 0


def test_a_pattern_that_backtracks_for_ever_is_an_error(tiny_bert):
    """It panics in the tokenizers library, and a panic is no Exception."""
    tokenizer = load_tokenizer(tiny_bert)
    pattern = pre_tokenizers.Split(Regex("(x+x+)+y"), "isolated")
    tokenizer.backend_tokenizer.pre_tokenizer = pattern
    tokenize(tokenizer, ["nothing to repeat"], max_length=8)

    with pytest.raises(ValueError, match="the tokenizer fails on a text: Onig"):
        tokenize(tokenizer, ["x" * 60], max_length=8)

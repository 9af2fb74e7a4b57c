"""Texts in chunks: order, laziness, errors in the middle, and no thread left behind."""

import gc
import itertools
import sqlite3
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from skbert import TransformerMultiLabelClassifier
from skbert.prediction import mixin as predictions
from skbert.prediction.streaming import iterate_texts, one_ahead, read_chunks, slices


def count(consumed, n=None):
    """Yield numbers as texts; note each that was taken."""
    for i in itertools.count() if n is None else range(n):
        consumed.append(i)
        yield f"invoice {i}"


def failing(n, error):
    yield from (f"crash {i}" for i in range(n))
    raise error


def ahead_threads():
    return [t for t in threading.enumerate() if t.name.startswith("skbert-ahead")]


def read_until_error(rows, error):
    """Return what comes before the error, and the error."""
    read = []
    with pytest.raises(error) as raised:
        for row in rows:
            read.append(row)
    return read, str(raised.value)


# --- chunks ---------------------------------------------------------------------------


def test_slices_cover_the_texts():
    assert list(slices(list("abcde"), 2)) == [["a", "b"], ["c", "d"], ["e"]]


def test_chunks_end_at_their_size():
    chunks = list(read_chunks(iter("abcde"), 2, "texts"))
    assert chunks == [["a", "b"], ["c", "d"], ["e"]]
    assert list(read_chunks([], 2, "texts")) == []


def test_chunks_of_long_texts_end_early():
    texts = ["a" * 30, "b" * 80, "c", "d" * 200, "e"]
    chunks = list(read_chunks(texts, 10, "texts", max_characters=100))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]


def test_what_was_read_comes_before_the_error():
    read, message = read_until_error(
        read_chunks(failing(5, OSError("gone")), 3, "texts"), OSError
    )
    assert [len(chunk) for chunk in read] == [3, 2]
    assert message == "gone"


def test_lone_surrogates_are_replaced_in_streams_too():
    assert list(read_chunks(["a \ud800"], 3, "texts")) == [["a \ufffd"]]


@pytest.mark.parametrize(
    "texts",
    [
        ("a", "b"),
        iter(["a", "b"]),
        {"a": 1, "b": 2}.keys(),
        pd.Series(["a", "b"], index=[7, 8]),
        np.array([["a"], ["b"]], dtype=object),
        pd.DataFrame({"text": ["a", "b"]}),
    ],
)
def test_streams_and_sequences_are_read_alike(texts):
    assert list(iterate_texts(texts, "texts")) == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("a text", TypeError, "texts must be a sequence.*single str"),
        (b"a text", TypeError, "single bytes"),
        (None, TypeError, "single NoneType"),
        (7, TypeError, "single int"),
        ({"a": 1}, TypeError, "single dict"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "one column of texts"),
    ],
)
def test_what_is_no_stream_is_refused(texts, error, message):
    with pytest.raises(error, match=message):
        iterate_texts(texts, "texts")


# --- one ahead ------------------------------------------------------------------------


def test_results_come_in_order_and_one_is_worked_on_ahead():
    threads = []

    def double(i):
        threads.append(threading.current_thread().name)
        return 2 * i

    assert list(one_ahead(range(5), double)) == [0, 2, 4, 6, 8]
    assert threads[0] == threading.current_thread().name
    assert all(name.startswith("skbert-ahead") for name in threads[1:])
    assert ahead_threads() == []


def test_one_item_needs_no_thread_and_none_no_work():
    assert list(one_ahead([3], lambda i: threading.get_ident())) == [
        threading.get_ident()
    ]
    assert list(one_ahead([], lambda i: 1 / 0)) == []


def test_items_are_taken_in_the_callers_thread():
    seen = []

    def items():
        for i in range(4):
            seen.append(threading.get_ident())
            yield i

    list(one_ahead(items(), abs))
    assert set(seen) == {threading.get_ident()}


@pytest.mark.parametrize("n", [0, 1, 3])
def test_results_before_an_error_of_the_items_are_yielded(n):
    read, _ = read_until_error(one_ahead(failing(n, OSError("gone")), len), OSError)
    assert len(read) == n


def test_results_before_an_error_of_the_work_are_yielded():
    read, _ = read_until_error(one_ahead([4, 2, 0, 1], lambda i: 4 // i), Exception)
    assert read == [1, 2]


# --- the estimator --------------------------------------------------------------------


@pytest.fixture
def clf(tiny_bert, emails):
    X, y = emails
    return TransformerMultiLabelClassifier(
        str(tiny_bert),
        pooling="mean",
        max_length=64,
        max_epochs=2,
        device="cpu",
        precision="fp32",
        random_state=0,
    ).fit(X, y)


def test_predictions_in_chunks_are_those_of_the_whole(clf, emails, monkeypatch):
    X, _ = emails
    whole = clf.predict_proba(X), clf.decision_function(X)
    labels = clf.predict(X), clf.predict_labels(X)
    monkeypatch.setattr(predictions, "texts_per_chunk", lambda n_labels: 7)
    np.testing.assert_allclose(clf.predict_proba(X), whole[0], atol=1e-5)
    np.testing.assert_allclose(clf.decision_function(X), whole[1], atol=1e-5)
    np.testing.assert_array_equal(clf.predict(X), labels[0])
    assert clf.predict_labels(X) == labels[1]


@pytest.mark.parametrize("chunk_size", [1, 7, 60, 1000])
def test_a_stream_gives_the_rows_of_predict_proba(clf, emails, chunk_size):
    X, _ = emails
    rows = list(clf.iter_predict_proba(iter(X), chunk_size=chunk_size))
    assert {(row.shape, row.dtype.name) for row in rows} == {((3,), "float64")}
    np.testing.assert_allclose(rows, clf.predict_proba(X), atol=1e-5)
    assert ahead_threads() == []


def test_one_chunk_is_equal_to_the_bit(clf, emails):
    X, _ = emails
    rows = list(clf.iter_predict_proba(X))
    np.testing.assert_array_equal(rows, clf.predict_proba(X))


def test_one_dimension_gives_a_probability_per_class(clf, emails):
    X, y = emails
    clf.fit(X, y[:, 0])
    rows = list(clf.iter_predict_proba(X, chunk_size=13))
    np.testing.assert_allclose(rows, clf.predict_proba(X), atol=1e-5)
    assert rows[0].shape == (2,)


def test_an_endless_stream_is_read_two_chunks_ahead_and_closing_ends_it(clf):
    consumed = []
    rows = clf.iter_predict_proba(count(consumed), chunk_size=10)
    assert consumed == []
    for n_yielded in range(1, 36):
        next(rows)
        assert len(consumed) <= n_yielded + 20
    rows.close()
    assert len(consumed) <= 55
    assert ahead_threads() == []
    assert list(rows) == []


def test_a_stream_that_is_forgotten_leaves_no_thread(clf):
    rows = clf.iter_predict_proba(count([]), chunk_size=5)
    next(rows)
    del rows
    gc.collect()
    assert ahead_threads() == []


@pytest.mark.parametrize("n", [0, 3, 10, 14])
def test_rows_before_an_error_of_the_stream_are_yielded(clf, n):
    rows = clf.iter_predict_proba(failing(n, OSError("the line is cut")), chunk_size=5)
    read, message = read_until_error(rows, OSError)
    assert message == "the line is cut"
    expected = clf.predict_proba([f"crash {i}" for i in range(n)]) if n else []
    np.testing.assert_allclose(read, expected, atol=1e-5)
    assert ahead_threads() == []


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (None, ValueError, r"texts, row 12 is missing \(None\)"),
        (float("nan"), ValueError, r"texts, row 12 is missing \(NaN\)"),
        (b"crash", TypeError, "texts, row 12 is bytes"),
        (3, TypeError, "texts, row 12 is 3"),
    ],
)
def test_an_entry_that_is_no_text_is_named_after_the_rows_before_it(
    clf, bad, error, message
):
    rows = clf.iter_predict_proba(["crash"] * 12 + [bad, "crash"], chunk_size=5)
    read, told = read_until_error(rows, error)
    assert len(read) == 12
    assert told.startswith(message.replace("\\", ""))


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, OSError])
def test_an_error_of_the_stream_is_left_as_it_is(clf, error):
    def texts():
        yield "hello"
        raise raised

    raised = error("the server is out of memory")
    rows = clf.iter_predict_proba(texts())
    next(rows)
    with pytest.raises(error) as caught:
        next(rows)
    assert caught.value is raised


def test_an_empty_stream_gives_nothing(clf):
    assert list(clf.iter_predict_proba([])) == []


def test_what_cannot_be_streamed_is_refused_at_once(clf):
    with pytest.raises(TypeError, match="single str"):
        clf.iter_predict_proba("crash")
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        clf.iter_predict_proba(["crash"], chunk_size=0)
    with pytest.raises(NotFittedError):
        TransformerMultiLabelClassifier().iter_predict_proba(["crash"])


def test_a_cursor_of_a_database_is_read(clf):
    database = sqlite3.connect(":memory:")
    database.execute("create table mails (body text)")
    database.executemany("insert into mails values (?)", [("crash",)] * 25)
    cursor = database.execute("select body from mails")
    rows = list(clf.iter_predict_proba((body for (body,) in cursor), chunk_size=4))
    database.close()
    assert len(rows) == 25


def test_other_predictions_may_be_made_between_the_rows(clf, emails):
    X, _ = emails
    expected = clf.predict_proba(X)
    for row, one in zip(clf.iter_predict_proba(X, chunk_size=4), X, strict=True):
        np.testing.assert_allclose(clf.predict_proba([one])[0], row, atol=1e-5)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_the_model_is_that_of_the_call(clf, emails):
    X, y = emails
    expected = clf.predict_proba(X)
    rows = clf.iter_predict_proba(X, chunk_size=10)
    clf.fit(X, 1 - y)
    np.testing.assert_allclose(list(rows), expected, atol=1e-5)


def test_a_kept_row_keeps_nothing_else(clf, emails):
    row = next(clf.iter_predict_proba(emails[0]))
    assert row.base is None


@pytest.mark.parametrize("long_text", ["truncate", "head_tail"])
def test_a_very_long_text_does_not_widen_the_batches_of_short_ones(
    clf, monkeypatch, long_text
):
    shapes = []

    def note(module, args):
        shapes.append(tuple(args[0].shape))

    short = [f"crash {i}" for i in range(200)]
    expected = clf.predict_proba(short)
    clf.long_text_ = long_text
    handle = clf.net_.module_.register_forward_pre_hook(note)
    proba = clf.predict_proba([*short[:100], "crash " * 16_700, *short[100:]])
    handle.remove()
    assert sum(rows for rows, _ in shapes) == 201
    # It shares a batch, at most, with as many texts as the budget of tokens allows.
    assert max(width for _, width in shapes) == 64
    assert max(rows * width for rows, width in shapes) <= 2048
    np.testing.assert_allclose(np.delete(proba, 100, axis=0), expected, atol=1e-5)


def test_a_slow_tokenizer_streams_too(checkpoint, emails):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        checkpoint("canine"), max_length=256, max_epochs=1, device="cpu", random_state=0
    ).fit(X, y)
    assert not clf.tokenizer_.is_fast
    rows = list(clf.iter_predict_proba(X, chunk_size=16))
    np.testing.assert_allclose(rows, clf.predict_proba(X), atol=1e-3)

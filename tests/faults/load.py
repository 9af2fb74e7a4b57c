"""Load: many threads, forks, and texts of every size on one fitted estimator."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import traceback
from functools import cache, partial
from pathlib import Path

import numpy as np

from checkpoints import CORPUS, make_checkpoint
from daemon_threads import in_threads
from tests.faults.fault import Fault

N_THREADS = 16
N_LABELS = 3
MAX_LENGTH = 32


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Return a folder that is gone with the process."""
    return tempfile.TemporaryDirectory(prefix="skbert-load-")


@cache
def _fitted():
    """Return a fitted classifier, the same for all injections, and its folder."""
    from skbert import TransformerMultiLabelClassifier

    model, saved = (Path(_folder().name) / name for name in ("model", "saved"))
    make_checkpoint("bert", model)
    texts = list(CORPUS) * 2
    y = np.arange(len(texts))[:, np.newaxis] % np.arange(2, 2 + N_LABELS) == 0
    clf = TransformerMultiLabelClassifier(
        model, max_length=MAX_LENGTH, max_epochs=2, device="cpu", random_state=0
    ).fit(texts, y)
    clf.save_pretrained(saved)
    return clf, saved


def _some_texts(rng: np.random.Generator) -> list[str]:
    n_texts = rng.integers(1, 60)
    return [" ".join(rng.choice(CORPUS, rng.integers(1, 4))) for _ in range(n_texts)]


def _in_threads(action) -> list:
    """Call the action from all threads at once; a thread that hangs is an error."""
    return in_threads([partial(action, number) for number in range(N_THREADS)])


def _sixteen_threads(seed: int) -> None:
    """Each thread predicts its own texts; afterwards this one predicts them all."""
    clf, _ = _fitted()
    rng = np.random.default_rng(seed)
    texts = [_some_texts(rng) for _ in range(N_THREADS)]

    def work(number: int) -> tuple:
        mine = texts[number]
        rows = list(clf.iter_predict_proba(iter(mine), chunk_size=16))
        return clf.predict_proba(mine), clf.predict_labels(mine), np.array(rows)

    for number, answers in enumerate(_in_threads(work)):
        proba, labels, rows = work(number)
        np.testing.assert_array_equal(answers[0], proba)
        assert answers[1] == labels
        np.testing.assert_array_equal(answers[2], rows)


def _first_use_by_sixteen_threads(seed: int) -> None:
    """A model that was just loaded is asked by all threads at once."""
    from skbert import TransformerMultiLabelClassifier

    clf, saved = _fitted()
    texts = _some_texts(np.random.default_rng(seed))
    expected = clf.predict_proba(texts)
    loaded = TransformerMultiLabelClassifier.from_pretrained(saved, device="cpu")
    for proba in _in_threads(lambda number: loaded.predict_proba(texts)):
        np.testing.assert_array_equal(proba, expected)


def _fork_after_a_fit(seed: int) -> None:
    """A forked child predicts, and fits, what its parent did."""
    clf, _ = _fitted()
    texts = _some_texts(np.random.default_rng(seed))
    expected = clf.predict_proba(texts)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            np.testing.assert_array_equal(clf.predict_proba(texts), expected)
            y = np.arange(len(CORPUS))[:, np.newaxis] % [2, 3] == 0
            again = clf.__class__(**clf.get_params()).fit(list(CORPUS), y)
            assert np.isfinite(again.predict_proba(texts)).all()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    waiter = threading.Timer(60, os.kill, (child, 9))  # a child that hangs
    waiter.start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    waiter.cancel()
    assert code == 0, f"the child ended with {code}"
    np.testing.assert_array_equal(clf.predict_proba(texts), expected)


def _line_of_ten_megabytes(seed: int) -> None:
    """A text of 10 MB without a line break is read as far as others are."""
    clf, _ = _fitted()
    rng = np.random.default_rng(seed)
    kinds = ["word ", "a", "\0", "é", "漢", "😀", "\u202e", "\ud800", "a\u0301"]
    # Not an array of kinds: that would drop NUL.
    unit = "".join(kinds[i] for i in rng.integers(len(kinds), size=rng.integers(1, 6)))
    whole = unit * (10_000_000 // len(unit.encode("utf-8", "surrogatepass")))
    texts = [whole, CORPUS[0], whole]
    start = whole[: 32 * MAX_LENGTH]
    expected = clf.predict_proba([start, CORPUS[0], start])
    np.testing.assert_array_equal(clf.predict_proba(texts), expected)


def _million_empty_texts(seed: int) -> None:
    """A million texts of nothing get the answer that one of them gets."""
    clf, _ = _fitted()
    proba = clf.predict_proba([""] * 1_000_000)
    assert proba.shape == (1_000_000, N_LABELS)
    expected = clf.predict_proba([""])
    assert np.abs(proba - expected).max() < 1e-3


LOAD_FAULTS = (
    Fault("16 threads, one estimator", _sixteen_threads, 1, 20, 200),
    Fault("16 threads, just loaded", _first_use_by_sixteen_threads, 3, 20, 200),
    Fault("fork after a fit", _fork_after_a_fit, 2, 10, 50),
    Fault("10 MB in one line", _line_of_ten_megabytes, 2, 10, 50),
    Fault("a million empty texts", _million_empty_texts, 0, 1, 3),
)

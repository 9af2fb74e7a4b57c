"""One estimator, many threads and processes: the answers of one thread, to the bit."""

import copy
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from functools import partial
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import skbert.prediction.mixin
from daemon_threads import in_threads
from skbert import TransformerMultiLabelClassifier, TunedThresholdsClassifierCV
from skbert.inputs.targets import CONSTANT_LABELS, encode_targets
from skbert.training.checks import check_scoring
from skbert.training.fit_checkpoints import EpochStates

N_THREADS = 16
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(checkpoint, tmp_path_factory):
    """Give a tiny model whose tokenizer says how it pads and cuts, as MiniLM's does."""
    folder = tmp_path_factory.mktemp("model")
    for file in checkpoint("bert").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=9)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.fixture
def make(model):
    def make(**changes):
        settings = {
            "pooling": "mean",
            "max_length": 64,
            "max_epochs": 1,
            "learning_rate": 3e-3,
            "device": "cpu",
            "random_state": 0,
        }
        return TransformerMultiLabelClassifier(model, **(settings | changes))

    return make


@pytest.fixture
def eager_switches():
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def mixed_calls(clf, texts):
    """Return one call of each kind, on parts of the texts."""
    return [
        lambda: clf.predict_proba(texts),
        lambda: clf.decision_function(texts[:9]),
        lambda: clf.predict(texts[3:]),
        lambda: clf.predict_labels(texts[::2]),
        lambda: np.array(list(clf.iter_predict_proba(iter(texts), chunk_size=7))),
        lambda: clf.predict_proba(texts[:1]),
    ]


def assert_same(got, expected):
    assert type(got) is type(expected)
    if isinstance(got, list):
        assert got == expected
    else:
        np.testing.assert_array_equal(got, expected)


# --- threads --------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_that_share_an_estimator_get_one_threads_answers(
    make, emails, eager_switches, precision
):
    X, y = emails
    clf = make(precision=precision).fit(X, y)
    X = X[:20]
    expected = [call() for call in mixed_calls(clf, X)]

    def work(first):
        calls = mixed_calls(clf, X)
        order = [(first + i) % len(calls) for i in range(len(calls))]
        return [(i, calls[i]()) for i in order]

    for answers in in_threads([lambda n=n: work(n) for n in range(N_THREADS)]):
        for number, answer in answers:
            assert_same(answer, expected[number])


@pytest.mark.parametrize("long_text", ["truncate", "head_tail", "windows"])
def test_the_first_predictions_of_a_loaded_model_may_come_from_many_threads(
    make, emails, eager_switches, tmp_path, long_text
):
    X, y = emails
    clf = make(long_text=long_text).fit(X, y)
    clf.save_pretrained(tmp_path)
    # As the files of published models have it: see `model`.
    tokenizer = AutoTokenizer.from_pretrained(clf.model)
    assert tokenizer.backend_tokenizer.truncation is not None
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    expected = clf.predict_proba(X)
    for _ in range(5):
        loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path, device="cpu")
        for proba in in_threads([partial(loaded.predict_proba, X)] * N_THREADS):
            np.testing.assert_array_equal(proba, expected)


def test_threads_that_predict_compute_in_no_more_threads_than_there_are_cores(
    make, emails
):
    X, y = emails
    clf = make().fit(X, y)
    names = set()

    def note(*_):
        names.add(threading.current_thread().name)

    clf.net_.module_.register_forward_hook(note)
    clf.predict_proba(X[:1])
    assert names == {threading.current_thread().name}  # the main thread computes itself
    names.clear()
    in_threads([partial(clf.predict_proba, X)] * (3 * joblib.cpu_count()))
    n_cores = max(1, joblib.cpu_count() // torch.get_num_threads())
    assert 1 <= len(names) <= n_cores


HANG = """
import threading
from daemon_threads import in_threads

try:
    in_threads([threading.Event().wait, lambda: 7], seconds=1)
except TimeoutError as error:
    print(error)
"""


def test_a_thread_that_hangs_is_an_error_and_lets_python_end():
    assert run_python(HANG, seconds=60) == ("1 of 2 threads hang\n", "")


def test_a_fit_and_predictions_of_others_do_not_disturb_each_other(
    make, emails, eager_switches
):
    X, y = emails
    first, second = make().fit(X, y), make(long_text="windows").fit(X, 1 - y)
    expected = first.predict_proba(X), second.predict_proba(X)

    def predict(clf):
        return [clf.predict_proba(X) for _ in range(10)]

    def fit():
        return make(validation_fraction=0.2, max_epochs=3).fit(X, y)

    alone = fit()
    *answers, fitted, again = in_threads(
        [lambda: predict(first), lambda: predict(second), fit, fit]
    )
    for got, right in zip(answers, expected, strict=True):
        for proba in got:
            np.testing.assert_array_equal(proba, right)
    for clf in (fitted, again):
        np.testing.assert_array_equal(clf.predict_proba(X), alone.predict_proba(X))
        assert clf.history_[-1]["train_loss"] == alone.history_[-1]["train_loss"]


@pytest.mark.parametrize("kind", ["labels", "classes"])
def test_a_fit_amid_a_prediction_changes_nothing_of_it(make, emails, monkeypatch, kind):
    X, y = emails
    y_of = {"labels": y, "classes": np.array(["ham", "spam"])[y[:, 0]]}
    first_y = y_of.pop(kind)
    (other_y,) = y_of.values()
    before = make(threshold=0.0).fit(X, first_y)
    after = make(threshold=1.0).fit(X, other_y[:, :2] if other_y.ndim == 2 else other_y)
    chunk_logits = skbert.prediction.mixin.chunk_logits

    def fit_then_yield(*args):
        for logits in chunk_logits(*args):
            clf.__dict__ = vars(after).copy()
            yield logits

    def calls(clf):
        return [*mixed_calls(clf, X), lambda: clf.score(X, first_y)]

    for number, call in enumerate(calls(before)):
        expected = call()
        clf = copy.copy(before)
        with monkeypatch.context() as patch:
            patch.setattr(skbert.prediction.mixin, "chunk_logits", fit_then_yield)
            assert_same(calls(clf)[number](), expected)
        assert clf.thresholds_[0] == 1


def test_nobody_finds_half_of_a_fit(make, emails):
    X, y = emails
    answers = {}

    class Watched(TransformerMultiLabelClassifier):
        """Predicts, as another thread may, whenever an attribute is set."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if watched:
                answers[name] = clf.predict_labels(X[:2])

    watched = False
    clf = Watched(**make(threshold=0.0).get_params()).fit(X, y)
    expected = clf.predict_labels(X[:2])
    clf.set_params(threshold=1.0)
    watched = True
    clf.fit(X, y[:, :2])
    assert answers.pop("__dict__") == clf.predict_labels(X[:2]) == [(), ()]
    assert {"net_", "classes_", "thresholds_"} <= answers.keys()
    for name, answer in answers.items():
        assert answer == expected, name


# --- what belongs to the whole process ------------------------------------------------


def test_filters_of_warnings_are_the_callers_after_many_threads(
    make, emails, eager_switches
):
    X, y = emails
    before = list(warnings.filters)
    targets = encode_targets(y[:2])
    in_threads([lambda: [check_scoring("f1_macro", targets) for _ in range(20)]] * 8)
    assert warnings.filters == before
    y[:, 0] = 0  # constant: said once, and by no fold
    tuned = TunedThresholdsClassifierCV(make(), cv=3, n_jobs=3)
    with joblib.parallel_config("threading"):
        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            tuned.fit(X, y)
    said = [re.match(CONSTANT_LABELS, str(warning.message)) for warning in record]
    assert len([match for match in said if match]) == 1
    assert warnings.filters == before


GLOBAL_STATE = """
import logging, os, random, signal, sys, threading, warnings
import numpy as np, torch
from skbert import TransformerMultiLabelClassifier

def state():
    names = sorted(logging.root.manager.loggerDict)
    loggers = [logging.getLogger(name) for name in names]
    return {
        "random": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy errors": np.geterr(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "signals": [signal.getsignal(s) for s in sorted(signal.valid_signals())],
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "warnings": list(warnings.filters),
        "running": sorted(t.name for t in threading.enumerate()),
        "levels": {log.name: log.level for log in loggers},
        "handlers": {log.name: list(map(str, log.handlers)) for log in loggers},
    }

texts = ["the invoice", "a crash", "a note", "the meeting"] * 5
y = [[1, 0], [0, 1], [0, 0], [1, 1]] * 5
def make():
    return TransformerMultiLabelClassifier(
        sys.argv[1], max_length=16, max_epochs=2, device="cpu",
        validation_fraction=0.3, random_state=0
    )
def use():
    clf = make().fit(texts, y)
    clf.predict(texts), list(clf.iter_predict_proba(texts, chunk_size=3))
    clf.save_pretrained(sys.argv[2])
    TransformerMultiLabelClassifier.from_pretrained(sys.argv[2]).predict_labels(texts)

before = state()
use()
after = state()
# Modules that were imported meanwhile have loggers of their own.
for key in ("levels", "handlers"):
    after[key] = {name: after[key][name] for name in before[key]}
changed = [key for key in before if before[key] != after[key]]
print(changed, {key: (before[key], after[key]) for key in changed})
assert not changed
again = state()
use()
assert state() == again
"""


def run_python(source, *arguments, seconds=300, **environment):
    """Run a script in a process of its own; return what it prints on both streams."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,  # a hang limit
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_the_state_of_the_process_is_left_alone(model, tmp_path):
    run_python(GLOBAL_STATE, model, tmp_path / "saved")


# --- processes ------------------------------------------------------------------------


AFTER_A_FORK = """
import os, signal, sys
import numpy as np, torch
from skbert import TransformerMultiLabelClassifier

torch.set_num_threads(int(sys.argv[2]))
# Enough of them for torch to use its threads, and the tokenizer its own.
texts = ["the invoice and a crash " * 9, "a note", "the payment " * 20] * 60
y = np.array([[1, 0], [0, 1], [1, 1]] * 60)
def make():
    return TransformerMultiLabelClassifier(
        sys.argv[1], max_length=64, max_epochs=1, batch_size=64, device="cpu",
        precision="fp32", random_state=0,
    )
clf = make().fit(texts, y)
expected = clf.predict_proba(texts)
child = os.fork()
if child == 0:
    signal.alarm(280)  # where it hangs it must not outlive the test
    status = 1
    try:
        proba = clf.predict_proba(texts)
        np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-5)
        again = make().fit(texts, y).predict_proba(texts)
        np.testing.assert_allclose(again, expected, rtol=0, atol=1e-3)
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
# The parent goes on as before.
assert torch.get_num_threads() == int(sys.argv[2])
np.testing.assert_array_equal(clf.predict_proba(texts), expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a GPU torch refuses to train after a fork"
)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_forked_child_predicts_and_fits(model, n_threads):
    _, said = run_python(AFTER_A_FORK, model, n_threads)
    assert said == ""


def test_a_pickle_is_read_in_another_process(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        proba = pool.apply_async(clf.predict_proba, (X,)).get(timeout=120)
    np.testing.assert_array_equal(proba, clf.predict_proba(X))


def test_a_lock_on_a_file_that_another_fit_removed_meanwhile_locks_nothing(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")
    flock = fcntl.flock

    def remove_first(handle, operation):
        (tmp_path / "lock").unlink(missing_ok=True)
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with pytest.warns(UserWarning, match="The very same fit is going on elsewhere"):
        with EpochStates(tmp_path):
            pass


@pytest.mark.parametrize("copied", ["pickle", "cloudpickle", "deepcopy"])
def test_a_copy_is_made_while_others_predict(make, emails, eager_switches, copied):
    X, y = emails
    clf = make().fit(X, y)
    expected = clf.predict_proba(X)
    way = {
        "pickle": lambda: pickle.loads(pickle.dumps(clf)),
        "cloudpickle": lambda: cloudpickle.loads(cloudpickle.dumps(clf)),
        "deepcopy": lambda: copy.deepcopy(clf),
    }[copied]
    *copies, proba = in_threads([way, way, way, lambda: clf.predict_proba(X)])
    np.testing.assert_array_equal(proba, expected)
    for clf in copies:
        np.testing.assert_array_equal(clf.predict_proba(X), expected)


# --- from a GPU to the CPU ------------------------------------------------------------


@pytest.fixture(scope="module")
def tagged_as_on_a_gpu():
    """Let torch write that tensors lie on a GPU: there is none here.

    What it writes of a tensor on the CPU and of one on a GPU differs in this alone.
    """
    tags = []  # empty but for a moment: what is registered stays so
    torch.serialization.register_package(
        1, lambda storage: tags[0] if tags else None, lambda storage, location: None
    )
    return tags


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize(
    ("device", "asked", "precision"),
    [
        ("cuda", "auto", None),
        ("cuda:1", "fp32", "fp32"),
        ("cuda", "fp16", None),
        ("mps", "auto", None),
    ],
)
def test_a_pickle_from_a_gpu_is_read_on_the_cpu(
    make, emails, tagged_as_on_a_gpu, device, asked, precision
):
    X, y = emails
    clf = make(precision="fp32", warm_start=True).fit(X, y)
    expected = clf.predict_proba(X)
    clf.device_ = clf.net_.device = device
    clf.net_.asked_precision = asked
    clf.precision_ = clf.net_.precision_ = "fp32" if asked == "fp32" else "fp16"
    tagged_as_on_a_gpu.append("mps" if device == "mps" else "cuda:0")
    data = pickle.dumps(clf)
    tagged_as_on_a_gpu.clear()
    with pytest.warns(UserWarning, match=f"pickled on device='{device}'.*on 'cpu' now"):
        loaded = pickle.loads(data)
    best = make(precision="auto").fit(X, y).precision_
    assert loaded.precision_ == loaded.net_.precision_ == (precision or best)
    assert loaded.device_ == loaded.net_.device == "cpu"
    atol = 0 if precision == "fp32" else 1e-2
    np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=0, atol=atol)
    assert loaded.fit(X, y).n_iter_ == 1

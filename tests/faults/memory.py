"""Faults of memory and of numbers, and fits that fail half-way."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from checkpoints import make_checkpoint
from skbert import TransformerMultiLabelClassifier, make_emails
from skbert.models.module import MultiLabelModule
from tests.faults.fault import Fault

__all__ = ["MEMORY_FAULTS"]

# Of child processes: where a thread cannot start, OpenMP and the tokenizers end them.
_SETTINGS = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
# The allocator gives back at once what tensors of the size of weights took.
_GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "1000000"}


@cache
def _data() -> tuple[list[str], np.ndarray]:
    emails = make_emails(48, random_state=0)
    # To a tiny vocabulary most letters are tokens.
    return [text[:50] for text in emails.data], emails.target.to_numpy()[:, :4]


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="skbert-faults-")


@cache
def _checkpoint() -> str:
    return str(make_checkpoint("bert", Path(_temporary().name, "tiny")))


@cache
def _wide_checkpoint() -> str:
    """Return a model of 70 MB that needs as much for a text of 512 tokens."""
    folder = make_checkpoint(
        "bert",
        Path(_temporary().name, "wide"),
        hidden_size=256,
        intermediate_size=16384,
        max_position_embeddings=512,
    )
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"model_max_length": 512}), encoding="utf-8")
    return str(folder)


def _classifier(**params) -> TransformerMultiLabelClassifier:
    settings = {
        "model": _checkpoint(),
        "pooling": "mean",
        "max_length": 64,
        "max_epochs": 2,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "device": "cpu",
        "precision": "fp32",
        "dropout": 0.0,
        "random_state": 0,
    }
    return TransformerMultiLabelClassifier(**(settings | params))


def _finite(clf: TransformerMultiLabelClassifier, X: list[str]) -> None:
    proba = clf.predict_proba(X)
    assert ((proba >= 0) & (proba <= 1)).all()
    for name, parameter in clf.net_.module_.named_parameters():
        assert torch.isfinite(parameter).all(), name


# --- out of memory in a step ----------------------------------------------------------


class _Full(Callback):
    """Stands for a GPU that is full: passes of more texts raise torch's own error."""

    def __init__(self, most: int, backward: bool) -> None:
        self.most, self.backward = most, backward

    def on_train_begin(self, net, **kwargs):
        net.module_.register_forward_hook(self._look)

    def _look(self, module: MultiLabelModule, inputs, logits: torch.Tensor) -> None:
        if len(logits) <= self.most:
            return
        if self.backward and logits.requires_grad:
            logits.register_hook(_fail)
        else:
            _fail()


def _fail(*args) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


@cache
def _plain(accumulation: int) -> np.ndarray:
    X, y = _data()
    clf = _classifier(gradient_accumulation_steps=accumulation)
    return clf.fit(X, y, X_val=X, y_val=y).predict_proba(X)


def _fill_memory(seed: int) -> None:
    X, y = _data()
    rng = np.random.default_rng(seed)
    accumulation = int(rng.integers(1, 4))
    full = _Full(most=int(rng.integers(1, 8)), backward=bool(rng.integers(2)))
    clf = _classifier(gradient_accumulation_steps=accumulation, net_callbacks=[full])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X, y, X_val=X, y_val=y)
    messages = [str(warning.message) for warning in caught]
    assert sum("Memory does not suffice" in message for message in messages) == 1
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba, _plain(accumulation), rtol=0, atol=1e-4)


# --- memory capped --------------------------------------------------------------------

_CAPPED = """
    import resource, sys
    import numpy as np
    from skbert import TransformerMultiLabelClassifier

    def cap(room):
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        used = int(open("/proc/self/statm").read().split()[0])
        limit = hard if room is None else used * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))

    folder, rooms = sys.argv[1], [2**20 * int(room) for room in sys.argv[2:]]
    X, y = ["crash invoice " * 250, "hello"], [[1, 0], [0, 1]]
    clf = TransformerMultiLabelClassifier(
        folder, max_length=512, max_epochs=1, precision="fp32", device="cpu",
        dropout=0.0, random_state=0
    )
    clf.fit(["hello"] * 2, y)
    proba = clf.predict_proba(["hello"])
    for method, room in zip((clf.predict_proba, lambda X: clf.fit(X, y)), rooms):
        cap(room)
        try:
            method(X)
        except MemoryError as error:
            print(error)
        else:
            print("It fitted.")
        finally:
            cap(None)
        assert (clf.predict_proba(["hello"]) == proba).all()
    clf.predict_proba(X)
"""


def _cap_memory(seed: int) -> None:
    # A prediction takes 34 MB for what is in between two of its matrices; a fit runs
    # out of it while weights are loaded, or later.
    rng = np.random.default_rng(seed)
    rooms = [str(rng.integers(1, 30)), str(rng.integers(1, 200))]
    run = _child(_CAPPED, _wide_checkpoint(), *rooms, **_GIVES_BACK)
    prediction, fit = run.splitlines()
    for what, message in (("Prediction", prediction), ("The fit", fit)):
        assert message.startswith(f"{what} ran out of memory ("), message
        assert "max_length" in message, message


def _child(script: str, *args: str, **environment: str) -> str:
    """Return what a script prints in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        timeout=1200,
        env=os.environ | _SETTINGS | environment,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# --- fits in one process --------------------------------------------------------------

_FITS = """
    import json, resource, sys
    from skbert import TransformerMultiLabelClassifier, make_emails

    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

    params, n_fits = json.loads(sys.argv[1]), int(sys.argv[2])
    emails = make_emails(64, random_state=0)
    X, y = list(emails.data), emails.target
    sizes = []
    for _ in range(n_fits):
        clf = TransformerMultiLabelClassifier(
            max_epochs=1, device="cpu", random_state=0, **params
        ).fit(X, y)
        n_bytes = sum(4 * p.numel() for p in clf.net_.module_.parameters())
        del clf
        sizes.append(resident())
    print(json.dumps([n_bytes, sizes]))
"""


def _fits_in_one_process(params: dict, n_fits: int) -> tuple[int, list[int]]:
    """Return the bytes of a model, and those of a process after each of its fits."""
    return json.loads(_child(_FITS, json.dumps(params), str(n_fits)))


def _fit_again_and_again(seed: int) -> None:
    # The packaged MiniLM; short texts, so that it takes a minute.
    n_bytes, sizes = _fits_in_one_process({"max_length": 32}, 30)
    # The first fits make what a process has once: code, and products compiled.
    assert sizes[-1] - sizes[2] < n_bytes, (n_bytes, sizes)


# --- an error in the middle of a fit --------------------------------------------------


class _Break(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, net, training=False, **kwargs):
        self.step -= training
        if self.step == 0:
            raise RuntimeError("injected")


def _break_a_fit(seed: int) -> None:
    X, y = _data()
    rng = np.random.default_rng(seed)
    clf = _classifier(
        warm_start=bool(rng.integers(2)),
        trainable_layers=[None, 0, 1][rng.integers(3)],
    ).fit(X, y)
    proba = clf.predict_proba(X)
    state = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    clf.net_callbacks = [_Break(int(rng.integers(1, 7)))]
    try:
        clf.fit(X, y)
    except RuntimeError as error:
        assert str(error) == "injected"
    else:
        raise AssertionError("no error came")
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == state[1:]
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    gc.collect()


# --- numbers --------------------------------------------------------------------------


def _learn_too_fast(seed: int) -> None:
    X, y = _data()
    rng = np.random.default_rng(seed)
    rate = 10.0 ** rng.integers(1, 12) if seed else 10.0
    clf = _classifier(
        learning_rate=rate,
        head_learning_rate=rate,
        max_grad_norm=[None, 1.0][rng.integers(2)],
        precision=["fp32", "bf16"][rng.integers(2)],
        loss=["bce", "focal", "asymmetric"][rng.integers(3)],
        random_state=seed,
    )
    try:
        clf.fit(X, y)
    except ValueError as error:
        assert "learning rate is probably too high" in str(error)
    else:
        _finite(clf, X)


def _weigh_extremely(seed: int) -> None:
    X, y = _data()
    rng = np.random.default_rng(seed)
    pos_weight = 10.0 ** rng.integers(-6, 7, size=y.shape[1])
    weight = 10.0 ** rng.integers(-30, 31, size=len(X))
    loss = ["bce", "focal", "asymmetric"][rng.integers(3)]
    clf = _classifier(loss=loss, pos_weight=pos_weight)
    _finite(clf.fit(X, y, sample_weight=weight), X)


MEMORY_FAULTS = (
    Fault("out of memory in a step", _fill_memory, 2, 20, 400),
    Fault("memory capped", _cap_memory, 1, 2, 20),
    Fault("30 fits in one process", _fit_again_and_again, 0, 1, 2),
    Fault("error in the middle of a fit", _break_a_fit, 2, 15, 300),
    Fault("learning rate of 10 and more", _learn_too_fast, 2, 20, 400),
    Fault("extreme weights", _weigh_extremely, 2, 20, 300),
)

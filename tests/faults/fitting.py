"""Fitting: a small fit in a process of its own, which may be killed at any moment."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from checkpoints import CORPUS, make_checkpoint

# What a fit keeps a state of, in one way or another.
VARIANTS = (
    {},
    {"validation_fraction": 0.25, "n_iter_no_change": 2, "freeze_embeddings": False},
    {"gradient_accumulation_steps": 2, "trainable_layers": 1, "precision": "fp32"},
    {"long_text": "windows", "max_length": 12, "pooling": "native"},
)
MAX_EPOCHS = 6

_TEXTS = [f"{a} {b}" for a, b in zip(CORPUS * 3, CORPUS[1:] * 3, strict=False)]
_TARGETS = np.random.default_rng(0).integers(0, 2, (len(_TEXTS), 3))


@cache
def folder() -> Path:
    """Return a folder that is removed when this process ends."""
    temporary = tempfile.TemporaryDirectory(prefix="skbert-faults-")
    atexit.register(temporary.cleanup)
    return Path(temporary.name)


@cache
def model() -> Path:
    """Return the folder of a tiny random BERT."""
    return make_checkpoint("bert", folder() / "bert")


def classifier(variant: dict, checkpoint_dir: Path | None, model: Path, **params):
    """Return a classifier that is not fitted."""
    from skbert import TransformerMultiLabelClassifier

    return TransformerMultiLabelClassifier(
        **{
            "model": model,
            "max_length": 64,
            "max_epochs": MAX_EPOCHS,
            "batch_size": 8,
            "device": "cpu",
            "random_state": 0,
            "checkpoint_dir": checkpoint_dir,
        }
        | variant
        | params
    )


def fit(clf) -> tuple[dict, list[str]]:
    """Fit, and return what came of it, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(_TEXTS, _TARGETS)
    return outcome(clf), [str(w.message) for w in caught]


def outcome(clf) -> dict:
    """Return all that two equal fits have in common, to the bit."""
    found = {
        name: parameter.detach().numpy().tobytes()
        for name, parameter in clf.net_.module_.named_parameters()
    }
    history = [
        {key: value for key, value in row.items() if key != "dur"}
        for row in clf.history_
    ]
    proba = clf.predict_proba(_TEXTS)
    return found | {"history": history, "probabilities": proba.tobytes()}


@cache
def expected(number: int) -> dict:
    """Return what the fit of a variant comes to when nothing disturbs it."""
    with Fit(number, None) as undisturbed:
        return undisturbed.result()[0]


def assert_same(found: dict, number: int) -> None:
    """Check that a fit came to what the undisturbed one did."""
    different = [
        name for name, value in expected(number).items() if found[name] != value
    ]
    assert not different, f"{different} differ from the undisturbed fit's"
    assert found.keys() == expected(number).keys()


def epochs(checkpoint_dir: Path) -> list[int]:
    """Return the epochs of the states in a folder of folders, oldest first."""
    return sorted(
        int(path.name.split("-")[1]) for path in checkpoint_dir.glob("*/epoch-*")
    )


_IMPORTED = [
    "skbert.classifier",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
]


class Fit:
    """A fit in a process of its own: a copy of one in which all is imported.

    Parameters
    ----------
    number : int
        Of the variant.
    checkpoint_dir : Path or None
    prepare : callable, optional
        Called first in that process, with `args`.
    args : tuple
    again : bool, default=False
        After Ctrl-C, fit once more.
    """

    def __init__(self, number, checkpoint_dir, prepare=None, args=(), again=False):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED)
        self._receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_work,
            args=(
                sender,
                VARIANTS[number],
                checkpoint_dir,
                model(),
                prepare,
                args,
                again,
            ),
            daemon=True,
        )
        self.process.start()
        sender.close()

    def __enter__(self) -> Fit:
        return self

    def __exit__(self, *error) -> None:
        self.kill()
        self._receiver.close()
        self.process.close()

    def wait_for_start(self) -> None:
        """Wait until everything is imported, and `fit` is called."""
        assert self._receiver.recv() == "started"

    def is_over(self) -> bool:
        """Say whether the fit has ended, in whatever way."""
        return self._receiver.poll()

    def kill(self) -> None:
        """Kill the process as the kernel does it."""
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        os.kill(self.process.pid, signal.SIGINT)

    def result(self) -> tuple[dict, list[str]]:
        """Wait for what the process has to tell; EOFError where it was killed."""
        found = self._receiver.recv()
        if found == "started":
            found = self._receiver.recv()
        if isinstance(found, str):
            raise AssertionError(f"the fit failed: {found}")
        return found

    def assert_killed(self) -> None:
        """Check that the process kills itself, as it was prepared to do."""
        try:
            self.result()
        except EOFError:
            self.process.join()
        assert self.process.exitcode == -signal.SIGKILL


def _work(sender, variant, checkpoint_dir, model, prepare, args, again) -> None:
    import traceback

    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would outlive a process that is killed
    sys.stderr = open(os.devnull, "w")  # what is printed of a Ctrl-C
    if prepare is not None:
        prepare(*args)
    clf = classifier(variant, checkpoint_dir, model)
    try:
        sender.send("started")
        sender.send(_fit_again(clf) if again else fit(clf))
    except BaseException:
        sender.send(traceback.format_exc())
        raise


def _modes() -> dict:
    """Return what of this process a fit changes for a while."""
    import torch
    import transformers

    return {
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "device": torch.empty(0).device,
        "type": torch.get_default_dtype(),
        "random state": torch.get_rng_state().numpy().tobytes(),
        "bars": transformers.utils.logging.is_progress_bar_enabled(),
        "filters": [h.filters[:] for h in logging.getLogger("transformers").handlers],
    }


def _fit_again(clf) -> tuple[dict, list[str]]:
    """Fit until Ctrl-C comes, see that the classifier is whole, and fit once more."""
    from sklearn.exceptions import NotFittedError

    before = _modes()
    # Shells ignore it in what they run in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said = []
    try:
        try:
            said += fit(clf)[1]
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        said.append("raised")
    try:
        proba = clf.predict_proba(_TEXTS)
        assert proba.shape == _TARGETS.shape
        assert np.isfinite(proba).all()
        said.append("fitted")
    except NotFittedError:
        said.append("not fitted")
    assert _modes() == before
    found, later = fit(clf)
    return found, said + later

"""Folders from strangers: changed at random, then loaded in a process of its own.

A folder must be refused with a `ModelFormatError` or answer with probabilities, within
seconds, without running code, writing, asking the network or taking memory. If it was
changed in ways that mean nothing, it must answer as before.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from checkpoints import make_checkpoint
from save_format_fixture import fit_example
from tests.faults.fault import Fault
from tests.faults.folder_worker import GROWTH
from tests.faults.mutations import MUTATIONS

TESTS = Path(__file__).resolve().parents[1]

SECONDS = 10  # of the processor, to load a folder or to refuse it
PATIENCE = 60  # seconds of the clock, after which nothing will come
EVERY_FIT = 8  # one of so many folders is fine-tuned rather than loaded


class Worker:
    """A process that loads folders until it dies.

    Its home, its working folder and its temporary folder are empty, and stay so.
    """

    def __init__(self) -> None:
        self.room = Path(tempfile.mkdtemp(prefix="faults-worker-"))
        for name in ("home", "cwd", "tmp"):
            (self.room / name).mkdir()
        self.printed = self.room / "printed"
        self.printed.touch()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "support")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.room / "home"),
            "HF_HOME": str(self.room / "home"),
            "TMPDIR": str(self.room / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        # The audit hook sees who asks the hub. Backtraces of Rust are long.
        for name in ("HF_HUB_OFFLINE", "RUST_BACKTRACE"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.folder_worker", str(self.printed)],
            cwd=self.room / "cwd",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        # What is imported and cached on the way is no trace of a folder.
        for base in bases():
            for fit in (False, True):
                self._ask({"folder": str(base), "fit": fit}, seconds=300)
        self._send("limit\n")
        self._receive(seconds=300)
        self.printed.write_text("")
        self.before = self._files()

    def load(self, folder: Path, *, fit: bool) -> dict:
        """Return what came of a folder; raise where something is lost."""
        try:
            result = self._ask({"folder": str(folder), "fit": fit})
        except BaseException:
            self.end()
            raise
        lost = [result.get("lost"), *result["warnings"], *result["events"]]
        printed = self.printed.read_text(errors="replace")
        self.printed.write_text("")
        # The tokenizers library says itself where it panics, and what it left out.
        if printed.strip() and not re.search("panicked at|Ignored unknown", printed):
            lost.append(f"printed: {printed[:500]}")
        if self._files() != self.before:
            lost.append(f"written: {sorted(self._files() - self.before)[:5]}")
        if result["seconds"] > SECONDS:
            lost.append(f"{result['seconds']:.1f} seconds taken")
        if result["megabytes"] > GROWTH:
            lost.append(f"{result['megabytes']} MB taken")
        if "allocate" in result.get("refused", ""):
            lost.append(f"asked for memory before it refused: {result['refused']}")
        lost = [reason for reason in lost if reason]
        if lost:
            self.end()
            raise AssertionError("; ".join(lost))
        return result

    def _ask(self, line: dict, seconds: float = PATIENCE) -> dict:
        self._send(json.dumps(line) + "\n")
        return self._receive(seconds)

    def _send(self, line: str) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def _receive(self, seconds: float) -> dict:
        if not self.selector.select(timeout=seconds):
            raise TimeoutError(f"no answer for {seconds} seconds")
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ChildProcessError(f"died ({code}): {self.printed.read_text()[-500:]}")
        return json.loads(line)

    def _files(self) -> set[str]:
        folders = [self.room / name for name in ("home", "cwd", "tmp")]
        return {str(path) for folder in folders for path in folder.rglob("*")}

    def end(self) -> None:
        """Kill the process and remove what it had; the next call starts another."""
        worker.cache_clear()
        self.process.kill()
        self.process.wait()
        self.selector.close()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.room, ignore_errors=True)


@cache
def worker() -> Worker:
    """Return the process, started anew where the last one died."""
    started = Worker()
    atexit.register(started.end)
    return started


@cache
def bases() -> tuple[Path, ...]:
    """Return a folder of each kind: mean pooling, native, and one of Hugging Face."""
    room = Path(tempfile.mkdtemp(prefix="faults-folders-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    plain = make_checkpoint(
        "distilbert",
        room / "plain",
        head=True,
        id2label={0: "a", 1: "b", 2: "c"},
        problem_type="multi_label_classification",
    )
    saved = [room / pooling for pooling in ("mean", "native")]
    for folder in saved:
        fit_example(folder.name).save_pretrained(folder)
    return *saved, plain


@cache
def true_answers(base: Path) -> np.ndarray:
    """Return what an unchanged folder says."""
    return np.array(worker().load(base, fit=False)["proba"])


def inject(kind: str, seed: int) -> None:
    """Change a folder in one way, load it and check what came of it."""
    rng = random.Random(f"{kind} {seed}")
    base = bases()[seed % len(bases())]
    fit = kind != "benign" and seed % EVERY_FIT == EVERY_FIT - 1
    with tempfile.TemporaryDirectory(prefix="faults-folder-") as room:
        folder = Path(shutil.copytree(base, Path(room) / "model"))
        mutation = MUTATIONS[kind](folder, rng)
        before = _listing(Path(room))
        try:
            result = worker().load(folder, fit=fit)
            assert _listing(Path(room)) == before, "the folder was written to"
            if kind == "benign":
                assert "proba" in result, result["refused"]
                np.testing.assert_allclose(
                    result["proba"], true_answers(base), rtol=0, atol=1e-6
                )
            elif "proba" in result:
                proba = np.array(result["proba"])
                assert ((proba >= 0) & (proba <= 1)).all(), proba
        except Exception as error:
            raise AssertionError(f"{base.name}, fit={fit}: {mutation}") from error


def _listing(room: Path) -> dict[str, tuple]:
    listing = {}
    for path in room.rglob("*"):
        status = path.lstat()
        listing[str(path)] = status.st_mode, status.st_size, status.st_mtime_ns
    return listing


# Quick, usual and long, 23, 500 and 5,000 together.
_COUNTS = {
    "config.json": (4, 120, 1200),
    "skbert.json": (4, 70, 700),
    "weights": (4, 90, 900),
    "tokenizer": (4, 90, 900),
    "planted code": (2, 35, 350),
    "sizes that lie": (2, 35, 350),
    "links": (1, 20, 200),
    "benign": (2, 40, 400),
}

FOLDERS = tuple(
    Fault(f"folder: {kind}", partial(inject, kind), *counts)
    for kind, counts in _COUNTS.items()
)

"""Predict from many threads for half an hour; count wrong answers, watch the memory.

    python benchmarks/soak.py
    python benchmarks/soak.py --minutes 3 --threads 4 --csv soak.csv

One fitted estimator answers all threads: predict_proba, predict, predict_labels,
decision_function and iter_predict_proba, on one text to some hundreds, short and long,
and now and then on what is no text. Two kinds of calls take turns:

- One that was made before, by one thread: its answer must be the same to the bit.
- Texts that never came together. A matrix product rounds by the shape of its batch, and
  the batch by what else is in the call, so that each answer must be that of its text
  alone within TOLERANCE of the precision.

Before the load, one thread predicts texts of every length in every number that makes
other batches, as a server does that warms up: libraries keep something of each shape.
Each thread begins with the largest calls of all: memory has then seen the whole load.
`--cold` leaves the warm-up out. Resident memory (VmRSS of Linux) is read each second.
"first minute" is the most that it was in the first minute, or in the first third of a
shorter run; "growth" how much more the most of the rest is; "late growth" how much more
the most of the second half is than that of the first: a leak grows on. The exit status
is 1 where an answer was wrong, or growth is above 2%.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inputs import few_texts, make_labels, make_texts, model_folder
from scipy.special import expit
from timing import Table

from skbert import TransformerMultiLabelClassifier
from skbert.tokens.batching import prediction_tokens

N_LABELS = 10
MAX_LENGTH = 128
N_TEXTS = 1_000  # that calls are made of
N_CALLS = 50  # that are made before
MOST_TEXTS = 300  # of one call
TOLERANCE = {"fp32": 1e-5, "bf16": 1e-2}
MOST_GROWTH = 2.0  # percent

KINDS = (
    "predict_proba",
    "decision_function",
    "predict",
    "predict_labels",
    "iter_predict_proba",
)

CALL_COLUMNS = {
    "call": "20s",
    "calls": "9d",
    "wrong": "7d",
    "p50 ms": "9.1f",
    "p99 ms": "9.1f",
}
COLUMNS = {
    "minutes": "8.1f",
    "threads": "9d",
    "calls": "9d",
    "wrong": "7d",
    "p99 ms": "9.1f",
    "first minute MB": "17.1f",
    "at the end MB": "15.1f",
    "largest MB": "12.1f",
    "growth %": "10.2f",
    "late growth %": "15.2f",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the soak that the command line asks for; exit with 1 where it failed."""
    args = _parse(argv)
    with tempfile.TemporaryDirectory() as temporary:
        clf = fitted(model_folder(args.model_config, temporary), args.precision)
    print(f"{clf.precision_}, {torch.get_num_threads()} thread(s) of torch")
    soak = Soak(clf, seed=args.seed, cold=args.cold)
    memory = soak.run(60 * args.minutes, args.threads)
    per_call = Table(CALL_COLUMNS, None)
    for row in soak.rows():
        per_call.add(row)
    summary = soak.summary() | memory.row() | {"threads": args.threads}
    print()
    Table(COLUMNS, args.csv, {"model": args.model_config}).add(summary)
    sys.stdout.writelines(f"wrong: {what}\n" for what in soak.wrong[:20])
    sys.exit(bool(soak.wrong) or summary["growth %"] > MOST_GROWTH)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=8, metavar="N")
    parser.add_argument(
        "--model-config",
        default="minilm",
        metavar="MODEL",
        help="minilm, bert-base or tiny (both with random weights), or a folder",
    )
    parser.add_argument("--precision", choices=["auto", *TOLERANCE], default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cold", action="store_true", help="without a warm-up")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append the row here")
    return parser.parse_args(argv)


def fitted(folder: Path, precision: str) -> TransformerMultiLabelClassifier:
    """Return a classifier that has seen a few texts."""
    clf = TransformerMultiLabelClassifier(
        folder,
        max_length=MAX_LENGTH,
        max_epochs=1,
        precision=precision,
        device="cpu",
        random_state=0,
    )
    with few_texts():
        return clf.fit(list(make_texts(64)), make_labels(64, N_LABELS))


# --- calls ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One call of a method on some of the texts."""

    kind: str
    rows: np.ndarray

    def make(self, clf: TransformerMultiLabelClassifier, texts: list[str]) -> Any:
        """Return the answer."""
        some = [texts[row] for row in self.rows]
        if self.kind == "iter_predict_proba":
            return np.array(list(clf.iter_predict_proba(iter(some), chunk_size=64)))
        return getattr(clf, self.kind)(some)


class Soak:
    """Calls from many threads, and what came of them.

    Parameters
    ----------
    clf : TransformerMultiLabelClassifier
    seed : int
    cold : bool
        Begin without a warm-up.
    """

    def __init__(
        self, clf: TransformerMultiLabelClassifier, seed: int = 0, *, cold: bool = False
    ) -> None:
        self.clf = clf
        self.seed = seed
        short = list(make_texts(N_TEXTS * 3 // 4, seed=seed))
        self.texts = short + list(make_texts(N_TEXTS // 4, "enron_categories", seed))
        self.wrong: list[str] = []
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.seconds["no texts"] = []
        if not cold:
            see_all_shapes(clf)
        rng = np.random.default_rng(seed)
        self.calls = [draw_call(rng) for _ in range(N_CALLS)]
        self.answers = [call.make(clf, self.texts) for call in self.calls]
        self.logits = clf.decision_function(self.texts)
        self.proba = expit(self.logits)

    def run(self, seconds: float, n_threads: int) -> Memory:
        """Call from so many threads until the time is over; return the memory's use."""
        memory = Memory(warm_up=min(60.0, seconds / 3))
        deadline = time.perf_counter() + seconds
        with memory, ThreadPoolExecutor(n_threads) as pool:
            done = [pool.submit(self._work, i, deadline) for i in range(n_threads)]
            for future in done:
                future.result()
        return memory

    def _work(self, number: int, deadline: float) -> None:
        rng = np.random.default_rng([self.seed, number])
        # All threads at once make the largest calls, so that the first minute has seen
        # what the load takes: what comes later is growth, and not a larger load.
        for kind in ("predict_proba", "iter_predict_proba"):
            self._timed(Call(kind, rng.integers(N_TEXTS, size=MOST_TEXTS)))
        kinds: list[Callable[[np.random.Generator], None]]
        kinds = [self._known_call, self._new_call] * 8 + [self._wrong_call]
        while time.perf_counter() < deadline:
            kinds[rng.integers(len(kinds))](rng)

    def _known_call(self, rng: np.random.Generator) -> None:
        number = rng.integers(N_CALLS)
        call = self.calls[number]
        answer = self._timed(call)
        expected = self.answers[number]
        is_list = isinstance(answer, list)
        if not (answer == expected if is_list else np.array_equal(answer, expected)):
            self.wrong.append(f"call {number}, {call.kind}: not the same to the bit")

    def _new_call(self, rng: np.random.Generator) -> None:
        call = draw_call(rng)
        answer = self._timed(call)
        if not self._is_near(call, answer):
            self.wrong.append(f"a new {call.kind} of the texts {call.rows.tolist()}")

    def _wrong_call(self, rng: np.random.Generator) -> None:
        texts: list[Any] = [self.texts[i] for i in rng.integers(N_TEXTS, size=20)]
        texts[7] = [None, 3, b"a", np.nan][rng.integers(4)]
        start = time.perf_counter()
        try:
            self.clf.predict_proba(texts)
        except (TypeError, ValueError) as error:
            if "X, row 7 is" not in str(error):
                self.wrong.append(f"another error: {error}")
        else:
            self.wrong.append(f"{texts[7]!r} was taken for a text")
        self.seconds["no texts"].append(time.perf_counter() - start)

    def _timed(self, call: Call) -> Any:
        start = time.perf_counter()
        answer = call.make(self.clf, self.texts)
        self.seconds[call.kind].append(time.perf_counter() - start)
        return answer

    def _is_near(self, call: Call, answer: Any) -> bool:
        """Say whether each answer is that of its text among all others."""
        tolerance = TOLERANCE[self.clf.precision_]
        proba = self.proba[call.rows]
        if call.kind in ("predict", "predict_labels"):
            if call.kind == "predict_labels":
                names = self.clf.label_names_
                answer = np.array([np.isin(names, row) for row in answer])
            near = np.abs(proba - self.clf.thresholds_) <= tolerance
            return bool(((answer == (proba >= self.clf.thresholds_)) | near).all())
        if call.kind == "decision_function":
            # A quarter of that is the most that a probability changes.
            expected, tolerance = self.logits[call.rows], 4 * tolerance
        else:
            expected = proba
        return bool(np.abs(answer - expected).max() <= tolerance)

    def rows(self) -> list[dict[str, Any]]:
        """Return the table of calls, a row per kind."""
        return [
            {
                "call": kind,
                "calls": len(seconds),
                "wrong": sum(f" {kind}" in what for what in self.wrong),
                "p50 ms": 1e3 * float(np.quantile(seconds, 0.5)),
                "p99 ms": 1e3 * float(np.quantile(seconds, 0.99)),
            }
            for kind, seconds in self.seconds.items()
            if seconds
        ]

    def summary(self) -> dict[str, Any]:
        """Return what the last row says of all calls."""
        seconds = np.concatenate(list(self.seconds.values()))
        return {
            "calls": len(seconds),
            "wrong": len(self.wrong),
            "p99 ms": 1e3 * float(np.quantile(seconds, 0.99)),
        }


def see_all_shapes(clf: TransformerMultiLabelClassifier) -> None:
    """Predict so many texts of so many words that their batches have all shapes."""
    of_a_batch = prediction_tokens(torch.device(clf.device_))
    for n_words in range(1, MAX_LENGTH):
        clf.decision_function(["and " * n_words] * (of_a_batch // n_words))
    for n_words in steps(MAX_LENGTH, per_octave=8):
        for n_texts in steps(of_a_batch // n_words, per_octave=4):
            clf.decision_function(["and " * n_words] * n_texts)


def steps(most: int, per_octave: int) -> Iterator[int]:
    """Yield 1 to ``most``, so many from one power of two to the next."""
    number = 1
    while number <= most:
        yield number
        number += max(1, 2 ** (number.bit_length() - 1) // per_octave)


def draw_call(rng: np.random.Generator) -> Call:
    """Draw a kind, how many texts, and which: as often ten as a hundred."""
    size = int(np.exp(rng.uniform(0, np.log(MOST_TEXTS + 1))))
    return Call(KINDS[rng.integers(len(KINDS))], rng.integers(N_TEXTS, size=size))


# --- memory --------------------------------------------------------------------------


@dataclass
class Memory:
    """Reads the resident memory each second while its block runs.

    Attributes
    ----------
    warm_up : float
        Seconds in which memory may grow: libraries keep something of every shape of
        a batch that is new.
    samples : list of (seconds, MB)
    """

    warm_up: float
    samples: list[tuple[float, float]] = field(default_factory=list)

    def __enter__(self) -> Memory:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        start = time.perf_counter()
        while True:
            self.samples.append((time.perf_counter() - start, resident()))
            if self._end.wait(min(1.0, self.warm_up / 3)):
                return

    def row(self) -> dict[str, float]:
        """Return the memory's columns of the last row."""
        early, late = self._most_until_and_after(self.warm_up)
        seconds = self.samples[-1][0]
        return {
            "minutes": seconds / 60,
            "first minute MB": early,
            "at the end MB": self.samples[-1][1],
            "largest MB": max(early, late),
            "growth %": _growth(early, late),
            "late growth %": _growth(*self._most_until_and_after(seconds / 2)),
        }

    def _most_until_and_after(self, limit: float) -> tuple[float, float]:
        early = max(mb for second, mb in self.samples if second <= limit)
        return early, max(mb for second, mb in self.samples if second > limit)


def _growth(early: float, late: float) -> float:
    """Return how much more something is, in percent."""
    return 100 * (late / early - 1)


def resident() -> float:
    """Return the resident memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()

"""Time predict_proba against transformers' pipeline, in one process, taking turns.

    python benchmarks/predict.py
    python benchmarks/predict.py --rows 200 --repeats 3 --csv predict.csv
    python benchmarks/predict.py path/to/folder:256

Each data set is NAME:MAX_LENGTH, found as benchmarks/quality.py does it. The default
model with a native head is fitted to a few training texts and saved; both sides load
that folder and predict test texts drawn at random. The pipeline runs in float32 with
a sigmoid per label, at batch sizes 1, 8, 32 and 64; skbert at precision "auto".

Printed are the best and the median time over the repeats as texts per second, the
ratio of skbert to the pipeline's best batch size, best against best and median against
median, and the largest change of a probability. Before each timing a small product of
matrices is timed; while it takes much longer than it can, the script waits.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from quality import find_folder, read_data
from transformers import pipeline

from skbert import TransformerMultiLabelClassifier

BATCH_SIZES = (1, 8, 32, 64)

# A tiny operation that takes so many times its best time means a busy machine.
_BUSY = 1.5
_LONGEST_WAIT = 20.0

COLUMNS = {
    "data": "16s",
    "row": "14s",
    "texts/s best": "13.1f",
    "texts/s median": "15.1f",
    "ratio best": "11.2f",
    "ratio median": "13.2f",
    "change": "9.1e",
    "waits": "6d",
}


class QuietMachine:
    """Waits until a tiny operation is about as fast as it was at best."""

    def __init__(self) -> None:
        self.matrix = torch.randn(256, 256)
        self.best = min(self._time() for _ in range(50))

    def _time(self) -> float:
        start = time.perf_counter()
        for _ in range(10):
            self.matrix @ self.matrix
        return time.perf_counter() - start

    def wait(self) -> int:
        """Return 1 if the machine was still busy when patience ended, otherwise 0."""
        deadline = time.perf_counter() + _LONGEST_WAIT
        while time.perf_counter() < deadline:
            now = min(self._time() for _ in range(3))
            self.best = min(self.best, now)
            if now < _BUSY * self.best:
                return 0
            time.sleep(0.5)
        return 1


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}")
    print("".join(f"{name:>{_width(form)}}" for name, form in COLUMNS.items()))
    for data in args.data:
        name, _, max_length = data.partition(":")
        for row in measure(name, int(max_length or 128), args):
            _report(row, args.csv)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = ["goemotions:128", "enron_categories:256"]
    parser.add_argument("data", nargs="*", default=default, metavar="NAME:MAX_LENGTH")
    parser.add_argument("--rows", type=int, default=500, help="test texts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="time of the processor, not of the clock: for a machine that is shared",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append the rows here")
    return parser.parse_args(argv)


def measure(name: str, max_length: int, args: argparse.Namespace) -> list[dict]:
    """Return the rows of one data set: skbert's, and one per batch size."""
    data = read_data(find_folder(name), n_train=64)
    texts = _drawn(data["test"].data, args.rows)
    with tempfile.TemporaryDirectory() as folder:
        fit_and_save(data["train"], max_length, folder)
        clf = TransformerMultiLabelClassifier.from_pretrained(folder)
        peer = pipeline(
            "text-classification",
            model=folder,
            top_k=None,
            function_to_apply="sigmoid",
            truncation=True,
            max_length=max_length,
            device=clf.device_,
            dtype=torch.float32,
        )
    ways = {"skbert": lambda: clf.predict_proba(texts)}
    for size in BATCH_SIZES:
        ways[f"pipeline {size}"] = lambda size=size: peer(texts, batch_size=size)
    change = _largest_change(clf.predict_proba(texts), peer(texts), clf.label_names_)
    times, waits = take_turns(
        ways,
        args.repeats,
        time.process_time if args.processor_time else time.perf_counter,
    )
    return table(Path(name).name, len(texts), times, waits, change)


def _drawn(texts: list[str], n: int) -> list[str]:
    # In random order: a pipeline that gets texts sorted by length pads less.
    rows = np.random.default_rng(0).permutation(len(texts))[:n]
    return [texts[row] for row in rows]


def fit_and_save(train, max_length: int, folder: str) -> None:
    """Fit a native head for one epoch and save the model."""
    clf = TransformerMultiLabelClassifier(
        pooling="native", max_epochs=1, max_length=max_length, random_state=0
    )
    with warnings.catch_warnings():
        # Labels without a positive among so few texts; texts that were cut.
        warnings.simplefilter("ignore", UserWarning)
        clf.fit(train.data, train.target)
    clf.save_pretrained(folder)


def _largest_change(proba: np.ndarray, answers: list, names: Sequence[str]) -> float:
    scores = [{a["label"]: a["score"] for a in answer} for answer in answers]
    peer = np.array([[row[str(name)] for name in names] for row in scores])
    return float(np.abs(proba - peer).max())


def take_turns(
    ways: dict[str, Callable],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the seconds of each way, and how often the machine stayed busy."""
    machine = QuietMachine()
    times: dict[str, list[float]] = {name: [] for name in ways}
    waits = dict.fromkeys(ways, 0)
    for _ in range(repeats):
        for name, run in ways.items():
            waits[name] += machine.wait()
            start = clock()
            run()
            times[name].append(clock() - start)
    return times, waits


def table(
    data: str,
    n_texts: int,
    times: dict[str, list[float]],
    waits: dict[str, int],
    change: float,
) -> list[dict]:
    """Return a row per way; ratios are against the pipeline's best batch size."""
    best = {name: n_texts / min(seconds) for name, seconds in times.items()}
    median = {name: n_texts / np.median(seconds) for name, seconds in times.items()}
    peers = [name for name in times if name != "skbert"]
    return [
        {
            "data": data,
            "row": name,
            "texts/s best": best[name],
            "texts/s median": float(median[name]),
            "ratio best": best[name] / max(best[peer] for peer in peers),
            "ratio median": float(median[name] / max(median[p] for p in peers)),
            "change": change if name == "skbert" else 0.0,
            "waits": waits[name],
        }
        for name in times
    ]


def _width(form: str) -> int:
    return int(form.rstrip("sdfe").split(".")[0])


def _report(row: dict, file: Path | None) -> None:
    """Print a row at once, and append it to the file."""
    cells = [f"{row[name]:>{form}}" for name, form in COLUMNS.items()]
    print("".join(cells), flush=True)
    if file is None:
        return
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(COLUMNS))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()

"""Time cross_val_score in one process and in two, and look inside the workers.

    python benchmarks/parallel.py
    python benchmarks/parallel.py --rows 1000 --n-jobs 1 2 4 --csv parallel.csv

The folds of scikit-learn's cross_val_score are fits of their own, which joblib spreads
over processes (loky). Each may use its share of the cores only: two processes of two
threads each on two cores are many times slower than one after the other.

Every turn is a process of its own, because a worker that lives already starts nothing;
the numbers of jobs take turns in random order. The tokenizer has been used before the
workers start, which is when a fork would warn. All times are the clock's: with
--processor-time, too, because the time of the workers is not that of this process.
Columns:

first s, again s
    Best time of a call whose workers must be started, and of a second one.
first x, again x
    How many times as fast as n_jobs=1 that is, best against best.
workers, threads
    Processes that ran folds, and the most threads of torch that one of them saw. Their
    product beyond the cores is oversubscription, and counted as "too many".
fork
    Lines that warn of a fork on the standard error of all processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from inputs import RANDOM_MODELS, few_texts, model_folder, texts_and_labels
from sklearn.model_selection import cross_val_score
from timing import QuietMachine, Table, make_clock, make_parser

from skbert import MultilabelStratifiedKFold, TransformerMultiLabelClassifier

COLUMNS = {
    "n_jobs": "6d",
    "texts": "7d",
    "folds": "7d",
    "first s": "9.1f",
    "again s": "9.1f",
    "first x": "9.2f",
    "again x": "9.2f",
    "workers": "9d",
    "threads": "9d",
    "too many": "10d",
    "fork": "6d",
    "waits": "7d",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    if args.point is not None:
        print(json.dumps(measure(args.point, args)))
        return
    n_cores = len(os.sched_getaffinity(0))
    print(f"{n_cores} core(s), torch {torch.__version__}")
    constant = {"model": args.model_config, "cores": n_cores}
    table = Table(COLUMNS, args.csv, constant)
    machine = QuietMachine(args.patience)
    results: dict[int, list[dict]] = {n_jobs: [] for n_jobs in args.n_jobs}
    rng = np.random.default_rng(0)
    for _ in range(args.repeats):
        for n_jobs in rng.permutation(args.n_jobs).tolist():
            waits = machine.wait()
            result = _in_a_process(n_jobs, sys.argv[1:] if argv is None else argv)
            results[n_jobs].append(result | {"waits": waits})
    for row in rows(results, n_cores):
        table.add(row | {"folds": args.folds})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=2, model="minilm")
    parser.add_argument("--n-jobs", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--data", default="goemotions", help="a name, or a folder")
    parser.add_argument("--rows", type=int, default=600, metavar="N", help="texts")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def rows(results: dict[int, list[dict]], n_cores: int) -> list[dict[str, Any]]:
    """Return the table; ratios are against the first number of jobs."""
    best = {
        n_jobs: {key: min(turn[key] for turn in turns) for key in ("first", "again")}
        for n_jobs, turns in results.items()
    }
    reference = next(iter(best.values()))
    table = []
    for n_jobs, turns in results.items():
        workers, threads = (
            max(turn[key] for turn in turns) for key in ("workers", "threads")
        )
        table.append(
            {
                "n_jobs": n_jobs,
                "texts": turns[0]["texts"],
                "first s": best[n_jobs]["first"],
                "again s": best[n_jobs]["again"],
                "first x": reference["first"] / best[n_jobs]["first"],
                "again x": reference["again"] / best[n_jobs]["again"],
                "workers": workers,
                "threads": threads,
                "too many": max(0, workers * threads - n_cores),
                "fork": sum(turn["fork"] for turn in turns),
                "waits": sum(turn["waits"] for turn in turns),
            }
        )
    return table


def _in_a_process(n_jobs: int, argv: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, *argv, "--point", str(n_jobs)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {"fork": count_forks(done.stderr)}


def count_forks(errors: str) -> int:
    """Count the lines that warn of a fork: of tokenizers, or of Python itself."""
    return sum("fork" in line.lower() for line in errors.splitlines())


# --- one turn, in a process of its own -----------------------------------------------


class Witness:
    """A scorer that notes in a file which process scored, and its threads."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, estimator, X, y) -> float:
        line = json.dumps({"pid": os.getpid(), "threads": torch.get_num_threads()})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        return float((estimator.predict(X) == np.asarray(y)).mean())


def measure(n_jobs: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of two calls, the workers and their threads."""
    clock = make_clock(torch.device("cpu"))
    # A fit's warnings are a worker's own.
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    made_up = args.model_config in RANDOM_MODELS
    texts, y = texts_and_labels(args.data, "train", args.rows, made_up=made_up)
    with tempfile.TemporaryDirectory() as temporary, few_texts():
        clf = TransformerMultiLabelClassifier(
            model_folder(args.model_config, temporary),
            max_epochs=1,
            batch_size=32,
            device="cpu",
            random_state=0,
        )
        clf.fit(texts[:64], y[:64])  # uses the tokenizer, in several threads
        path = os.path.join(temporary, "witness")
        folds = MultilabelStratifiedKFold(args.folds, shuffle=True, random_state=0)
        seconds = []
        for _ in range(2):
            start = clock()
            cross_val_score(
                clf, texts, y, cv=folds, scoring=Witness(path), n_jobs=n_jobs
            )
            seconds.append(clock() - start)
        with open(path, encoding="utf-8") as file:
            seen = [json.loads(line) for line in file]
    return {
        "texts": len(texts),
        "first": seconds[0],
        "again": seconds[1],
        "workers": len({line["pid"] for line in seen}),
        "threads": max(line["threads"] for line in seen),
    }


if __name__ == "__main__":
    main()

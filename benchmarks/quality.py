"""Measure the quality of skbert's recipes on a data set, one row at a time.

    python benchmarks/quality.py enron_categories --seeds 0 1 2
    python benchmarks/quality.py goemotions --rows tfidf skbert --set trainable_layers=3
    python benchmarks/quality.py path/to/folder --csv results.csv

Every recipe is fitted to the train split alone and scored on the test split: at
threshold 0.5; with one threshold for all labels; with one per label; and with one per
label, shrunk toward the shared one (the default of skbert.find_thresholds). Thresholds
are chosen on the dev split, for micro-F1 in the micro columns and for macro-F1 in the
macro columns.

The rows:

tfidf
    `make_tfidf_baseline()`; it has no seed.
skbert
    `TransformerMultiLabelClassifier()` with its defaults, and what --set says.
notebook
    The workflow that skbert replaces, by parameters alone. Two things cannot be set
    and differ from it: the head starts from the labels' priors, and batches are padded
    to their own longest text (which is faster and changes no result). It keeps the
    default model unless --set says otherwise.

With --probabilities FOLDER the probabilities of each fit are kept there, and read from
there by later runs, which then fit nothing: delete them when the recipe has changed.

A data set is a folder with train, dev and test, each a .csv.gz or .csv file with a
column "text" and one 0/1 column per label. A name is looked up in $SKBERT_TEST_DATA,
or else in ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import ast
import csv
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skbert import find_thresholds
from skbert.metrics import nan_f1_score

REPOSITORY = Path(__file__).resolve().parents[1]

# What the notebook tells the Trainer, and what the Trainer leaves undone.
NOTEBOOK = {
    "pooling": "native",
    "max_epochs": 5,
    "batch_size": 8,
    "learning_rate": 2e-5,
    "head_learning_rate": 2e-5,
    "weight_decay": 0.01,
    "max_length": 128,
    "freeze_embeddings": False,
    "warmup": 0.0,
    "dropout": 0.1,  # of attention, too
}

# How thresholds are chosen -> what find_thresholds is told.
CHOICES: dict[str, dict[str, Any] | None] = {
    "at 0.5": None,
    "one for all": {"per_label": False},
    "per label": {"shrinkage": 0},
    "shrunk": {},
}

# Column -> width and format of its cells.
COLUMNS = {
    "row": (10, "s"),
    "seed": (5, "s"),
    **{
        f"{average} {choice}": (width, ".3f")
        for choice in CHOICES
        for average, width in (("micro", 10), ("macro", 7))
    },
    "fit s": (9, ".1f"),
    "fit cpu s": (11, ".1f"),
    "predict s": (11, ".1f"),
}
HEADER = (
    "".join(["".ljust(15), *(f"{choice:>17}" for choice in CHOICES)])
    + "\nrow        seed"
    + "     micro  macro" * len(CHOICES)
    + "    fit s  fit cpu s  predict s"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    data = read_data(find_folder(args.data), n_train=args.n_train)
    sizes = " / ".join(str(len(split.data)) for split in data.values())
    print(f"{args.data}: {sizes} texts, {data['train'].target.shape[1]} labels")
    print(HEADER, flush=True)
    for recipe in args.rows:
        rows = []
        for row in measure_recipe(recipe, data, args):
            rows.append(row)
            _report(row, args)
        if len(rows) > 1:
            _report(mean_row(rows), args)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="name of a data set, or a folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="SEED")
    recipes = ("tfidf", "skbert", "notebook")
    parser.add_argument("--rows", nargs="+", default=recipes, choices=recipes)
    parser.add_argument("--max-length", type=int, default=128, help="of row skbert")
    parser.add_argument(
        "--n-train", type=int, metavar="N", help="train on N random texts only"
    )
    parser.add_argument(
        "--set",
        type=_assignment,
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of row skbert, and of row notebook where it leaves them open",
    )
    parser.add_argument(
        "--probabilities", type=Path, metavar="FOLDER", help="keep and reuse them here"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append the rows here")
    return parser.parse_args(argv)


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value  # a plain word


# --- data --------------------------------------------------------------------------


def find_folder(name: str) -> Path:
    """Return the folder of a data set."""
    candidates = _candidates(name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = " nor ".join(str(folder) for folder in candidates)
    sys.exit(f"No data set {name!r}: neither {tried} is a folder.")


def has_data(name: str) -> bool:
    """Say whether a data set is there."""
    return any(folder.is_dir() for folder in _candidates(name))


def _candidates(name: str) -> list[Path]:
    root = os.environ.get("SKBERT_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
    return [Path(name), Path(root) / name]


def read_data(folder: Path, n_train: int | None = None) -> dict[str, Bunch]:
    """Read the splits; the training set is cut to `n_train` random texts."""
    data = {split: _read_split(folder, split) for split in ("train", "dev", "test")}
    train = data["train"]
    if n_train is not None and n_train < len(train.data):
        # The same texts whatever the seed: seeds are to show the recipe's own noise.
        rows = np.sort(np.random.default_rng(0).permutation(len(train.data))[:n_train])
        train.data = [train.data[row] for row in rows]
        train.target = train.target.iloc[rows]
    return data


def _read_split(folder: Path, split: str) -> Bunch:
    from skbert.datasets import read_csv

    for ending in (".csv.gz", ".csv"):
        path = folder / f"{split}{ending}"
        if path.exists():
            return read_csv(path, text="text")
    sys.exit(f"{folder} has neither {split}.csv.gz nor {split}.csv.")


# --- recipes -------------------------------------------------------------------------


def measure_recipe(
    recipe: str, data: dict[str, Bunch], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield a row per seed."""
    if recipe == "tfidf":
        from skbert.baseline import make_tfidf_baseline

        answers = _answers(make_tfidf_baseline(), data, recipe, args)
        yield {"row": recipe, "seed": "-", **measure(answers, data)}
        return
    from skbert import TransformerMultiLabelClassifier

    params = {"max_length": args.max_length, **dict(args.set)}
    if recipe == "notebook":
        params |= NOTEBOOK
    for seed in args.seeds:
        clf = TransformerMultiLabelClassifier(**{"random_state": seed, **params})
        answers = _answers(clf, data, f"{recipe}-{seed}", args)
        yield {"row": recipe, "seed": str(seed), **measure(answers, data)}


def _answers(
    estimator: Any, data: dict[str, Bunch], name: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Return the probabilities of dev and test, and the times that they took."""
    if args.probabilities is None:
        return fit_and_predict(estimator, data)
    path = args.probabilities / f"{Path(args.data).name}-{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **fit_and_predict(estimator, data))
    with np.load(path) as kept:
        return dict(kept)


def fit_and_predict(estimator: Any, data: dict[str, Bunch]) -> dict[str, Any]:
    """Fit to train; return the probabilities of dev and test, and seconds."""
    start, cpu_start = time.perf_counter(), time.process_time()
    estimator.fit(data["train"].data, data["train"].target)
    fitted, cpu_fitted = time.perf_counter(), time.process_time()
    test = estimator.predict_proba(data["test"].data)
    predicted = time.perf_counter()
    return {
        "dev": estimator.predict_proba(data["dev"].data),
        "test": test,
        "fit_s": fitted - start,
        "fit_cpu_s": cpu_fitted - cpu_start,
        "predict_s": predicted - fitted,
    }


def measure(answers: dict[str, Any], data: dict[str, Bunch]) -> dict[str, float]:
    """Choose thresholds on dev in every way, score them on test."""
    row = {}
    for choice, params in CHOICES.items():
        for average in ("micro", "macro"):
            threshold = choose_thresholds(data["dev"].target, answers, average, params)
            chosen = answers["test"] >= threshold
            score = nan_f1_score(data["test"].target, chosen, average=average)
            row[f"{average} {choice}"] = float(score)
    return row | {
        "fit s": float(answers["fit_s"]),
        "fit cpu s": float(answers["fit_cpu_s"]),
        "predict s": float(answers["predict_s"]),
    }


def choose_thresholds(
    y: Any, answers: dict[str, Any], average: str, params: dict[str, Any] | None
) -> float | np.ndarray:
    """Return the thresholds that are best on dev."""
    if params is None:
        return 0.5
    with warnings.catch_warnings():
        # Of labels that dev has no positive of: they get the shared threshold.
        warnings.filterwarnings("ignore", message=".* have no positive")
        return find_thresholds(y, answers["dev"], scoring=f"f1_{average}", **params)


# --- output --------------------------------------------------------------------------


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over the seeds."""
    numbers = [key for key in COLUMNS if key not in ("row", "seed")]
    means = {key: float(np.mean([row[key] for row in rows])) for key in numbers}
    return {"row": rows[0]["row"], "seed": "mean", **means}


def _report(row: dict[str, Any], args: argparse.Namespace) -> None:
    """Print a row at once, and append it to the file."""
    cells = [
        f"{row[key]:{'<' if kind == 's' else '>'}{width}{kind}}"
        for key, (width, kind) in COLUMNS.items()
    ]
    print("".join(cells), flush=True)
    if args.csv is None:
        return
    settings = " ".join(f"{key}={value}" for key, value in args.set)
    extra = {"data": args.data, "n_train": args.n_train, "set": settings}
    is_new = not args.csv.exists()
    with args.csv.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*extra, *COLUMNS])
        if is_new:
            writer.writeheader()
        writer.writerow(extra | row)


if __name__ == "__main__":
    main()

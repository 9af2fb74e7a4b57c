"""Measure the quality of skbert's recipes on a data set, one row at a time.

    python benchmarks/quality.py enron_categories --seeds 0 1 2
    python benchmarks/quality.py goemotions --rows tfidf skbert --set trainable_layers=3
    python benchmarks/quality.py path/to/folder --csv results.csv

Every recipe is fitted to the train split alone and scored on the test split: F1 at
threshold 0.5, and with one threshold for all labels. That is chosen on the dev split,
once for micro-F1 (columns "for micro") and once for macro-F1 ("for macro").

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

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

THRESHOLDS = np.arange(1, 100) / 100

# Column -> width and format of its cells.
COLUMNS = {
    "row": (10, "s"),
    "seed": (5, "s"),
    "micro": (7, ".3f"),
    "macro": (7, ".3f"),
    "t for micro": (13, ".2f"),
    "micro for micro": (7, ".3f"),
    "macro for micro": (7, ".3f"),
    "t for macro": (13, ".2f"),
    "micro for macro": (7, ".3f"),
    "macro for macro": (7, ".3f"),
    "fit s": (9, ".1f"),
    "predict s": (11, ".1f"),
}
HEADER = (
    "                 at 0.5         chosen for micro          chosen for macro\n"
    "row        seed  micro  macro    threshold  micro  macro    threshold  micro"
    "  macro    fit s  predict s"
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
    root = os.environ.get("SKBERT_TEST_DATA") or REPOSITORY.parent / "shared" / "data"
    candidates = [Path(name), Path(root) / name]
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = " nor ".join(str(folder) for folder in candidates)
    sys.exit(f"No data set {name!r}: neither {tried} is a folder.")


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

        yield {"row": recipe, "seed": "-", **measure(make_tfidf_baseline(), data)}
        return
    from skbert import TransformerMultiLabelClassifier

    params = {"max_length": args.max_length, **dict(args.set)}
    if recipe == "notebook":
        params |= NOTEBOOK
    for seed in args.seeds:
        clf = TransformerMultiLabelClassifier(**{"random_state": seed, **params})
        yield {"row": recipe, "seed": str(seed), **measure(clf, data)}


def measure(estimator: Any, data: dict[str, Bunch]) -> dict[str, float]:
    """Fit to train, choose thresholds on dev, score on test."""
    train, dev, test = (data[split] for split in ("train", "dev", "test"))
    start = time.perf_counter()
    estimator.fit(train.data, train.target)
    fitted = time.perf_counter()
    proba = estimator.predict_proba(test.data)
    predicted = time.perf_counter()
    row = dict(zip(("micro", "macro"), _f1(test.target, proba, 0.5), strict=True))
    best = choose_thresholds(dev.target, estimator.predict_proba(dev.data))
    for average, threshold in best.items():
        row[f"t for {average}"] = threshold
        micro, macro = _f1(test.target, proba, threshold)
        row |= {f"micro for {average}": micro, f"macro for {average}": macro}
    return row | {"fit s": fitted - start, "predict s": predicted - fitted}


def choose_thresholds(y: Any, proba: np.ndarray) -> dict[str, float]:
    """Return the threshold with the best micro-F1, and that with the best macro-F1."""
    scores = np.array([_f1(y, proba, threshold) for threshold in THRESHOLDS])
    micro, macro = THRESHOLDS[scores.argmax(axis=0)]
    return {"micro": float(micro), "macro": float(macro)}


def _f1(y: Any, proba: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return micro-F1 and macro-F1."""
    chosen = proba >= threshold
    micro, macro = (nan_f1_score(y, chosen, average=a) for a in ("micro", "macro"))
    return float(micro), float(macro)


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

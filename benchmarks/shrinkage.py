"""Measure how far thresholds of rare labels should be shrunk; test data is not read.

    python benchmarks/shrinkage.py goemotions enron_categories
    python benchmarks/shrinkage.py goemotions --probabilities kept

Scores are out-of-fold scores of TF-IDF on the train split. Thresholds are chosen on
some of the rows and scored on all the others, and likewise on the train split and on
the dev split. With --probabilities, the folder that benchmarks/quality.py fills, there
are also those of skbert on the dev split, one half of which is for choosing.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from quality import find_folder, read_data
from sklearn.model_selection import cross_val_predict

from skbert import MultilabelStratifiedKFold, find_thresholds, make_tfidf_baseline
from skbert.metrics import nan_f1_score

STRENGTHS = (0, 1, 2, 5, 10, 20, 50, 100)
SIZES = (150, 500, 1500, 5000)
N_DRAWS = 12


class Trial(NamedTuple):
    """Labels and probabilities to choose on, and others to score on."""

    y: np.ndarray
    proba: np.ndarray
    y_new: np.ndarray
    proba_new: np.ndarray


def main() -> None:
    """Print mean F1 on new rows, one row for each way to choose."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+")
    parser.add_argument("--probabilities", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* label")  # without positives
    strengths = "".join(f"{strength:8}" for strength in STRENGTHS)
    print(f"{'':44}{'score':8}{'shared':>8}{strengths}")
    for name in args.data:
        for title, trials in experiments(name, args.probabilities):
            for average in ("macro", "micro"):
                cells = [mean_score(trials, average, per_label=False)]
                for strength in STRENGTHS:
                    cells.append(mean_score(trials, average, shrinkage=strength))
                numbers = "".join(f"{cell:8.4f}" for cell in cells)
                print(f"{title:44}{average:8}{numbers}", flush=True)


def experiments(name: str, kept: Path | None) -> Iterator[tuple[str, list[Trial]]]:
    """Yield the ways to choose on one data set."""
    data = read_data(find_folder(name))
    train, dev = (data[split].target.to_numpy() for split in ("train", "dev"))
    folds = MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
    baseline = make_tfidf_baseline()
    texts = data["train"].data
    out_of_fold = cross_val_predict(
        baseline, texts, data["train"].target, cv=folds, method="predict_proba"
    )
    for size in SIZES:
        if size < len(train) / 2:
            yield f"{name} tfidf, {size} rows", draws(train, out_of_fold, size)
    baseline.fit(texts, data["train"].target)
    new = baseline.predict_proba(data["dev"].data)
    yield f"{name} tfidf, train", [Trial(train, out_of_fold, dev, new)]
    for path in sorted(kept.glob(f"{name}-skbert-*.npz")) if kept else []:
        with np.load(path) as answers:
            proba = answers["dev"]
        yield f"{path.stem}, half of dev", draws(dev, proba, len(dev) // 2)


def draws(y: np.ndarray, proba: np.ndarray, size: int) -> list[Trial]:
    """Draw rows to choose on; the rest is new."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(N_DRAWS):
        order = rng.permutation(len(y))
        chosen, rest = order[:size], order[size:]
        trials.append(Trial(y[chosen], proba[chosen], y[rest], proba[rest]))
    return trials


def mean_score(trials: list[Trial], average: str, **params: object) -> float:
    """Return the mean F1 on the new rows."""
    scores = []
    for trial in trials:
        thresholds = find_thresholds(
            trial.y, trial.proba, scoring=f"f1_{average}", **params
        )
        chosen = trial.proba_new >= thresholds
        scores.append(nan_f1_score(trial.y_new, chosen, average=average))
    return float(np.mean(scores))


if __name__ == "__main__":
    main()

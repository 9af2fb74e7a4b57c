"""Time the exact search for thresholds.

    python benchmarks/thresholds.py
    python benchmarks/thresholds.py --rows 10000 --labels 500

The probabilities are random, with labels of 0.5% to 20% positives, and hardly two of
them are equal: the hardest case for a search over every distinct score. Beside each
time stands its ratio to sorting the same columns, less than which no search over all
scores can do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from skbert import find_thresholds

SEARCHES = {
    "per label": {"shrinkage": 0},
    "one for all": {"per_label": False},
    "shrunk (default)": {},
}


def main() -> None:
    """Print a row per search."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    y, proba = make_data(args.rows, args.labels)
    sorting = best_seconds(lambda: np.argsort(proba, axis=0), args.repeats)
    print(f"{args.rows} x {args.labels}; argsort of the columns: {sorting:.2f} s")
    print(
        f"{'':22}" + "".join(f"{scoring:>22}" for scoring in ("f1_macro", "f1_micro"))
    )
    for name, params in SEARCHES.items():
        cells = []
        for scoring in ("f1_macro", "f1_micro"):

            def search(scoring: str = scoring, params: dict = params) -> None:
                find_thresholds(y, proba, scoring=scoring, **params)

            seconds = best_seconds(search, args.repeats)
            cells.append(f"{seconds:8.2f} s = {seconds / sorting:4.1f} sorts")
        print(f"{name:22}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def make_data(n_rows: int, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that know something of them."""
    rng = np.random.default_rng(0)
    y = rng.random((n_rows, n_labels)) < rng.uniform(0.005, 0.2, n_labels)
    noise = rng.random((2, n_rows, n_labels))
    return y, (0.5 * y * noise[0] + noise[1] ** 2) / 1.5


def best_seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the shortest of some runs: other processes only add to it."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()

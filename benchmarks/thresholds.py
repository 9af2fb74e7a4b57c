"""Time the exact search for thresholds.

    python benchmarks/thresholds.py
    python benchmarks/thresholds.py --rows 10000 --labels 500

The probabilities are random, with labels of 0.5% to 20% positives, and hardly two of
them are equal: the hardest case for a search over every distinct score. "sorts" is the
ratio of the best time to that of sorting the same columns, less than which no search
over all scores can do: the first row is that limit.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from timing import QuietMachine, Table, make_clock, make_parser, take_turns, timed

from skbert import find_thresholds

SEARCHES: dict[str, dict] = {
    "per label": {"shrinkage": 0},
    "one for all": {"per_label": False},
    "shrunk (default)": {},
}
SORTING = "argsort of columns"

COLUMNS = {
    "rows": "8d",
    "labels": "8d",
    "search": "28s",
    "s best": "9.2f",
    "s median": "10.2f",
    "sorts": "8.1f",
    "waits": "7d",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row per search."""
    args = _parse(argv)
    clock = make_clock(torch.device("cpu"), args.processor_time)
    y, proba = make_data(args.rows, args.labels)
    ways = {SORTING: timed(lambda: np.argsort(proba, axis=0), clock)}
    for name, params in SEARCHES.items():
        for scoring in ("f1_macro", "f1_micro"):

            def search(scoring: str = scoring, params: dict = params) -> None:
                find_thresholds(y, proba, scoring=scoring, **params)

            ways[f"{name}, {scoring}"] = timed(search, clock)
    turns = take_turns(ways, args.repeats, QuietMachine(args.patience))
    table = Table(COLUMNS, args.csv)
    for name, seconds in turns.seconds.items():
        table.add(
            {
                "rows": args.rows,
                "labels": args.labels,
                "search": name,
                "s best": min(seconds),
                "s median": float(np.median(seconds)),
                "sorts": min(seconds) / min(turns.seconds[SORTING]),
                "waits": turns.waits[name],
            }
        )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=100)
    return parser.parse_args(argv)


def make_data(n_rows: int, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities that know something of them."""
    rng = np.random.default_rng(0)
    y = rng.random((n_rows, n_labels)) < rng.uniform(0.005, 0.2, n_labels)
    noise = rng.random((2, n_rows, n_labels))
    return y, (0.5 * y * noise[0] + noise[1] ** 2) / 1.5


if __name__ == "__main__":
    main()

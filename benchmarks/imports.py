"""Time `import skbert` against `import sklearn`, each in a Python of its own.

    python benchmarks/imports.py

"ratio best" and "ratio median" are to `import sklearn`. The first row is a Python that
imports nothing, which all others contain; the last two are first uses of skbert: what a
name needs is imported when it is asked for. Every statement runs once before it is
timed, so that files are compiled and in memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from timing import QuietMachine, Table, make_parser, take_turns, timed

STATEMENTS = (
    "pass",
    "import sklearn",
    "import skbert",
    "from skbert import read_csv",
    "from skbert import TransformerMultiLabelClassifier",
)
LIMIT = "import sklearn"

COLUMNS = {
    "statement": "52s",
    "s best": "9.3f",
    "s median": "10.3f",
    "ratio best": "12.2f",
    "ratio median": "14.2f",
    "waits": "7d",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row per statement."""
    args = _parse(argv)
    clock = processor_time_of_children if args.processor_time else time.perf_counter
    ways = {}
    for statement in STATEMENTS:

        def run(statement: str = statement) -> None:
            subprocess.run([sys.executable, "-c", statement], check=True)

        run()
        ways[statement] = timed(run, clock)
    turns = take_turns(ways, args.repeats, QuietMachine(args.patience))
    limit = turns.seconds[LIMIT]
    table = Table(COLUMNS, args.csv)
    for statement, seconds in turns.seconds.items():
        table.add(
            {
                "statement": statement,
                "s best": min(seconds),
                "s median": float(np.median(seconds)),
                "ratio best": min(seconds) / min(limit),
                "ratio median": float(np.median(seconds) / np.median(limit)),
                "waits": turns.waits[statement],
            }
        )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    return make_parser(__doc__, repeats=11).parse_args(argv)


def processor_time_of_children() -> float:
    """Return the seconds that processors have worked for processes that ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()

"""Measure time and peak memory of predict_proba against the number of texts.

    python benchmarks/scale.py
    python benchmarks/scale.py --large --csv scale.csv

A tiny random BERT predicts 10 labels of short invented texts: the forward pass costs
next to nothing, so that everything around it shows. Each point is a process of its
own. Its memory "at rest" is the resident set with model and texts, after a prediction
of a hundred texts; "above" is the peak (VmHWM of Linux) minus that and minus the
answer of 80 bytes per text.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

SIZES = (1_000, 10_000, 100_000)
N_LABELS = 10

COLUMNS = {
    "way": "10s",
    "texts": "10d",
    "seconds": "9.1f",
    "texts/s": "9.0f",
    "at rest MB": "12.0f",
    "answer MB": "11.1f",
    "above MB": "10.1f",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    if args.point is not None:
        print(json.dumps(measure(args.folder, args.way, args.point)))
        return
    print("".join(f"{name:>{_width(form)}}" for name, form in COLUMNS.items()))
    with tempfile.TemporaryDirectory() as folder:
        make_model(folder)
        for way in ("predict", "stream"):
            for size in (*SIZES, *([1_000_000] if args.large else [])):
                _report(_in_a_process(folder, way, size), args.csv)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", action="store_true", help="a million texts, too")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append the rows here")
    for name, kind in (("--folder", str), ("--way", str), ("--point", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def make_model(folder: str) -> None:
    """Save a classifier around a tiny random BERT."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from checkpoints import make_checkpoint
    from skbert import TransformerMultiLabelClassifier

    base = Path(folder) / "base"
    base.mkdir()
    make_checkpoint("bert", base)
    y = [[(row >> label) & 1 for label in range(N_LABELS)] for row in range(2**10)]
    clf = TransformerMultiLabelClassifier(
        str(base), max_length=32, max_epochs=1, random_state=0
    )
    clf.fit(list(make_texts(len(y))), y).save_pretrained(folder)


def make_texts(n: int):
    """Yield short texts of 3 to 12 words."""
    rng = random.Random(0)
    words = ("invoice", "payment", "error", "crash", "meeting", "the", "a", "please")
    for i in range(n):
        yield " ".join([*rng.choices(words, k=rng.randint(3, 12)), str(i)])


def _in_a_process(folder: str, way: str, n: int) -> dict:
    command = [sys.executable, __file__, "--folder", folder, "--way", way]
    done = subprocess.run(
        [*command, "--point", str(n)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder: str, way: str, n: int) -> dict:
    """Return one row: seconds, and memory above model, texts and answer."""
    from skbert import TransformerMultiLabelClassifier

    clf = TransformerMultiLabelClassifier.from_pretrained(folder)
    texts = list(make_texts(n)) if way == "predict" else make_texts(n)
    clf.predict_proba(list(make_texts(100)))  # what the first call loads
    # Writing 5 makes the peak start from here.
    Path("/proc/self/clear_refs").write_text("5")
    rest = _status("VmRSS")
    start = time.perf_counter()
    if way == "predict":
        answer = clf.predict_proba(texts).nbytes / 1e6
    else:
        answer = 0.0
        for _ in clf.iter_predict_proba(texts):
            pass
    seconds = time.perf_counter() - start
    return {
        "way": way,
        "texts": n,
        "seconds": seconds,
        "texts/s": n / seconds,
        "at rest MB": rest,
        "answer MB": answer,
        "above MB": _status("VmHWM") - rest - answer,
    }


def _status(key: str) -> float:
    """Return a line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(key + ":")]
    return int(line.split()[1]) / 1e3


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

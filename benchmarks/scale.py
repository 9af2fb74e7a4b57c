"""Measure time and peak memory against the number of texts and of labels.

    python benchmarks/scale.py
    python benchmarks/scale.py --large --csv scale.csv
    python benchmarks/scale.py --fit --texts 43410 --labels --model-config minilm

The first line is what `make bench` runs, about six minutes on two cores; --large adds
a million texts. A tiny random BERT reads made-up texts of the lengths of GoEmotions:
the model costs next to nothing, so that everything around it shows. Two sweeps: over
--texts, with 10 labels; and over --labels, with 10,000 texts. The third line measures
one epoch of the real model over as many texts as GoEmotions has (five minutes and
more).

Three ways: `predict` is predict_proba, `stream` iter_predict_proba over a generator,
and `fit` one epoch, all of it.

Each point is a process of its own. "at rest" is its resident memory with the texts and,
for a fit, with the matrix of labels (bool, a byte per cell); for a prediction with the
model, too. "state" is what a fit cannot do without: its weights and the two moments of
AdamW. "answer" is what predict_proba returns: 8 bytes per text and label. "above" is
the peak (VmHWM of Linux) minus all of these: for a fit it holds gradients and
activations. Libraries are loaded and used on a hundred texts before.

"of limit" is the share of the time that the useful arithmetic takes at the speed of the
best bf16 product, and the matrix of labels or answers at that of a copy, both measured
at the start. With a model as tiny as this one it is close to nothing, and says so.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flops import useful_flops
from inputs import few_texts, make_labels, make_texts, model_folder, token_lengths
from timing import (
    Table,
    machine_cells,
    make_parser,
    set_up,
)

from skbert.runtime.device import resolve_device

WAYS = ("predict", "stream", "fit")
TEXTS = (1_000, 10_000, 43_410, 100_000)
LABELS = (10, 100, 1_000, 5_000)
N_LABELS = 10  # where texts are varied
N_TEXTS = 10_000  # where labels are
MAX_LENGTH = 64

COLUMNS = {
    "way": "9s",
    "texts": "9d",
    "labels": "8d",
    "seconds": "9.1f",
    "texts/s": "9.0f",
    "at rest MB": "12.0f",
    "state MB": "10.1f",
    "answer MB": "11.1f",
    "above MB": "10.1f",
    "of limit": "10.4f",
    "waits": "7d",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    if args.point is not None:
        print(json.dumps(measure(json.loads(args.point))))
        return
    device = resolve_device("cpu")
    _, machine, ceilings = set_up(device, args)
    constant = {"model": args.model_config, **machine_cells(device, ceilings)}
    table = Table(COLUMNS, args.csv, constant)
    with tempfile.TemporaryDirectory() as temporary:
        base = model_folder(args.model_config, temporary)
        for way, n_texts, n_labels in points(args):
            point = {
                "way": way,
                "texts": n_texts,
                "labels": n_labels,
                "base": str(base),
                "folder": str(Path(temporary) / f"fitted-{n_labels}"),
                "processor_time": args.processor_time,
            }
            if way != "fit":
                fit_and_save(point)
            waits = machine.wait()
            row = _in_a_process(point)
            share = ceilings.share(row["seconds"], row.pop("flops"), row.pop("bytes"))
            table.add(row | {"of limit": share, "waits": waits})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=None, model="tiny")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument(
        "--fit",
        dest="ways",
        action="store_const",
        const=("fit",),
        help="the same as --ways fit",
    )
    parser.add_argument("--texts", type=int, nargs="*", default=TEXTS, metavar="N")
    parser.add_argument("--labels", type=int, nargs="*", default=LABELS, metavar="L")
    parser.add_argument("--large", action="store_true", help="a million texts, too")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def points(args: argparse.Namespace) -> Iterator[tuple[str, int, int]]:
    """Yield way, number of texts and number of labels."""
    for way in args.ways:
        for n_texts in args.texts:
            yield way, n_texts, N_LABELS
        # A million texts are for predictions: an epoch over them proves no more than
        # one over a hundred thousand.
        if args.large and way != "fit":
            yield way, 1_000_000, N_LABELS
    for way in args.ways:
        if way == "stream":
            continue
        for n_labels in args.labels:
            # That point is one of the first sweep.
            if n_labels != N_LABELS or N_TEXTS not in args.texts:
                yield way, N_TEXTS, n_labels


def fit_and_save(point: dict[str, Any]) -> None:
    """Save a classifier for the points that predict, once per number of labels."""
    folder = Path(point["folder"])
    if not folder.exists():
        _fit(point, list(make_texts(512)), n_labels=point["labels"]).save_pretrained(
            folder
        )


def _fit(point: dict[str, Any], texts: list[str], *, n_labels: int = 0, y=None):
    from skbert import TransformerMultiLabelClassifier

    clf = TransformerMultiLabelClassifier(
        point["base"],
        max_length=MAX_LENGTH,
        max_epochs=1,
        batch_size=32,
        random_state=0,
        device="cpu",
    )
    with few_texts():
        return clf.fit(texts, make_labels(len(texts), n_labels) if y is None else y)


def _in_a_process(point: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--point", json.dumps(point)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# --- one point, in a process of its own ----------------------------------------------


def measure(point: dict[str, Any]) -> dict[str, Any]:
    """Return one row: seconds, and memory above what the data and the model take."""
    clock = time.process_time if point["processor_time"] else time.perf_counter
    work = _fitting if point["way"] == "fit" else _predicting
    return work(point, clock) | {key: point[key] for key in ("way", "texts", "labels")}


def _predicting(point: dict[str, Any], clock) -> dict[str, Any]:
    from skbert import TransformerMultiLabelClassifier

    clf = TransformerMultiLabelClassifier.from_pretrained(point["folder"], device="cpu")
    texts: Iterable[str] = make_texts(point["texts"])
    if point["way"] == "predict":
        texts = list(texts)
    clf.predict_proba(list(make_texts(100)))  # what the first call loads
    rest = _start_peak()
    start = clock()
    answer = 0.0
    if point["way"] == "predict":
        answer = clf.predict_proba(texts).nbytes / 1e6
    else:
        for _ in clf.iter_predict_proba(texts):
            pass
    seconds = clock() - start
    peak = _status("VmHWM")
    cells = _cells(point, clf, seconds, training=False)
    return cells | {
        "at rest MB": rest,
        "state MB": 0.0,
        "answer MB": answer,
        "above MB": peak - rest - answer,
    }


def _fitting(point: dict[str, Any], clock) -> dict[str, Any]:
    texts = list(make_texts(point["texts"]))
    y = make_labels(len(texts), point["labels"])
    _fit(point, list(make_texts(100)), n_labels=point["labels"])  # loads libraries
    rest = _start_peak()
    start = clock()
    clf = _fit(point, texts, y=y)
    seconds = clock() - start
    peak = _status("VmHWM")
    parameters = list(clf.net_.module_.parameters())
    # 4 bytes of each weight, and 8 of moments where it is trained.
    state = sum(p.numel() * (4 + 8 * p.requires_grad) for p in parameters) / 1e6
    return _cells(point, clf, seconds, training=True) | {
        "at rest MB": rest,
        "state MB": state,
        "answer MB": 0.0,
        "above MB": peak - rest - state,
    }


def _cells(point: dict[str, Any], clf, seconds: float, *, training: bool) -> dict:
    n_texts, n_labels = point["texts"], point["labels"]
    config = clf.net_.module_.encoder.config
    # Of some texts, because tokens of a million are a million lists.
    some = list(make_texts(min(n_texts, 10_000)))
    lengths = token_lengths(Path(point["base"]), some, MAX_LENGTH)
    flops = useful_flops(
        config,
        lengths,
        n_labels,
        pooling=clf.pooling_,
        training=training,
        frozen_embeddings=True,
    )
    return {
        "seconds": seconds,
        "texts/s": n_texts / seconds,
        "flops": flops * n_texts / len(some),
        "bytes": n_texts * n_labels * (1 if training else 8),
    }


def _start_peak() -> float:
    """Return the resident memory in MB; the peak is counted from here on."""
    gc.collect()
    # What was freed is given back: else it would count as at rest, and be used again.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
    # Writing 5 makes the peak start from here.
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> float:
    """Return a line of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(key + ":")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()

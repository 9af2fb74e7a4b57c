"""Time predict_proba against its peers, in one process, taking turns.

    python benchmarks/predict.py
    python benchmarks/predict.py goemotions:128:200 --repeats 2 --csv predict.csv
    python benchmarks/predict.py path/to/folder:256:100 --device cuda

Each data set is NAME:MAX_LENGTH:TEXTS, found as benchmarks/quality.py does it; where
GoEmotions or the e-mails are absent, texts of their lengths are made up. What
`make bench` runs takes about seven minutes on two cores.

The peers, on the same test texts in random order:

pipeline N
    transformers.pipeline at batch size N, in float32, with a sigmoid per label. It
    loads the folder that skbert has fitted to a few training texts with a native head
    and saved: the same model.
encode 32, encode 32 bf16
    What many people do instead: `encode` of sentence-transformers at batch size 32,
    with the same encoder, and a linear head on the embeddings. In bf16 the whole
    encoder is.

"per s" is texts per second; "ratio" is how many times as fast as the row skbert is (so
that the least of the pipeline's ratios is the one to quote), best time against best and
median against median; "of bf16" as benchmarks/fit.py has it. "change" is the largest
difference of a probability to the pipeline's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from flops import useful_flops
from inputs import (
    RANDOM_MODELS,
    few_texts,
    model_folder,
    texts_and_labels,
    token_lengths,
)
from scipy.special import expit
from timing import (
    RATIO_COLUMNS,
    Ceilings,
    Clock,
    QuietMachine,
    Table,
    machine_cells,
    make_parser,
    ratio_rows,
    set_up,
    take_turns,
    timed,
)
from transformers import pipeline

from skbert import TransformerMultiLabelClassifier
from skbert.models.configuration import load_config
from skbert.runtime.device import resolve_device
from skbert.runtime.quiet import quiet_transformers

BATCH_SIZES = (1, 8, 32, 64)
N_TRAINING_TEXTS = 64

COLUMNS = {
    "data": "17s",
    "texts": "7d",
    "row": "15s",
    **RATIO_COLUMNS,
    "change": "9.1e",
}


class DataSet(NamedTuple):
    """NAME:MAX_LENGTH:TEXTS of the command line."""

    name: str
    max_length: int
    n_texts: int

    @classmethod
    def parse(cls, text: str) -> DataSet:
        name, max_length, n_texts, *_ = (*text.split(":"), "", "")
        return cls(name, int(max_length or 128), int(n_texts or 2000))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    device = resolve_device(args.device)
    clock, machine, ceilings = set_up(device, args)
    constant = {"model": args.model_config, **machine_cells(device, ceilings)}
    table = Table(COLUMNS, args.csv, constant)
    with tempfile.TemporaryDirectory() as temporary:
        base = model_folder(args.model_config, temporary)
        for i, data in enumerate(args.data):
            saved = Path(temporary) / f"saved-{i}"
            for row in measure(data, base, saved, clock, machine, ceilings, args):
                table.add(row)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=3, model="minilm")
    default = ["goemotions:128:2000", "enron_categories:256:200"]
    parser.add_argument(
        "data",
        nargs="*",
        type=DataSet.parse,
        default=[DataSet.parse(data) for data in default],
        metavar="NAME:MAX_LENGTH:TEXTS",
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=BATCH_SIZES, metavar="N"
    )
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def measure(
    data: DataSet,
    base: Path,
    saved: Path,
    clock: Clock,
    machine: QuietMachine,
    ceilings: Ceilings,
    args: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one data set: skbert's, and one per peer."""
    made_up = args.model_config in RANDOM_MODELS
    training = texts_and_labels(data.name, "train", N_TRAINING_TEXTS, made_up=made_up)
    texts, _ = texts_and_labels(data.name, "test", data.n_texts, made_up=made_up)
    fit_and_save(*training, data.max_length, base, saved, args.device)
    clf = TransformerMultiLabelClassifier.from_pretrained(saved, device=args.device)
    peer = make_pipeline(saved, data.max_length, clf.device_)
    actions: dict[str, Callable] = {"skbert": lambda: clf.predict_proba(texts)}
    for size in args.batch_sizes:
        actions[f"pipeline {size}"] = lambda size=size: peer(texts, batch_size=size)
    actions |= encoders(base, texts, data.max_length, clf)
    # It lets every model run once, too, before the clock does.
    change = largest_change(
        clf.predict_proba(texts), peer(texts, batch_size=8), clf.label_names_
    )
    turns = take_turns(
        {name: timed(action, clock) for name, action in actions.items()},
        args.repeats,
        machine,
    )
    flops = useful_flops(
        load_config(saved),
        token_lengths(saved, texts, data.max_length),
        len(clf.label_names_),
    )
    for name, cells in ratio_rows(turns, len(texts), flops, ceilings):
        yield {
            "data": Path(data.name).name,
            "texts": len(texts),
            "row": name,
            **cells,
            "change": change if name == "skbert" else 0.0,
        }


def fit_and_save(
    texts: list[str],
    y: np.ndarray,
    max_length: int,
    base: Path,
    saved: Path,
    device: str,
) -> None:
    """Fit a native head for one epoch and save the model."""
    clf = TransformerMultiLabelClassifier(
        base,
        pooling="native",
        max_epochs=1,
        max_length=max_length,
        device=device,
        random_state=0,
    )
    with few_texts():
        clf.fit(texts, y).save_pretrained(saved)


def make_pipeline(folder: Path, max_length: int, device: str) -> Callable:
    """Return transformers' pipeline around a saved model."""
    with quiet_transformers():
        return pipeline(
            "text-classification",
            model=str(folder),
            top_k=None,
            function_to_apply="sigmoid",
            truncation=True,
            max_length=max_length,
            device=device,
            dtype=torch.float32,
        )


def encoders(
    folder: Path, texts: list[str], max_length: int, clf
) -> dict[str, Callable[[], np.ndarray]]:
    """Return the ways through sentence-transformers; without it none."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("No rows of sentence-transformers: it comes with the extra 'bench'.")
        return {}
    rng = np.random.default_rng(0)
    ways = {}
    for name, dtype in (
        ("encode 32", torch.float32),
        ("encode 32 bf16", torch.bfloat16),
    ):
        with quiet_transformers():
            encoder = SentenceTransformer(
                str(folder),
                device=clf.device_,
                model_kwargs={"dtype": dtype},
                local_files_only=True,
            )
        encoder.max_seq_length = max_length
        width = load_config(folder).hidden_size
        coef = rng.normal(size=(width, len(clf.label_names_)))

        def predict(encoder=encoder, coef=coef) -> np.ndarray:
            with torch.inference_mode():
                embeddings = encoder.encode(
                    texts,
                    batch_size=32,
                    convert_to_tensor=True,
                    show_progress_bar=False,
                )
            return expit(embeddings.float().cpu().numpy() @ coef)

        ways[name] = predict
    return ways


def largest_change(
    proba: np.ndarray, answers: list, names: Sequence[str] | np.ndarray
) -> float:
    """Return the largest difference between skbert's probabilities and a pipeline's."""
    scores = [{a["label"]: a["score"] for a in answer} for answer in answers]
    peer = np.array([[row[str(name)] for name in names] for row in scores])
    return float(np.abs(proba - peer).max())


if __name__ == "__main__":
    main()

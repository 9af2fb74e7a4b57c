"""Time fits against transformers' Trainer, in one process, taking turns.

    python benchmarks/fit.py
    python benchmarks/fit.py --against trainer --batch-sizes 32 --embeddings frozen
    python benchmarks/fit.py --device cuda --model-config bert-base --embeddings trained

The first line is what `make bench` runs, about six minutes on two cores. The third is
for a GPU, about five minutes, and needs neither data nor a network: random weights of
bert-base's size, made-up texts of the lengths of GoEmotions.

Three comparisons, each of one epoch over the same texts, with the same batch size and
the same number of updates, which is checked:

notebook
    skbert's defaults (mean pooling, embeddings frozen, bf16 where the processor has it)
    against the Trainer as a well-known notebook sets it: everything padded to 128
    tokens, float32, batches of 8, everything trained. Its evaluation and its
    checkpoints after every epoch are left out.
frozen, trained
    The embeddings frozen by both, or trained by both, and the same model
    (pooling="native"): skbert against the Trainer with its best settings, which are
    padding to the longest text of a batch, texts grouped by length, bf16, fused AdamW.
    skbert's dropout=None switches dropout of attention off, and that is a part of its
    speed. The checkpoint has it at 0.1 and so has the row "Trainer". A skilled person
    would switch it off, too: that is "no att. dropout", and "eager att." is the same
    with attn_implementation="eager", which is faster than flash attention for short
    texts on a CPU.

Timed are tokenization and training; the loading of the model is left out of both, and
benchmarks/fits.py says what else. "per s" is training texts per second; "ratio" is how
many times as fast as the row skbert is; "of bf16" is the share of the best bf16 product
of matrices, measured in the same run, that the useful arithmetic of the row comes to
(benchmarks/flops.py). The ways take turns in random order, and before each a small
product is timed: while it takes much longer than it can, the script waits. "waits"
counts the turns for which the machine never became quiet.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from fits import SkbertFit, Task, TrainerFit
from flops import useful_flops
from inputs import RANDOM_MODELS, model_folder, texts_and_labels, token_lengths
from timing import (
    RATIO_COLUMNS,
    Table,
    Way,
    machine_cells,
    make_parser,
    ratio_rows,
    set_up,
    take_turns,
)

from skbert.models.configuration import load_config
from skbert.runtime.device import resolve_device, resolve_precision

NOTEBOOK_BATCH_SIZE = 8
NOTEBOOK = {"learning_rate": 2e-5, "weight_decay": 0.01}

# On a CPU an epoch over so many texts; on a GPU so many updates.
CPU_ROWS = 640
GPU_UPDATES = 200

COLUMNS = {
    "comparison": "11s",
    "batch": "6d",
    "texts": "7d",
    "row": "27s",
    **RATIO_COLUMNS,
}


class Comparison(NamedTuple):
    """What is fitted side by side."""

    name: str
    batch_size: int
    frozen: bool  # as skbert's useful arithmetic has it

    @property
    def pooling(self) -> str:
        return "auto" if self.name == "notebook" else "native"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    device = resolve_device(args.device)
    clock, machine, ceilings = set_up(device, args)
    with tempfile.TemporaryDirectory() as temporary:
        folder = model_folder(args.model_config, temporary)
        constant = {"model": args.model_config, **machine_cells(device, ceilings)}
        table = Table(COLUMNS, args.csv, constant)
        for comparison in comparisons(args, device):
            task = make_task(comparison, folder, device, clock, args)
            turns = take_turns(ways(comparison, task, args), args.repeats, machine)
            n, flops = len(task.texts), count_flops(comparison, task)
            first = {
                "comparison": comparison.name,
                "batch": comparison.batch_size,
                "texts": n,
            }
            for name, cells in ratio_rows(turns, n, flops, ceilings):
                table.add(first | {"row": name} | cells)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, repeats=3, model="minilm")
    parser.add_argument(
        "--against", nargs="+", default=["notebook", "trainer"], metavar="notebook ..."
    )
    parser.add_argument(
        "--embeddings", nargs="+", default=["frozen", "trained"], metavar="frozen ..."
    )
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        metavar="N",
        help="of the comparisons frozen and trained; default: 32, on a GPU 8 32 128",
    )
    parser.add_argument("--data", default="goemotions", help="a name, or a folder")
    parser.add_argument(
        "--rows",
        type=int,
        metavar="N",
        help=f"training texts; default: {CPU_ROWS}, on a GPU {GPU_UPDATES} batches",
    )
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--workers", type=int, default=0, help="of the Trainer's data loader"
    )
    args = parser.parse_args(argv)
    for name, known in (
        ("against", {"notebook", "trainer"}),
        ("embeddings", {"frozen", "trained"}),
    ):
        if unknown := set(getattr(args, name)) - known:
            parser.error(f"--{name} takes {sorted(known)}, not {sorted(unknown)}")
    return args


def comparisons(args: argparse.Namespace, device: torch.device) -> Iterator[Comparison]:
    """Yield what is asked for."""
    if "notebook" in args.against:
        yield Comparison("notebook", NOTEBOOK_BATCH_SIZE, frozen=True)
    if "trainer" not in args.against:
        return
    default = [8, 32, 128] if device.type == "cuda" else [32]
    for batch_size in args.batch_sizes or default:
        for embeddings in args.embeddings:
            yield Comparison(embeddings, batch_size, embeddings == "frozen")


def make_task(
    comparison: Comparison, folder: Path, device: torch.device, clock, args
) -> Task:
    """Return the texts and labels of a comparison."""
    n = args.rows
    if n is None:
        on_gpu = device.type == "cuda"
        n = GPU_UPDATES * comparison.batch_size if on_gpu else CPU_ROWS
    made_up = args.model_config in RANDOM_MODELS
    texts, y = texts_and_labels(args.data, "train", n, made_up=made_up)
    return Task(folder, texts, y, args.max_length, device, clock)


def ways(
    comparison: Comparison, task: Task, args: argparse.Namespace
) -> dict[str, Way]:
    """Return the rows of a comparison: skbert and its peers."""
    size = comparison.batch_size
    loader = {"dataloader_num_workers": args.workers}
    if comparison.name == "notebook":
        peer = TrainerFit(task, size, NOTEBOOK | loader, pad_to_max_length=True)
        return {"skbert": SkbertFit(task, size), "Trainer, notebook": peer}
    tuned = loader | {
        "bf16": resolve_precision("auto", task.device) == "bf16",
        "optim": "adamw_torch_fused",
        "train_sampling_strategy": "group_by_length",
        # It would wait for the loss of every step.
        "logging_nan_inf_filter": False,
    }
    configs: dict[str, dict] = {
        "Trainer": {},
        "Trainer, no att. dropout": {"attention_probs_dropout_prob": 0.0},
    }
    if task.device.type == "cpu":
        configs["Trainer, same, eager att."] = {
            "attention_probs_dropout_prob": 0.0,
            "attn_implementation": "eager",
        }
    frozen = comparison.frozen
    params = {"pooling": "native", "freeze_embeddings": frozen}
    return {"skbert": SkbertFit(task, size, params)} | {
        name: TrainerFit(task, size, tuned, config, freeze_embeddings=frozen)
        for name, config in configs.items()
    }


def count_flops(comparison: Comparison, task: Task) -> float:
    """Return the useful operations of one turn, the same for all rows."""
    lengths = token_lengths(task.folder, task.texts, task.max_length)
    return useful_flops(
        load_config(task.folder),
        lengths,
        task.y.shape[1],
        pooling="mean" if comparison.pooling == "auto" else "native",
        training=True,
        frozen_embeddings=comparison.frozen,
    )


if __name__ == "__main__":
    main()

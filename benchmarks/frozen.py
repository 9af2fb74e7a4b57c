"""Time fits whose lower layers are frozen: computed once, in every epoch, or trained.

    python benchmarks/frozen.py goemotions --rows 2000
    python benchmarks/frozen.py goemotions --score

Whole fits of the default model take turns, so that a slow moment of the machine hits
all of them: with the top layers trained and what is below computed once ("kept") or in
every epoch ("anew"), and with everything trained ("all"). Printed are the best time,
training texts per second (epochs times texts), how many times faster than "all", and
with --score the micro- and macro-F1 of the test split at 0.5. Loading the model is part
of the time, so that the more texts there are, the larger the ratios.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from unittest import mock

from quality import find_folder, read_data

from skbert import TransformerMultiLabelClassifier
from skbert.metrics import nan_f1_score


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    # Of few texts some labels have none, as every fit would say.
    warnings.filterwarnings("ignore", message=".*have no positive or no negative")
    data = read_data(find_folder(args.data), n_train=args.rows)
    train, n_texts = data["train"], len(data["train"].data)
    print(f"{args.data}: {n_texts} texts, {args.epochs} epochs", flush=True)
    ways: dict[str, tuple[int | None, bool]] = {}
    for k in args.layers:
        ways |= {f"top {k}, kept": (k, True), f"top {k}, anew": (k, False)}
    ways["all"] = (None, True)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    fitted = {}
    for _ in range(args.repeats):
        for name, (k, kept) in ways.items():
            clf = _classifier(k, args)
            start = time.perf_counter()
            with nullcontext() if kept else _anew():
                fitted[name] = clf.fit(train.data, train.target)
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        best = min(times)
        cells = f"{name:14}{best:9.1f} s{n_texts * args.epochs / best:9.0f} /s"
        cells += f"{min(seconds['all']) / best:8.2f} x"
        if args.score:
            cells += _scores(fitted[name], data["test"])
        print(cells, flush=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="name of a data set, or a folder")
    parser.add_argument("--rows", type=int, metavar="N", help="train on N texts only")
    parser.add_argument("--layers", type=int, nargs="+", default=[3], metavar="K")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--learning-rate", type=float, help="where layers are frozen; default: auto"
    )
    parser.add_argument("--model", help="default: that of the classifier")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--score", action="store_true")
    return parser.parse_args(argv)


def _classifier(k: int | None, args: argparse.Namespace):
    params: dict[str, Any] = {} if args.model is None else {"model": args.model}
    if k is not None and args.learning_rate is not None:
        params["learning_rate"] = args.learning_rate
    return TransformerMultiLabelClassifier(
        trainable_layers=k,
        max_epochs=args.epochs,
        max_length=args.max_length,
        device=args.device,
        random_state=0,
        **params,
    )


def _anew():
    return mock.patch("skbert.training.frozen_states._pays", lambda *args: False)


def _scores(clf, split) -> str:
    chosen = clf.predict(split.data)
    scores = [
        nan_f1_score(split.target, chosen, average=average)
        for average in ("micro", "macro")
    ]
    return "   micro {:.3f}, macro {:.3f}".format(*scores)


if __name__ == "__main__":
    main()

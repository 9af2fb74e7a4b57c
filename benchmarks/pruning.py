"""Measure what pruning saves in a search, and what it costs.

    python benchmarks/pruning.py

The same trials are run twice on GoEmotions: to their ends, and with a pruner. Printed
are the time, the number of epochs and the best score of both searches.

- The parameters of a trial are drawn at random with one seed, so that both searches
  try the same ones: what differs is what the pruner stops. (Optuna's own sampler
  learns from the trials before, and would try others.)
- Every trial is planned for four epochs, whatever its parameters. "auto" would mean
  14 here, and a rate that falls to zero over four epochs ranks the settings alike.
- The pruner is asynchronous successive halving (Li et al. 2020, "A System for Massively
  Parallel Hyperparameter Tuning"), as Optuna has it: after 2, 3 and 5 of a trial's
  epochs it goes on with the better half. It needs no finished trials to begin with,
  of which twelve leave few.

A data set is found as in benchmarks/quality.py.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from quality import find_folder, read_data

from skbert import TransformerMultiLabelClassifier
from skbert.search import CrossValidationObjective
from skbert.search.study import open_study

SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "head_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "dropout": FloatDistribution(0.0, 0.3),
}


@dataclass(frozen=True)
class Result:
    """What one search came to."""

    seconds: float
    n_epochs: int
    best: float


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    args = _parse(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # 1,500 texts lack some of the 28 labels, as every fit of every trial would say.
    warnings.filterwarnings("ignore", message=".*have no positive or no negative")
    train = read_data(find_folder(args.data), n_train=args.rows)["train"]
    objective = make_objective(train.data, train.target, args)
    print(
        f"{args.data}: {len(train.data)} texts, {train.target.shape[1]} labels, "
        f"{args.trials} trials, {args.folds} folds, {args.max_epochs} epochs"
    )
    pruners = {
        "to the end": optuna.pruners.NopPruner(),
        "pruned": optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=2
        ),
    }
    results = {
        name: search(name, objective, pruner, args) for name, pruner in pruners.items()
    }
    _report(results)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="goemotions", help="a name, or a folder")
    parser.add_argument("--rows", type=int, default=1500, help="training texts")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--model", help="a name on the hub, or a folder")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--max-epochs", type=int, default=4)
    parser.add_argument("--scoring", default="average_precision_micro")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def make_objective(
    X: list[str], y: Any, args: argparse.Namespace
) -> CrossValidationObjective:
    """Return the objective that both searches share."""
    clf = TransformerMultiLabelClassifier(
        max_length=args.max_length, max_epochs=args.max_epochs, random_state=args.seed
    )
    if args.model is not None:
        clf.set_params(model=args.model)
    return CrossValidationObjective(
        clf,
        SPACE,
        X,
        y,
        cv=args.folds,
        scoring=args.scoring,
        random_state=args.seed,
    )


def search(
    name: str,
    objective: CrossValidationObjective,
    pruner: optuna.pruners.BasePruner,
    args: argparse.Namespace,
) -> Result:
    """Run one search and print a line per trial."""
    sampler = optuna.samplers.RandomSampler(seed=args.seed)
    study = open_study(None, name, sampler=sampler, pruner=pruner)
    print(f"\n{name}\ntrial     state  epochs   score  seconds", flush=True)
    start = time.perf_counter()
    study.optimize(objective, n_trials=args.trials, callbacks=[_print_trial])
    seconds = time.perf_counter() - start
    n_epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    return Result(seconds, n_epochs, study.best_value)


def _print_trial(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    # Each epoch is reported once, so that reports count the epochs.
    n_epochs = len(trial.intermediate_values)
    score = np.nan if trial.value is None else trial.value
    assert trial.duration is not None
    seconds = trial.duration.total_seconds()
    print(
        f"{trial.number:5}  {trial.state.name:>8}  {n_epochs:6}  {score:6.4f}  "
        f"{seconds:7.1f}",
        flush=True,
    )


def _report(results: dict[str, Result]) -> None:
    print("\n              seconds  epochs  best score")
    for name, result in results.items():
        numbers = f"{result.seconds:7.1f}  {result.n_epochs:6}  {result.best:10.4f}"
        print(f"{name:12}  {numbers}")
    whole, pruned = results.values()
    print(
        f"{'ratio':12}  {pruned.seconds / whole.seconds:7.2f}  "
        f"{pruned.n_epochs / whole.n_epochs:6.2f}"
    )
    print(f"{'difference':12}  {'':7}  {'':6}  {pruned.best - whole.best:+10.4f}")


if __name__ == "__main__":
    main()

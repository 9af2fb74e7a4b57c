"""Checks of folds before a search starts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from skbert.inputs.targets import Targets
from skbert.runtime.quiet import quiet_warnings

__all__ = ["Fold", "check_folds", "describe_fold"]

# Row numbers of the training rows and of the held-out rows.
Fold = tuple[np.ndarray, np.ndarray]

_LABELS_IN_A_MESSAGE = 5


def check_folds(
    folds: list[Fold],
    targets: Targets,
    scoring: str | Callable[..., float],
    score: Callable[..., float],
) -> None:
    """Check that no fold would make every trial fail.

    Parameters
    ----------
    folds : list of (train, test)
    targets : Targets
    scoring : str or callable
        The parameter of the user. A callable is not tried, because it may count its
        calls.
    score : callable
        Result of :func:`skbert.metrics.resolve_scoring`.

    Raises
    ------
    ValueError
        If the training rows of a fold hold one class only, or the score is not defined
        on its held-out rows.
    """
    for number, (train, test) in enumerate(folds, start=1):
        where = f"fold {number} of {len(folds)}"
        if targets.classes is not None:
            _check_classes(targets.take(train), where)
        if isinstance(scoring, str):
            _check_score(targets.take(test), scoring, score, where)


def _check_classes(truth: Targets, where: str) -> None:
    if truth.constant[0]:
        assert truth.classes is not None
        missing = truth.classes.tolist()[0 if truth.values[0, 0] else 1]
        raise ValueError(
            f"In cv, {where} has no row of the class {missing!r} to train on. Use "
            "stratified folds, as an int cv makes them, or fewer."
        )


def _check_score(
    truth: Targets, scoring: str, score: Callable[..., float], where: str
) -> None:
    guess = np.full(truth.values.shape, 0.5)
    with quiet_warnings():  # such as those of labels without positives
        try:
            value = score(truth.with_nan(), guess, guess >= 0.5)
        except Exception as error:
            raise ValueError(
                f"scoring={scoring!r} does not work on {where}: {error}"
            ) from error
    if math.isnan(value):
        raise ValueError(
            f"scoring={scoring!r} is not defined on {where}: "
            f"{_lacking(truth, 'its held-out rows')}. Use fewer folds, stratified "
            "ones, or another scoring."
        )


def describe_fold(folds: list[Fold], targets: Targets, number: int) -> str:
    """Return which fold it is, and what its rows lack.

    Parameters
    ----------
    folds : list of (train, test)
    targets : Targets
    number : int
        Number of the fold, from 0.
    """
    names = ("its training rows", "its held-out rows")
    lacks = [
        lacking
        for rows, name in zip(folds[number], names, strict=True)
        if (lacking := _lacking(targets.take(rows), name))
    ]
    where = f"In fold {number + 1} of {len(folds)}"
    return f"{where} ({'; '.join(lacks)})" if lacks else where


def _lacking(targets: Targets, rows: str) -> str:
    """Return which labels have no positive or no negative in some rows."""
    no_positive = targets.positives == 0
    no_negative = targets.constant & ~no_positive
    parts = []
    for which, kind in ((no_positive, "positive"), (no_negative, "negative")):
        names = targets.names[which]
        if len(names):
            more = len(names) - _LABELS_IN_A_MESSAGE
            shown = ", ".join(map(repr, names[:_LABELS_IN_A_MESSAGE]))
            shown += f" and {more} more" if more > 0 else ""
            parts.append(f"{rows} hold no {kind} of {shown}")
    return "; ".join(parts)

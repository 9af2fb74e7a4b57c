"""Search by Optuna for the thresholds with the best score, for any score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.thresholds.curves import thresholds_at
from skbert.thresholds.exact import TuningData

if TYPE_CHECKING:
    import optuna

__all__ = ["SampledSearch", "search_thresholds"]


@dataclass(frozen=True)
class SampledSearch:
    """Settings of the search.

    Attributes
    ----------
    n_trials : int
    timeout : float or None
        Seconds.
    study : optuna.Study or None
        None creates one in memory.
    sampler : optuna.samplers.BaseSampler or None
        None is TPE with `seed`.
    seed : int or None
    progress : bool
    """

    n_trials: int = 100
    timeout: float | None = None
    study: optuna.Study | None = None
    sampler: Any = None
    seed: int | None = None
    progress: bool = False


def search_thresholds(
    data: TuningData,
    score: Callable[[np.ndarray], float],
    labels: np.ndarray,
    starts: Sequence[np.ndarray],
    search: SampledSearch,
) -> tuple[np.ndarray, optuna.Study]:
    """Search for the thresholds with the best score.

    Parameters
    ----------
    data : TuningData
    score : callable
        Function of thresholds of shape (n_labels,) that returns a float. Greater is
        better, nan means undefined.
    labels : ndarray of int
        Labels whose thresholds are searched. The others keep those of `starts[0]`.
    starts : sequence of ndarray of shape (n_labels,)
        Thresholds that are tried first. The result is at least as good as the best of
        them.
    search : SampledSearch

    Returns
    -------
    thresholds : ndarray of shape (n_labels,), float64
    study : optuna.Study

    Raises
    ------
    ValueError
        If the study minimizes, or the score is nan for every trial.
    """
    with _quiet(search):
        study = _open(search)
    names = [str(data.targets.names[label]) for label in labels]
    ranges = [_range(data, label) for label in labels]
    best: list[tuple[float, np.ndarray]] = []

    def objective(trial: optuna.Trial) -> float:
        thresholds = starts[0].copy()
        thresholds[labels] = [
            trial.suggest_float(name, low, high)
            for name, (low, high) in zip(names, ranges, strict=True)
        ]
        value = score(thresholds)
        if not np.isnan(value) and (not best or value > best[0][0]):
            best[:] = [(value, thresholds)]
        return value

    low, high = np.array(ranges).T
    for start in starts:
        values = np.clip(start[labels], low, high).tolist()
        study.enqueue_trial(dict(zip(names, values, strict=True)))
    with _quiet(search):
        study.optimize(objective, n_trials=len(starts))
        if search.n_trials > len(starts):
            study.optimize(
                objective,
                n_trials=search.n_trials - len(starts),
                timeout=search.timeout,
                show_progress_bar=search.progress,
            )
    if not best:
        raise ValueError(
            "The score was nan for all thresholds that were tried. Is it defined on "
            "the tuning data, for instance: does every label have a positive there?"
        )
    return best[0][1], study


@contextmanager
def _quiet(search: SampledSearch) -> Iterator[None]:
    """Silence Optuna's messages unless progress is shown; errors are still logged."""
    import optuna

    before = optuna.logging.get_verbosity()
    if not search.progress:
        optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _open(search: SampledSearch) -> optuna.Study:
    """Return the user's study, or a new one."""
    import optuna

    base = optuna.samplers.BaseSampler
    if search.sampler is not None and not isinstance(search.sampler, base):
        raise TypeError(
            "sampler must be a sampler of optuna.samplers, such as TPESampler(seed=0); "
            f"got {search.sampler!r}."
        )
    if search.study is None:
        sampler = search.sampler or optuna.samplers.TPESampler(seed=search.seed)
        return optuna.create_study(direction="maximize", sampler=sampler)
    if not isinstance(search.study, optuna.Study):
        raise TypeError(
            f"study must be an optuna.Study; got {search.study!r}. "
            "skbert.open_study('study.db', 'thresholds') opens one on disk."
        )
    directions = search.study.directions
    if list(directions) != [optuna.study.StudyDirection.MAXIMIZE]:
        raise ValueError(
            "The study must maximize one value; its directions are "
            f"{[direction.name.lower() for direction in directions]}. Make it with "
            "optuna.create_study(direction='maximize')."
        )
    if search.sampler is not None:
        search.study.sampler = search.sampler
    return search.study


def _range(data: TuningData, label: int) -> tuple[float, float]:
    """Return thresholds that predict everything, and as little as possible."""
    scores = data.curves[label].scores
    cuts = np.array([0, 1, len(scores) - 1])
    nothing, strictest, everything = thresholds_at(scores, cuts, data.domain)
    return float(everything), float(strictest if np.isnan(nothing) else nothing)

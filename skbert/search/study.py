"""Study: an Optuna study that several processes may share, opened and worked on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from skbert.search.storage import open_storage, requeue_callback

__all__ = ["open_study", "run_trials"]

# User attribute of a trial that was not run to its end and is to be made up for.
NOT_RUN = "not_run"


def open_study(
    storage: str | os.PathLike[str] | BaseStorage | None,
    study_name: str,
    *,
    direction: str = "maximize",
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    heartbeat_interval: int = 60,
    grace_period: int | None = None,
    max_retry: int = 2,
    requeue_running: bool = False,
) -> optuna.Study:
    """Open a study, or begin it where there is none of that name.

    Every process that works on the study calls this function.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        A path that ends in .db, .sqlite or .sqlite3 (SQLite) or in .log or .journal
        (Optuna's journal, which also works on network folders); a database URL such
        as "sqlite:///study.db" or "postgresql://..."; an Optuna storage; or None for
        a study in memory.
    study_name : str
        One storage holds many studies.
    direction : {"maximize", "minimize"}, default="maximize"
        :class:`~skbert.CrossValidationObjective` is to be maximized.
    sampler : optuna.samplers.BaseSampler, default=None
        Chooses the parameters; None is Optuna's own choice. Processes that start
        with one seed try the same parameters: give each a seed of its own.
    pruner : optuna.pruners.BasePruner, default=None
        Stops bad trials; None is Optuna's own choice. It is not stored: pass the
        same in every process.
    heartbeat_interval : int, default=60
        Seconds between two signs of life of a running trial, in a database. A trial
        without one for `grace_period` belonged to a process that died: the next
        process that starts a trial fails it and runs its parameters again.
    grace_period : int, default=None
        Seconds; None is twice the interval.
    max_retry : int, default=2
        How often at most a trial is run again after its process died.
    requeue_running : bool, default=False
        Say True when no other process is working on the study: every trial that a
        killed process left running is failed and put into the queue at once. A
        journal has no heartbeat (as of Optuna 5.0), so that this is its only way.

    Returns
    -------
    optuna.Study

    Raises
    ------
    ValueError
        If the storage cannot be opened, or the study has another direction.
    ImportError
        If the driver of the database is not installed.

    Notes
    -----
    Optuna creates its tables in any database that you name, so do not name one that
    belongs to another program. :func:`optuna.logging.set_verbosity` controls Optuna's
    messages.

    References
    ----------
    T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization
    Framework", KDD 2019.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skbert.search.study import open_study
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "search.log"
    ...     study = open_study(path, "tf-idf")
    ...     study.optimize(lambda trial: trial.suggest_float("C", 0, 1), n_trials=2)
    ...     len(open_study(path, "tf-idf").trials)
    2
    """
    if direction not in ("maximize", "minimize"):
        raise ValueError(
            f"direction must be 'maximize' or 'minimize'; got {direction!r}."
        )
    wanted = StudyDirection[direction.upper()]
    opened = open_storage(
        storage,
        heartbeat_interval=heartbeat_interval,
        grace_period=grace_period,
        max_retry=max_retry,
    )
    study = _load_or_create(opened, study_name, wanted, sampler, pruner)
    if requeue_running:
        _requeue_running(study, max_retry)
    return study


def _load_or_create(
    storage: BaseStorage,
    study_name: str,
    direction: StudyDirection,
    sampler: optuna.samplers.BaseSampler | None,
    pruner: optuna.pruners.BasePruner | None,
) -> optuna.Study:
    try:
        # Before an attempt to create it: that would be written into a journal.
        study = optuna.load_study(
            study_name=study_name, storage=storage, sampler=sampler, pruner=pruner
        )
    except KeyError:
        study = optuna.create_study(
            storage=storage,
            study_name=study_name,
            direction=direction,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,  # another process may be faster
        )
    if study.directions != [direction]:
        found = ", ".join(each.name.lower() for each in study.directions)
        raise ValueError(
            f"The study {study_name!r} is there already with the direction {found}, "
            f"not {direction.name.lower()}. Pass that, or choose another study_name."
        )
    return study


def _requeue_running(study: optuna.Study, max_retry: int) -> None:
    """Fail every trial that is running, and put its parameters into the queue."""
    requeue = requeue_callback(max_retry)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            continue  # it is finished after all
        requeue(study, trial)


def run_trials(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    n_trials: int,
    *,
    callbacks: Iterable[Callable[[optuna.Study, FrozenTrial], None]] = (),
    **options: Any,
) -> None:
    """Work on a study until it has `n_trials` trials, whoever runs them.

    Every process calls this with the same number, and again after a crash or a
    Ctrl-C. ``study.optimize(objective, n_trials=...)`` counts the trials of one
    process alone, and :class:`optuna.study.MaxTrialsCallback` lets every process
    finish what it has begun, which is too many.

    Parameters
    ----------
    study : optuna.Study
        Of :func:`open_study`.
    objective : callable
        ``objective(trial) -> float``.
    n_trials : int
        Trials of the study in the end: complete, pruned, or failed. One that was
        interrupted or whose process was killed does not count.
    callbacks : iterable of callable, default=()
        ``callback(study, trial)``, called after each trial.
    **options
        Of :meth:`optuna.Study.optimize`, such as ``timeout``.

    Notes
    -----
    A process starts no trial while as many as are missing run elsewhere. When one of
    those dies after that, call this again: it runs what is missing. Should two
    processes begin the last trial at the very same moment, the later one is recorded
    as failed, with the user attribute "not_run", and nothing is fitted.

    Examples
    --------
    >>> from skbert.search.study import open_study, run_trials
    >>> study = open_study(None, "demo")
    >>> run_trials(study, lambda trial: trial.suggest_float("x", 0, 1), 3)
    >>> run_trials(study, lambda trial: trial.suggest_float("x", 0, 1), 3)
    >>> len(study.trials)
    3
    """

    def run_if_wanted(trial: optuna.Trial) -> float:
        if _rank(study, trial.number) >= n_trials:
            trial.set_user_attr(NOT_RUN, f"there were {n_trials} already")
            study.stop()
            return float("nan")  # Optuna records the trial as failed
        try:
            return objective(trial)
        except KeyboardInterrupt:
            trial.set_user_attr(NOT_RUN, "interrupted")
            raise

    def stop_when_done(study: optuna.Study, trial: FrozenTrial) -> None:
        if _n_taken(study) >= n_trials:
            study.stop()

    _fail_stale_trials(study)
    if _n_taken(study) < n_trials:
        callbacks = [*callbacks, stop_when_done]
        study.optimize(run_if_wanted, callbacks=callbacks, **options)


def _fail_stale_trials(study: optuna.Study) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, waiting ones among them."""
    trials = study.get_trials(deepcopy=False)
    # Optuna's own note in a trial that repeats others.
    repeated = {
        number
        for trial in trials
        for number in trial.system_attrs.get("retry_history", [])
    }
    return [
        trial
        for trial in trials
        if trial.number not in repeated and NOT_RUN not in trial.user_attrs
    ]


def _n_taken(study: optuna.Study) -> int:
    return sum(trial.state != TrialState.WAITING for trial in _counted(study))


def _rank(study: optuna.Study, number: int) -> int:
    """Return how many trials that count were there before trial ``number``."""
    return sum(trial.number < number for trial in _counted(study))

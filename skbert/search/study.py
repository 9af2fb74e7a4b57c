"""An Optuna study that several processes can share and continue."""

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

# User attribute of a trial that was not completed and does not count.
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
    """Open a study, or create it if there is none of that name.

    Every process that works on the study calls this function.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        A path that ends in .db, .sqlite or .sqlite3 (SQLite) or in .log or .journal
        (Optuna's journal, which also works on network folders); a database URL such
        as "sqlite:///study.db" or "postgresql://..."; an Optuna storage; or None for
        a study in memory.
    study_name : str
        Name of the study. One storage can hold many studies.
    direction : {"maximize", "minimize"}, default="maximize"
        :class:`~skbert.CrossValidationObjective` is to be maximized.
    sampler : optuna.samplers.BaseSampler, default=None
        Sampler of the parameters; None is Optuna's default. Processes with the same
        seed try the same parameters, so give each process its own.
    pruner : optuna.pruners.BasePruner, default=None
        Pruner of bad trials; None is Optuna's default. The study does not store it, so
        pass the same in every process.
    heartbeat_interval : int, default=60
        Seconds between two signs of life of a running trial in a database. If there is
        none for `grace_period`, the process of the trial has died. The next process
        that starts a trial then fails it and runs its parameters again.
    grace_period : int, default=None
        Seconds until a trial counts as dead. None is twice the interval.
    max_retry : int, default=2
        Maximum number of times that a trial is run again after its process died.
    requeue_running : bool, default=False
        Whether to fail every running trial now and queue its parameters. Pass True
        only if no other process is working on the study. For a journal, which has no
        heartbeat in Optuna 5.0, this is the only way to repeat trials.

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
    >>> from skbert import open_study
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
            continue  # it has finished meanwhile
        requeue(study, trial)


def run_trials(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    n_trials: int,
    *,
    callbacks: Iterable[Callable[[optuna.Study, FrozenTrial], None]] = (),
    **options: Any,
) -> None:
    """Work on a study until it has `n_trials` trials in all processes together.

    Call it with the same number in every process, and again after a crash or Ctrl-C.
    In contrast, ``study.optimize(objective, n_trials=...)`` counts the trials of one
    process, and with :class:`optuna.study.MaxTrialsCallback` every process finishes the
    trial that it has started, which makes too many.

    Parameters
    ----------
    study : optuna.Study
        A study of :func:`open_study`.
    objective : callable
        ``objective(trial) -> float``.
    n_trials : int
        Number of trials of the study at the end, complete, pruned or failed. A trial
        does not count if it was interrupted or its process was killed.
    callbacks : iterable of callable, default=()
        ``callback(study, trial)``, called after each trial.
    **options
        Options of :meth:`optuna.Study.optimize`, such as ``timeout``.

    Notes
    -----
    A process starts no trial if other processes run all that are missing. If one of
    them dies later, call this function again to run the rest. If two processes start
    the last trial at the same moment, the later one is recorded as failed, with the
    user attribute "not_run", and fits nothing.

    Examples
    --------
    >>> from skbert import open_study, run_trials
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
    """Return the trials that count, including waiting ones."""
    trials = study.get_trials(deepcopy=False)
    # Optuna notes in a trial which others it repeats.
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
    """Return the number of trials that count and come before trial ``number``."""
    return sum(trial.number < number for trial in _counted(study))

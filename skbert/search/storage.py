"""Storages of studies: Optuna's own, opened by a path or a URL."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path

from optuna.exceptions import ExperimentalWarning
from optuna.storages import (
    BaseStorage,
    InMemoryStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from skbert.runtime.warn import warn_user

__all__ = ["open_storage", "requeue_callback"]

_SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")
_JOURNAL_ENDINGS = (".log", ".journal")

# Seconds that a worker waits for another one to finish writing. The default of sqlite3
# is 5, which is too short for many workers on a slow disk.
_WRITE_TIMEOUT = 60.0

_TRIES = 20


def open_storage(
    storage: str | os.PathLike[str] | BaseStorage | None,
    *,
    heartbeat_interval: int = 60,
    grace_period: int | None = None,
    max_retry: int = 2,
) -> BaseStorage:
    """Open the storage of a study.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        See :func:`skbert.search.open_study`.
    heartbeat_interval, grace_period, max_retry : int
        See :func:`skbert.search.open_study`.

    Returns
    -------
    optuna.storages.BaseStorage

    Raises
    ------
    ValueError
        If the storage cannot be opened, or is not one of Optuna's.
    ImportError
        If the driver of the database is not installed.
    """
    if storage is None:
        return InMemoryStorage()
    if isinstance(storage, BaseStorage):
        return storage
    if not isinstance(storage, (str, os.PathLike)):
        raise ValueError(
            f"storage is {storage!r} ({type(storage).__name__}); it must be a path, a "
            "database URL, an Optuna storage, or None for a study in memory."
        )
    name = os.fspath(storage)
    if Path(name).suffix in _JOURNAL_ENDINGS and "://" not in name:
        return _open_journal(Path(name))
    try:
        # Optuna calls the heartbeat experimental.
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            return _open_database(
                _database_url(name),
                heartbeat_interval=heartbeat_interval,
                grace_period=grace_period,
                heartbeat_stale_trial_callback=requeue_callback(max_retry),
            )
    except ImportError as error:
        raise ImportError(
            "The storage needs a database driver that is not installed: "
            f"{error.__cause__ or error}. Install it with pip."
        ) from error
    except Exception as error:
        raise _cannot_open(_without_password(name), error) from error


def requeue_callback(max_retry: int) -> RetryHeartbeatStaleTrialCallback:
    """Return Optuna's callback that puts a trial into the queue once more.

    Parameters
    ----------
    max_retry : int
        Number of retries. It is limited because a trial may kill every worker.
    """
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return RetryHeartbeatStaleTrialCallback(max_retry=max_retry)


def _database_url(name: str) -> URL:
    if "://" in name:
        return make_url(name)
    if Path(name).suffix in _SQLITE_ENDINGS:
        return URL.create("sqlite", database=name)
    raise ValueError(
        "it is neither a URL nor a file with a known ending: "
        f"{', '.join(_SQLITE_ENDINGS)} is SQLite, {', '.join(_JOURNAL_ENDINGS)} is an "
        "Optuna journal"
    )


def _open_database(url: URL, **options) -> RDBStorage:
    if url.get_backend_name() == "sqlite":
        options["engine_kwargs"] = {"connect_args": {"timeout": _WRITE_TIMEOUT}}
    for n_tries in range(1, _TRIES + 1):
        try:
            return RDBStorage(url.render_as_string(hide_password=False), **options)
        except (IntegrityError, OperationalError) as error:
            # Workers that start together trip over each other's new tables.
            is_race = "already exists" in str(error)
            is_race = is_race or isinstance(error, IntegrityError)
            if not is_race or n_tries == _TRIES:
                raise
        time.sleep(0.1)
    raise AssertionError("unreachable")


def _cannot_open(name: str, error: Exception) -> ValueError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(
        f"The storage {name!r} cannot be opened: {lines[0].rstrip('.')}. Check the "
        "name, that its folder or database exists, and that you may write to it; or "
        "choose the name of a new file."
    )


def _without_password(name: str) -> str:
    try:
        return make_url(name).render_as_string(hide_password=True)
    except Exception:  # it is a path
        return name


# --- journals -------------------------------------------------------------------------


def _open_journal(path: Path) -> JournalStorage:
    try:
        if path.exists():
            _remove_unfinished_record(path)
        return JournalStorage(JournalFileBackend(os.fspath(path)))
    except Exception as error:
        raise _cannot_open(os.fspath(path), error) from error


def _remove_unfinished_record(path: Path) -> None:
    """Remove a last record that a killed worker did not finish.

    Optuna would append the next record to the same line, and could read neither.
    """
    lock = JournalFileSymlinkLock(os.fspath(path))
    lock.acquire()
    try:
        *records, tail = path.read_bytes().split(b"\n")
        _check_records(records, tail)
        if tail:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(tail))
    finally:
        lock.release()
    if tail:
        warn_user(
            f"The last record of {path} was unfinished, as after a crash, and was "
            f"removed ({len(tail)} bytes). All records before it are there."
        )


def _check_records(records: list[bytes], tail: bytes) -> None:
    for number, record in enumerate(records, start=1):
        try:
            is_record = "op_code" in json.loads(record)
        except (TypeError, ValueError):
            is_record = False
        if not is_record:
            raise ValueError(f"line {number} is not a record of an Optuna journal")
    if not records and tail and not tail.startswith(b'{"op_code":'):
        raise ValueError("it is no Optuna journal")

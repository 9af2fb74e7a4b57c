"""Study storage: a path or URL -> an Optuna storage; checked before it is written."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

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
from sqlalchemy.pool import NullPool

from skbert.runtime.warn import warn_user

__all__ = ["open_storage", "requeue_callback"]

_SQLITE_ENDINGS = (".db", ".sqlite", ".sqlite3")
_JOURNAL_ENDINGS = (".log", ".journal")

_SQLITE_HEADER = b"SQLite format 3\0"

# Seconds. Many workers may want to write at the same moment, and each needs only
# milliseconds; sqlite3's own 5 are too few on a slow disk.
_WRITE_TIMEOUT = 60.0

# Seconds to wait for a lock when a file is looked at for the first time.
_CHECK_TIMEOUT = 10.0


def open_storage(
    storage: str | os.PathLike[str] | BaseStorage | None,
    *,
    heartbeat_interval: int = 60,
    grace_period: int | None = None,
    max_retry: int = 2,
) -> BaseStorage:
    """Open the storage of a study, or say why it cannot be opened.

    Parameters
    ----------
    storage : str, path-like, optuna.storages.BaseStorage or None
        As of :func:`skbert.search.study.open_study`.
    heartbeat_interval, grace_period, max_retry : int
        As of :func:`skbert.search.study.open_study`.

    Returns
    -------
    optuna.storages.BaseStorage

    Raises
    ------
    ValueError
        If the storage cannot be opened, or is not one of Optuna's. It is left as it
        was, to the byte.
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
    options = {
        "heartbeat_interval": heartbeat_interval,
        "grace_period": grace_period,
        "heartbeat_stale_trial_callback": requeue_callback(max_retry),
    }
    name = os.fspath(storage)
    if "://" in name:
        return _open_url(name, options)
    path = Path(name)
    if path.suffix in _SQLITE_ENDINGS:
        return _open_sqlite(path, URL.create("sqlite", database=name), options)
    if path.suffix in _JOURNAL_ENDINGS:
        return _open_journal(path)
    raise ValueError(
        f"The storage {name!r} is neither a URL nor a file with a known ending: "
        f"{', '.join(_SQLITE_ENDINGS)} is SQLite, {', '.join(_JOURNAL_ENDINGS)} an "
        "Optuna journal. Rename it, or pass an Optuna storage."
    )


def requeue_callback(max_retry: int) -> RetryHeartbeatStaleTrialCallback:
    """Return Optuna's function that puts a trial into the queue once more.

    Parameters
    ----------
    max_retry : int
        How often at most: a trial that kills every worker must not go round for ever.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RetryHeartbeatStaleTrialCallback(max_retry=max_retry)


# --- databases ------------------------------------------------------------------------


def _open_url(name: str, options: dict) -> BaseStorage:
    try:
        url = make_url(name)
    except Exception as error:
        raise ValueError(
            f"The storage {name!r} is no database URL ({error}). A file is "
            "'sqlite:///folder/study.db', or just its path."
        ) from error
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:"):
        return _open_sqlite(Path(file), url, options)
    return _open_database(url, options)


def _open_database(url: URL, options: dict) -> RDBStorage:
    shown = url.render_as_string(hide_password=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
            return RDBStorage(url.render_as_string(hide_password=False), **options)
    except ImportError as error:
        raise ImportError(
            f"The storage {shown} needs a database driver that is not installed: "
            f"{error.__cause__ or error}. Install it with pip."
        ) from error
    except Exception as error:
        raise ValueError(
            f"The storage {shown} cannot be opened: {_first_line(error)} Check the "
            "URL, that the database can be reached, and that you may write to it; or "
            "pass another storage."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def _open_sqlite(path: Path, url: URL, options: dict) -> RDBStorage:
    engine_kwargs = {"connect_args": {"timeout": _WRITE_TIMEOUT}}
    _check_place(path)
    if not path.exists():
        _make_sqlite(path)
    # A database that is complete is never given tables: one of another version would
    # be changed before its version is looked at.
    complete = path.exists() and _check_sqlite(path)
    return _open_database(
        url,
        {**options, "engine_kwargs": engine_kwargs, "skip_table_creation": complete},
    )


def _make_sqlite(path: Path) -> None:
    """Make an empty study database all at once.

    Optuna makes it table by table. Two workers that start together would trip over
    each other, and one that is killed would leave half a database.
    """
    new = path.with_name(f".{path.name}.{uuid4().hex}.new")
    try:
        url = URL.create("sqlite", database=os.fspath(new))
        # No pool: nothing keeps the file open when it gets its name.
        _open_database(url, {"engine_kwargs": {"poolclass": NullPool}})
        with suppress(FileExistsError):  # another worker was faster
            os.link(new, path)
    except OSError:
        pass  # a file system without links: Optuna makes the file in its place
    finally:
        new.unlink(missing_ok=True)


def _check_sqlite(path: Path) -> bool:
    """Return whether an existing file is a complete study database.

    Raises
    ------
    ValueError
        If it is something else, damaged, or locked.
    """
    with path.open("rb") as file:
        header = file.read(len(_SQLITE_HEADER))
    if not header:
        return False  # an empty file is an empty database
    if header != _SQLITE_HEADER:
        raise ValueError(
            f"The storage {path} is not a SQLite database. It was left as it is; "
            "choose the name of a new file."
        )
    try:
        problem, columns, version = _look_into(path)
    except sqlite3.OperationalError as error:
        raise ValueError(
            f"The storage {path} cannot be read: {error}. If another program holds it, "
            "end that or wait; on a network folder use a journal (a file that ends in "
            ".log) instead."
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    if problem != "ok":
        raise _damaged(path, problem)
    if columns and not {"study_id", "study_name"} <= columns.get("studies", set()):
        raise ValueError(
            f"The storage {path} is a database of something else: it has the tables "
            f"{', '.join(sorted(columns)[:5])}. It was left as it is; choose the name "
            "of a new file."
        )
    return version


def _look_into(path: Path) -> tuple[str, dict[str, set[str]], bool]:
    """Return SQLite's verdict, the columns of each table, and whether it is complete.

    Not read-only: what a killed worker left half written can only be rolled back by a
    connection that may write.
    """
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_CHECK_TIMEOUT)
    with closing(connection):
        ((problem, *_),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        rows = connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables "
            "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
        ).fetchall()
        columns: dict[str, set[str]] = {}
        for table, column in rows:
            columns.setdefault(table, set()).add(column)
        complete = "version_num" in columns.get("alembic_version", set()) and bool(
            connection.execute("SELECT version_num FROM alembic_version").fetchall()
        )
    return problem, columns, complete


def _damaged(path: Path, problem: str) -> ValueError:
    return ValueError(
        f"The storage {path} is damaged: {problem}. It was left as it is. Put back a "
        "copy, or save what can be read with the command "
        f"'sqlite3 {path.name} .recover', and choose the name of a new file."
    )


def _check_place(path: Path) -> None:
    """Check that a file can be there, and be written."""
    if path.is_dir():
        raise ValueError(
            f"The storage {path} is a folder; name a file in it, for instance "
            f"{path / 'study.db'}."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"The storage {path} cannot be opened: there is no folder {path.parent}. "
            "Make it first, or name a file in another one."
        )
    for place in (path, path.parent) if path.exists() else (path.parent,):
        if not os.access(place, os.R_OK | os.W_OK):
            raise ValueError(
                f"The storage {path} cannot be opened: you may not write to {place}. "
                "Change its permissions, or choose a file in another folder."
            )


# --- journals -------------------------------------------------------------------------


def _open_journal(path: Path) -> JournalStorage:
    _check_place(path)
    if path.exists():
        _check_journal(path)
    try:
        return JournalStorage(JournalFileBackend(os.fspath(path)))
    except Exception as error:
        raise ValueError(
            f"The storage {path} cannot be opened as an Optuna journal "
            f"({type(error).__name__}: {error}). It was left as it is; a newer Optuna "
            "may read it, or choose the name of a new file."
        ) from error


def _check_journal(path: Path) -> None:
    """Check every record; cut off a last one that was never finished.

    Optuna would write the next record behind it, on the same line, and could read
    neither from then on.
    """
    if not _unfinished(path):
        return
    # Nobody is writing while we hold the lock: what is unfinished now stays so.
    lock = JournalFileSymlinkLock(os.fspath(path))
    lock.acquire()
    try:
        tail = _unfinished(path)
        if tail:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - len(tail))
    finally:
        lock.release()
    if tail:
        warn_user(
            f"The last record of {path} was unfinished, as after a crash, and was "
            f"removed ({len(tail)} bytes); all records before it are there.",
        )


def _unfinished(path: Path) -> bytes:
    """Return what comes after the last whole record.

    Raises
    ------
    ValueError
        If a line before it is no record of Optuna.
    """
    *lines, tail = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            raise ValueError(
                f"The storage {path} is not an Optuna journal, or is damaged: line "
                f"{number} is no record. It was left as it is; choose the name of a "
                "new file, or put back a copy."
            )
    if tail and not lines and not tail.startswith(b'{"op_code":'):
        raise ValueError(
            f"The storage {path} is not an Optuna journal. It was left as it is; "
            "choose the name of a new file."
        )
    return tail


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "op_code" in record and "worker_id" in record

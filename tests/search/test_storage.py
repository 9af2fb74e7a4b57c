"""Storages are opened, or turned down with a reason and left as they were."""

import os
import subprocess
import sys

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from skbert.search import storage as study_storage
from skbert.search.storage import open_storage
from skbert.search.study import open_study


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def fill(storage, name="study"):
    """Run two trials and return the study."""
    study = open_study(storage, name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    return study


def dispose(study):
    """Close the connections of a study in a database."""
    backend = getattr(study._storage, "_backend", study._storage)
    if hasattr(backend, "engine"):
        study._storage.remove_session()
        backend.engine.dispose()


@pytest.mark.parametrize(
    "name", ["s.db", "s.sqlite", "s.sqlite3", "s.log", "s.journal"]
)
def test_a_path_is_opened_by_its_ending(tmp_path, name):
    study = fill(tmp_path / name)
    again = open_study(str(tmp_path / name), "study")
    assert [t.value for t in again.trials] == [t.value for t in study.trials]
    head = (tmp_path / name).read_bytes()[:6]
    assert head == (b"SQLite" if ".s" in name or ".db" in name else b'{"op_c')
    dispose(study), dispose(again)
    assert os.listdir(tmp_path) == [name]


def test_urls_storages_and_none_are_opened(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = fill(url)
    assert len(open_study(url, "study").trials) == 2
    assert len(open_study(tmp_path / "study.db", "study").trials) == 2
    dispose(study)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "any.name")))
    assert open_storage(storage) is storage
    assert isinstance(open_storage(None), InMemoryStorage)
    assert isinstance(open_storage("sqlite://"), RDBStorage)


def test_databases_get_a_heartbeat(tmp_path):
    storage = open_storage(
        tmp_path / "study.db", heartbeat_interval=7, grace_period=30, max_retry=1
    )
    assert storage.get_heartbeat_interval() == 7
    assert storage.grace_period == 30
    assert storage.get_heartbeat_stale_trial_callback() is not None
    storage.engine.dispose()


def make_damaged_journal(path):
    fill(path)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:10]
    path.write_bytes(b"\n".join(lines))


def make_newer_journal(path):
    fill(path)
    with path.open("ab") as file:
        file.write(b'{"op_code":99,"worker_id":"x"}\n')


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.db", lambda p: p.write_text("hello" * 99), "file is not a database"),
        (
            "a.log",
            lambda p: p.write_text("hello\n"),
            "line 1 is not a record of an Optuna",
        ),
        ("a.log", lambda p: p.write_text("hello"), "it is no Optuna journal"),
        ("a.log", lambda p: p.write_text('{"a": 1}\n'), "line 1 is not a record"),
        ("a.log", lambda p: p.write_text("[1]\n"), "line 1 is not a record"),
        ("a.log", make_damaged_journal, "line 3 is not a record"),
        ("a.log", make_newer_journal, "cannot be opened"),
    ],
)
def test_a_foreign_or_damaged_file_is_left_as_it_was(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        open_study(path, "study")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_places_where_no_file_can_be_are_named(tmp_path, name):
    for place in (tmp_path / "missing" / name, tmp_path):
        with pytest.raises(ValueError, match="cannot be opened|neither a URL nor"):
            open_study(place, "study")


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (3, r"storage is 3 \(int\); it must be a path"),
        ("study.txt", r"neither a URL nor a file with a known ending: \.db"),
        ("redis://localhost", "storage 'redis://localhost' cannot be opened"),
        ("://", "'://' cannot be opened"),
    ],
)
def test_what_is_no_storage_is_refused(storage, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_study(storage, "study")
    assert os.listdir(tmp_path) == []


def test_a_missing_driver_is_named_and_no_password(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ImportError, match="needs a database driver") as error:
        open_study("postgresql+psycopg2://me:secret@localhost/db", "study")
    assert "secret" not in str(error.value)


def test_a_database_that_cannot_be_reached_is_named_without_its_password(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(study_storage, "RDBStorage", fail)
    with pytest.raises(ValueError, match="cannot be opened: no route") as error:
        open_study("postgresql://me:secret@localhost/db", "study")
    assert "secret" not in str(error.value)


def test_a_record_that_was_never_finished_is_removed(tmp_path):
    path = tmp_path / "study.log"
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker')
    with pytest.warns(UserWarning, match="unfinished, as after a crash.*20 bytes"):
        study = open_study(path, "study")
    assert path.read_bytes() == whole
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert len(open_study(path, "study").trials) == 3
    # The very first record of all, cut short.
    path.write_bytes(whole[:30])
    with pytest.warns(UserWarning, match="30 bytes"):
        assert open_study(path, "study").trials == []


START = """
import os, sys
import optuna
from skbert import open_study
optuna.logging.set_verbosity(optuna.logging.ERROR)
print("ready", flush=True)
sys.stdin.read()
open_study(sys.argv[1], "study").optimize(lambda t: t.suggest_float("x", 0, 1), 1)
"""


def test_workers_that_start_together_share_a_new_database(tmp_path):
    path = tmp_path / "study.db"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        worker.stdin.close()
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    for worker in workers:
        worker.stdout.close()
    assert len(open_study(path, "study").trials) == 3

"""Storages are opened, or turned down with a reason and left as they were."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

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


def test_opening_a_study_does_not_change_its_file(tmp_path):
    for name in ("study.db", "study.log"):
        dispose(fill(tmp_path / name))
        before = (tmp_path / name).read_bytes()
        study = open_study(tmp_path / name, "study")
        assert len(study.trials) == 2
        dispose(study)
        with pytest.raises(ValueError, match="is there already with the direction"):
            open_study(tmp_path / name, "study", direction="minimize")
        assert (tmp_path / name).read_bytes() == before


def make_foreign_database(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE customers (id INTEGER, name TEXT)")
        connection.execute("INSERT INTO customers VALUES (1, 'Anna')")


def make_other_studies(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE studies (patient TEXT)")


def make_damaged_database(path):
    dispose(fill(path))
    content = bytearray(path.read_bytes())
    for start in range(8192, len(content), 4096):
        content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)


def make_short_database(path):
    dispose(fill(path))
    path.write_bytes(path.read_bytes()[:5000])


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
        ("a.db", lambda p: p.write_text("hello"), "is not a SQLite database.*new file"),
        ("a.db", make_foreign_database, "database of something else.*customers"),
        ("a.db", make_other_studies, "database of something else.*studies"),
        ("a.db", make_damaged_database, "is damaged.*Put back a copy"),
        ("a.db", make_short_database, "is damaged.*Put back a copy"),
        ("a.log", lambda p: p.write_text("hello\n"), "not an Optuna journal.*line 1 "),
        ("a.log", lambda p: p.write_text("hello"), "not an Optuna journal"),
        ("a.log", lambda p: p.write_text('{"a": 1}\n'), "line 1 is no record"),
        ("a.log", lambda p: p.write_text("[1]\n"), "line 1 is no record"),
        ("a.log", make_damaged_journal, "or is damaged: line 3 "),
        ("a.log", make_newer_journal, "cannot be opened as an Optuna journal.*newer"),
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


def test_a_database_of_another_version_is_left_as_it_was(tmp_path):
    path = tmp_path / "study.db"
    dispose(fill(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
        connection.execute("DROP TABLE trial_heartbeats")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="cannot be opened: The runtime optuna"):
        open_study(path, "study")
    assert path.read_bytes() == before


def test_a_locked_database_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(study_storage, "_CHECK_TIMEOUT", 0.05)
    path = tmp_path / "study.db"
    dispose(fill(path))
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match="database is locked.*end that or wait"):
            open_study(path, "study")
    assert path.read_bytes() == before
    assert len(open_study(path, "study").trials) == 2


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_places_where_no_file_can_be_are_named(tmp_path, name):
    with pytest.raises(ValueError, match="there is no folder .*Make it first"):
        open_study(tmp_path / "missing" / name, "study")
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        open_study(tmp_path / name, "study")


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    dispose(fill(tmp_path / "study.db"))
    # Who runs the tests may be root, to whom everything is permitted.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="you may not write to .*permissions"):
        open_study(tmp_path / "study.db", "study")


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (3, r"storage is 3 \(int\); it must be a path"),
        ("study.txt", r"neither a URL nor a file with a known ending: \.db"),
        ("redis://localhost", "storage redis://localhost cannot be opened"),
        ("://", "is no database URL"),
    ],
)
def test_what_is_no_storage_is_turned_down(storage, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_study(storage, "study")
    assert os.listdir(tmp_path) == []


def test_a_missing_driver_is_named_and_no_password(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ImportError, match="needs a database driver") as error:
        open_study("postgresql+psycopg2://me:secret@localhost/db", "study")
    assert "secret" not in str(error.value)


def test_an_empty_file_is_filled(tmp_path):
    for name in ("study.db", "study.log"):
        (tmp_path / name).touch()
        study = fill(tmp_path / name)
        assert len(study.trials) == 2
        dispose(study)


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def no_link(*args):
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_link)
    study = fill(tmp_path / "study.db")
    assert len(study.trials) == 2
    dispose(study)
    assert os.listdir(tmp_path) == ["study.db"]


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


def test_what_a_killed_writer_left_half_written_is_rolled_back(tmp_path):
    path = tmp_path / "study.db"
    dispose(fill(path))
    # A transaction that has spilled to the file, and then the process is gone.
    script = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.execute("CREATE TABLE junk (text TEXT)")
connection.executemany("INSERT INTO junk VALUES (?)", [("x" * 900,)] * 200)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert (tmp_path / "study.db-journal").stat().st_size > 0
    study = open_study(path, "study")
    assert len(study.trials) == 2
    dispose(study)
    assert os.listdir(tmp_path) == ["study.db"]

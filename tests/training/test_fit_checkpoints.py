"""Epoch states: files that are whole or known not to be, and a folder for one fit."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from skbert import TransformerMultiLabelClassifier
from skbert.training.fit_checkpoints import (
    EpochState,
    EpochStates,
    check_checkpoint_dir,
)


def state(epoch):
    tensors = {
        "weights.a": torch.arange(6.0).view(2, 3) * epoch,
        "random.cpu": torch.get_rng_state(),
        "optimizer.0.step": torch.tensor(float(epoch)),
    }
    facts = {"history": [{"epoch": epoch, "score": 0.1 * epoch}], "score": -np.inf}
    return EpochState(epoch, tensors, facts)


def equal(one, other):
    return (
        one.epoch == other.epoch
        and one.facts == other.facts
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(t, other.tensors[name]) for name, t in one.tensors.items())
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(folder, *epochs):
    with EpochStates(folder) as states:
        for epoch in epochs:
            states.save(state(epoch))
    return sorted(folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints" / "fingerprint"


# --- writing and reading --------------------------------------------------------------


def test_what_is_read_is_what_was_written(folder):
    with EpochStates(folder) as states:
        assert states.load() is None
        assert states.newest is None
        for epoch in (1, 2):
            states.save(state(epoch))
            assert states.newest == epoch
            assert equal(states.load(), state(epoch))
    with EpochStates(folder) as states:
        assert equal(states.load(), state(2))


def test_the_newest_two_are_kept(folder):
    epochs = [1, 2, 9, 10, 10_000]
    found = [path.name[:-22] for path in write(folder, *epochs)]
    assert [name.rsplit("-", 1)[0] for name in names(folder)] == [
        "epoch-0010",
        "epoch-10000",
    ], found
    with EpochStates(folder) as states:
        assert states.newest == 10_000


def test_a_file_is_safetensors_with_its_checksum_in_its_name(folder):
    import hashlib

    (path,) = write(folder, 3)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"epoch-0003-{digest[:16]}.safetensors"
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(state(3).tensors)


def test_the_history_may_hold_what_json_does_not_know(folder):
    facts = {"a": np.float64(0.1), "b": np.arange(2), "c": np.bool_(True), "d": {1}}
    with EpochStates(folder) as states:
        states.save(EpochState(1, state(1).tensors, facts))
        read = states.load().facts
    assert read == {"a": 0.1, "b": [0, 1], "c": True, "d": "{1}"}


def test_numbers_come_back_to_the_bit(folder):
    numbers = [0.1, 1 / 3, 5e-324, -0.0, float("inf"), 2.0**0.5]
    with EpochStates(folder) as states:
        states.save(EpochState(1, state(1).tensors, {"numbers": numbers}))
        read = states.load().facts["numbers"]
    assert list(map(float.hex, read)) == list(map(float.hex, numbers))


def test_an_empty_folder_is_not_left_behind(folder):
    with EpochStates(folder):
        assert folder.is_dir()
    assert not folder.exists()
    assert folder.parent.is_dir()


def test_nothing_is_left_when_it_is_removed(folder):
    write(folder, 1, 2)
    with EpochStates(folder) as states:
        states.remove()
        assert states.load() is None
    assert not folder.exists()


def test_other_files_in_the_folder_are_left_alone(folder):
    folder.mkdir(parents=True)
    (folder / "epoch-notes.txt").write_text("mine")
    with EpochStates(folder) as states:
        states.save(state(1))
        states.remove()
    assert names(folder) == ["epoch-notes.txt"]


# --- damage ---------------------------------------------------------------------------


def test_of_a_damaged_state_the_one_before_is_read(folder):
    older, newer = write(folder, 1, 2)
    newer.write_bytes(newer.read_bytes()[:-1])
    with EpochStates(folder) as states:
        with pytest.warns(UserWarning, match=f"{newer} is damaged and was removed"):
            assert equal(states.load(), state(1))
        assert equal(states.load(), state(1))  # and nothing is said again
    assert names(folder) == [older.name]


def test_where_all_are_damaged_there_is_no_state(folder):
    for path in write(folder, 1, 2):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    with EpochStates(folder) as states:
        with pytest.warns(UserWarning, match="damaged") as record:
            assert states.load() is None
        assert len(record) == 2
    assert not folder.exists()


def test_what_a_killed_process_was_writing_is_removed(folder):
    (whole,) = write(folder, 1)
    (folder / "writing-abc").mkdir()
    (folder / "writing-abc" / ".tmpXyz").write_bytes(b"half")
    with EpochStates(folder) as states:
        assert states.newest == 1
        assert not (folder / "writing-abc").exists()
    assert names(folder) == [whole.name]


def test_an_interrupt_while_writing_leaves_the_states_before(folder, monkeypatch):
    with EpochStates(folder) as states:
        states.save(state(1))

        def interrupt(handle):
            raise KeyboardInterrupt

        monkeypatch.setattr("os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            states.save(state(2))
        assert equal(states.load(), state(1))
    assert len(names(folder)) == 1


@pytest.mark.parametrize("what", ["open", "safe_open"])
def test_states_that_cannot_be_read_now_are_left_as_they_are(folder, what, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(24, "Too many open files")

    kept = write(folder, 1, 2)
    with EpochStates(folder) as states:
        monkeypatch.setattr(
            f"skbert.training.fit_checkpoints.{what}", fail, raising=False
        )
        with pytest.warns(UserWarning, match=r"cannot be read \(.*Too many open files"):
            assert states.load() is None
        monkeypatch.undo()
        states.save(state(1))  # it would push the newest out
    assert sorted(folder.iterdir()) == kept


# --- the disk -------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["writing", "moving"])
def test_an_error_of_the_disk_is_told_once(folder, moment, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    with EpochStates(folder) as states:
        states.save(state(1))
        name = "os.fsync" if moment == "writing" else "pathlib.Path.replace"
        monkeypatch.setattr(name, fail)
        with pytest.warns(UserWarning) as record:
            states.save(state(2))
            states.save(state(3))
        monkeypatch.undo()
        assert len(record) == 1
        assert str(record[0].message) == (
            f"The state after epoch 2 could not be written to {folder} ([Errno 28] No "
            "space left on device): this fit continues without saving its state. If it "
            "is killed, a later one starts from the last state that is there, or anew."
        )
        assert equal(states.load(), state(1))
        assert len(names(folder)) == 2  # with the lock
        states.remove()
    assert not folder.exists()


def test_facts_that_cannot_be_written_stop_nothing(folder):
    with EpochStates(folder) as states:
        states.save(state(1))
        with pytest.warns(UserWarning, match="keys must be str"):
            states.save(EpochState(2, state(2).tensors, {np.int64(1): 0.5}))
        assert equal(states.load(), state(1))


def test_a_drive_that_syncs_no_folders_keeps_states(folder, monkeypatch):
    sync = os.fsync

    def sync_files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        sync(handle)

    monkeypatch.setattr("os.fsync", sync_files_only)
    with EpochStates(folder) as states:
        states.save(state(1))
        states.save(state(2))
        assert equal(states.load(), state(2))


def test_a_disk_that_is_gone_stops_nothing(folder, monkeypatch):
    def fail(*args):
        raise OSError(116, "Stale file handle")

    with EpochStates(folder) as states:
        states.save(state(1))
        monkeypatch.setattr("os.listdir", fail)
        monkeypatch.setattr("filelock.FileLock.release", fail)
        assert states.newest is None
        states.remove()


def test_other_fits_that_have_states_are_counted(folder):
    for name in ("other", "third"):
        write(folder.with_name(name), 1)
    folder.with_name("empty").mkdir()
    folder.with_name("file").write_text("")
    with EpochStates(folder) as states:
        assert states.n_others == 2
        states.save(state(1))
        assert states.n_others == 2


def test_a_folder_that_goes_away_stops_nothing(folder):
    with EpochStates(folder) as states:
        (folder / "lock").unlink()
        folder.rmdir()
        with pytest.warns(UserWarning, match="The state after epoch 1 could not be wr"):
            states.save(state(1))
        states.remove()


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be used .*going? on|cannot be used"):
        states = EpochStates(tmp_path / "file" / "fingerprint").__enter__()
    states.save(state(1))
    assert states.load() is None
    states.__exit__()


# --- two at once ----------------------------------------------------------------------


def test_a_second_user_keeps_nothing(folder):
    with EpochStates(folder) as states:
        states.save(state(1))
        with pytest.warns(UserWarning, match="very same fit is going on elsewhere"):
            second = EpochStates(folder).__enter__()
        second.save(state(2))
        assert second.load() is second.newest is None
        second.remove()
        second.__exit__()
        assert equal(states.load(), state(1))
        assert states.newest == 1


def test_it_is_one_in_another_thread_too(folder):
    found = []

    def enter():
        with pytest.warns(UserWarning, match="elsewhere"):
            EpochStates(folder).__enter__()
        found.append("warned")

    with EpochStates(folder):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert found == ["warned"]


HOLD = """
import sys
from pathlib import Path
from skbert.training.fit_checkpoints import EpochStates
states = EpochStates(Path(sys.argv[1])).__enter__()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_nothing(folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.warns(UserWarning, match="elsewhere"),
            EpochStates(folder) as states,
        ):
            assert states.newest is None
        process.kill()
        process.wait()
    with EpochStates(folder) as states:
        states.save(state(1))
        assert states.newest == 1


def test_who_comes_while_another_one_leaves_has_a_folder(folder, monkeypatch):
    rmdir, later = Path.rmdir, []

    def rmdir_late(path):
        later.append(EpochStates(folder).__enter__())
        rmdir(path)

    with EpochStates(folder):
        monkeypatch.setattr(Path, "rmdir", rmdir_late)
    monkeypatch.undo()
    later[0].save(state(1))
    assert equal(later[0].load(), state(1))
    later[0].__exit__()
    assert len(names(folder)) == 1


# --- the parameter --------------------------------------------------------------------


def parameters(checkpoint_dir, random_state=0):
    return TransformerMultiLabelClassifier(
        checkpoint_dir=checkpoint_dir, random_state=random_state
    )


def test_the_folder_is_made_with_its_parents(tmp_path):
    check_checkpoint_dir(parameters(None))
    check_checkpoint_dir(parameters(tmp_path / "a" / "b"))
    assert names(tmp_path / "a") == ["b"]
    assert names(tmp_path / "a" / "b") == []


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for name in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        "/proc/skbert",
        "a\0b",
        "~nobody-of-this-name/states",
        "",
    ):
        with pytest.raises(
            ValueError,
            match="checkpoint_dir='.*' is not a folder that can be",
        ):
            check_checkpoint_dir(parameters(name))


def test_without_a_seed_nothing_could_go_on(tmp_path):
    with pytest.raises(ValueError, match="random_state=None no two fits are the same"):
        check_checkpoint_dir(parameters(tmp_path, random_state=None))
    check_checkpoint_dir(parameters(tmp_path, np.random.RandomState(0)))


def test_facts_are_json(folder):
    (path,) = write(folder, 1)
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["facts"])["history"][0]["epoch"] == 1

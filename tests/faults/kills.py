"""Kills: fits that are killed, damaged or robbed of their disk, and go on."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from tests.faults.fault import Fault
from tests.faults.fitting import (
    VARIANTS,
    Fit,
    assert_same,
    classifier,
    epochs,
    expected,
    fit,
    folder,
    model,
)

# --- killed ---------------------------------------------------------------------------


def kill_at_any_moment(seed: int) -> None:
    """Kill a fit, kill the one that goes on from there, and so on; then let it end."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    with checkpoint_dir() as place:
        for _ in range(rng.integers(1, 4)):
            _kill_after(rng.uniform(0, duration(number)), number, place)
        _end(number, place)


def _kill_after(seconds: float, number: int, place: Path) -> None:
    with Fit(number, place) as doomed:
        doomed.wait_for_start()
        time.sleep(seconds)
        doomed.kill()
        missed = doomed.process.exitcode != -signal.SIGKILL
    if missed:  # it was over already: the machine was slower when it was measured
        _kill_after(seconds / 2, number, place)


def kill_in_a_write(seed: int) -> None:
    """Kill a fit while it writes or removes a state, at any line or byte of it."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    with checkpoint_dir() as place:
        # A fit runs more than 250 of those lines, and writes four states or five.
        how = (
            (_die_at_line, (int(rng.integers(1, 250)),)),
            (_die_at_byte, (int(rng.integers(1, 5)), rng.random())),
        )
        if rng.random() < 0.3:
            _kill_when_seen(number, place)
        else:
            _let_die(number, place, *how[rng.integers(2)])
        if rng.random() < 0.5:
            _let_die(number, place, _die_at_line, (int(rng.integers(1, 40)),))
        _end(number, place)


def _let_die(number: int, place: Path, prepare, args) -> None:
    with Fit(number, place, prepare, args) as doomed:
        doomed.assert_killed()


def _kill_when_seen(number: int, place: Path) -> None:
    """Kill a fit as soon as there is something of a state, wherever it is by then."""
    with Fit(number, place) as doomed:
        doomed.wait_for_start()
        while not (seen := any(place.glob("*/writing-*/*"))) and not doomed.is_over():
            pass
        doomed.kill()
    if not seen:
        _kill_when_seen(number, place)


def _die_at_line(countdown: int) -> None:
    """Let this process kill itself before some line of what writes states."""
    import skbert.runtime.files
    import skbert.training.fit_checkpoints

    written = {skbert.training.fit_checkpoints.__file__, skbert.runtime.files.__file__}

    def trace_lines(frame, event, arg):
        nonlocal countdown
        countdown -= event == "line"
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace_lines

    def trace(frame, event, arg):
        return trace_lines if frame.f_code.co_filename in written else None

    sys.settrace(trace)


def _die_at_byte(countdown: int, share: float) -> None:
    """Let this process kill itself with a part of a state's bytes on the disk."""
    import skbert.training.fit_checkpoints

    save_file = skbert.training.fit_checkpoints.save_file

    def save_a_part(tensors, path, metadata):
        nonlocal countdown
        save_file(tensors, path, metadata)
        countdown -= 1
        if not countdown:
            os.truncate(path, int(share * os.path.getsize(path)))
            os.kill(os.getpid(), signal.SIGKILL)

    skbert.training.fit_checkpoints.save_file = save_a_part


def _end(number: int, place: Path) -> None:
    """Let a fit end undisturbed; check what it starts from, and what it comes to."""
    before = epochs(place)
    assert len(before) <= 3  # two, and one when it was killed between two lines
    with Fit(number, place, _count_epochs, (place / "count",)) as last:
        found, said = last.result()
    assert_same(found, number)
    assert not said, said
    n_epochs = len(found["history"])
    count = (place / "count").stat().st_size
    assert count == n_epochs - max(before, default=0)
    (place / "count").unlink()
    left = [str(path.relative_to(place)) for path in place.rglob("*")]
    assert not left, left


def _count_epochs(path: Path) -> None:
    """Let this process write a byte for each epoch that it trains."""
    from skbert.training.run import TrainingRun

    train = TrainingRun.train_epoch

    def count_and_train(run, *args):
        with open(path, "ab") as file:
            file.write(b".")
        train(run, *args)

    TrainingRun.train_epoch = count_and_train


@cache
def duration(number: int) -> float:
    expected(number)  # the first of all imports what the others find imported
    with checkpoint_dir() as place, Fit(number, place) as undisturbed:
        undisturbed.wait_for_start()
        start = time.perf_counter()
        undisturbed.result()
        return time.perf_counter() - start


class checkpoint_dir:
    """A new folder, removed in the end."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(dir=folder()))
        return self._path

    def __exit__(self, *error) -> None:
        shutil.rmtree(self._path)


# --- damaged --------------------------------------------------------------------------


def cut_a_file(seed: int) -> None:
    """Cut the newest state somewhere, or both."""
    rng = np.random.default_rng(seed)
    _damage(rng, lambda content: content[: rng.integers(len(content))])


def flip_a_bit(seed: int) -> None:
    """Flip one bit of the newest state, or of both."""
    rng = np.random.default_rng(seed)

    def flip(content: bytes) -> bytes:
        place = int(rng.integers(len(content)))
        flipped = content[place] ^ (1 << rng.integers(8))
        return content[:place] + bytes([flipped]) + content[place + 1 :]

    _damage(rng, flip)


def _damage(rng: np.random.Generator, change) -> None:
    number = int(rng.integers(len(VARIANTS)))
    with checkpoint_dir() as place:
        shutil.copytree(_killed(number), place, dirs_exist_ok=True)
        files = sorted(place.glob("*/epoch-*"))
        assert len(files) == 2
        damaged = files if rng.random() < 0.2 else files[1:]
        for path in damaged:
            path.write_bytes(change(path.read_bytes()))
        found, said = fit(classifier(VARIANTS[number], place, model()))
        assert_same(found, number)
        pairs = zip(reversed(damaged), said, strict=True)
        assert all(f"{path} is damaged" in text for path, text in pairs), said
        assert list(place.iterdir()) == []


@cache
def _killed(number: int) -> Path:
    """Return the folder that a fit left, killed when it wrote its fourth state."""
    place = Path(tempfile.mkdtemp(dir=folder()))
    _let_die(number, place, _die_at_byte, (4, 0.5))
    assert epochs(place) == [2, 3]
    return place


# --- no room --------------------------------------------------------------------------


def fill_the_disk(seed: int) -> None:
    """Let a disk be full when some state is written."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    size = sum(path.stat().st_size for path in _killed(number).glob("*/epoch-*")) / 2
    room = int(rng.uniform(0.1, 2.9) * size)  # for 0, 1 or 2 states
    with checkpoint_dir() as place:
        with Fit(number, place, _fill_soon, (place, room, int(size))) as poor:
            found, said = poor.result()
        assert_same(found, number)
        assert len(said) == 1
        assert "could not be written to" in said[0], said
        assert "No space left" in said[0] or "too large" in said[0], said


def _fill_soon(place: Path, room: int, size: int) -> None:
    """Give this process a small disk of its own, or else files of limited size."""
    if not _mount_disk(place, room):
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(room, size - 1),) * 2)


def _mount_disk(place: Path, room: int) -> bool:
    """Mount a disk in memory that this process alone sees; say whether it may."""
    new_user, new_mounts = 0x10000000, 0x00020000
    libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
    if libc.unshare(new_user | new_mounts):
        return False
    proc = Path("/proc/self")
    (proc / "setgroups").write_text("deny")
    (proc / "uid_map").write_text(f"{user} {user} 1")
    (proc / "gid_map").write_text(f"{group} {group} 1")
    options = f"size={room}".encode()
    return not libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, options)


# --- two at once ----------------------------------------------------------------------


def fit_twice_at_once(seed: int) -> None:
    """Fit the very same in two processes, and kill one of them, or none."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    with checkpoint_dir() as place:
        with Fit(number, place, _pause_after_a_state, (place / "go",)) as first:
            while not epochs(place):
                assert first.process.is_alive()
                time.sleep(0.01)
            with Fit(number, place) as second:
                found, said = second.result()
            assert_same(found, number)
            assert len(said) == 1
            assert "the very same fit is going on elsewhere" in said[0].lower()
            assert epochs(place) == [1]
            if rng.random() < 0.5:
                first.kill()
            else:
                (place / "go").touch()
                assert_same(first.result()[0], number)
                (place / "go").unlink()
                assert list(place.iterdir()) == []
        _end(number, place)


def _pause_after_a_state(go: Path) -> None:
    """Let this process wait after its first state, until there is a file."""
    from skbert.training.fit_checkpoints import EpochStates

    save = EpochStates.save

    def save_and_wait(states, state):
        save(states, state)
        while not go.exists():
            time.sleep(0.01)

    EpochStates.save = save_and_wait


KILLS = (
    Fault("fit killed at any moment", kill_at_any_moment, 1, 5, 20),
    Fault("fit killed in a write", kill_in_a_write, 1, 5, 20),
    Fault("state of a fit cut", cut_a_file, 1, 20, 100),
    Fault("bit of a fit's state flipped", flip_a_bit, 2, 20, 100),
    Fault("disk full in a fit", fill_the_disk, 1, 5, 20),
    Fault("same fit twice at once", fit_twice_at_once, 1, 4, 20),
)

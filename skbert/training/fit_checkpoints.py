"""Epoch states: what a fit needs to go on after an epoch, in files that prove whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from skbert.runtime.files import sync_file, sync_folder

__all__ = ["EpochState", "EpochStates", "check_checkpoint_dir"]

# The newest, and one more for the day on which the newest turns out damaged.
_KEPT = 2

_NAME = re.compile(r"epoch-(\d+)-([0-9a-f]{16})\.safetensors")

_SCRATCH = "writing-"


def check_checkpoint_dir(estimator) -> None:
    """Make the folder for states, if there is to be one, and try it.

    Raises
    ------
    ValueError
        If it cannot be written to, or no later fit could go on from what is in it.
    """
    if estimator.checkpoint_dir is None:
        return
    name = os.fspath(estimator.checkpoint_dir)
    if estimator.random_state is None:
        raise ValueError(
            f"checkpoint_dir={name!r} lets the same fit go on later, but with "
            "random_state=None no two fits are the same. Set random_state to an int."
        )
    if not name:  # of a variable that is not set
        raise _unusable(name, "it has no name")
    try:
        folder = Path(name).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    # ValueError: a NUL in the name. RuntimeError: ~ of a user that is not known.
    except (OSError, ValueError, RuntimeError) as error:
        raise _unusable(name, error) from error


def _unusable(name: str | bytes, why: object) -> ValueError:
    return ValueError(
        f"checkpoint_dir={name!r} is no folder that can be written to: {why}. Name "
        "another one, or use None to keep nothing on disk."
    )


@dataclass(frozen=True)
class EpochState:
    """What a fit needs to go on after an epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    tensors : dict of str to Tensor
        On the CPU, contiguous; no two share memory.
    facts : dict
        Whatever else there is, as far as JSON can hold it.
    """

    epoch: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class EpochStates:
    """The states of one fit, the newest two of them, in a folder of their own.

    A file has the checksum of its content in its name, which it gets when all of it is
    on the disk: killed at any moment, a process leaves whole files and such as show
    that they are not. Nothing is pickled.

    A context manager. Inside of it no other process uses the folder; where another one
    does so already, and where the disk fails, nothing is kept, with a warning: states
    are there to save work, and never stop it.

    Parameters
    ----------
    folder : Path
        Made, with its parents, and removed when it is empty in the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / "lock")
        self._can_write = False

    def __enter__(self) -> EpochStates:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            for leftover in self.folder.glob(f"{_SCRATCH}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        except Timeout:
            self._warn(f"The very same fit is going on elsewhere, in {self.folder}", 6)
        except OSError as error:
            self._warn(f"{self.folder} cannot be used ({error})", 6)
        else:
            self._can_write = True
        return self

    def __exit__(self, *error) -> None:
        self._can_write = False
        if self._lock.is_locked:
            # Before the lock is given up: afterwards it may be somebody else's.
            _remove(self.folder / "lock")
            with suppress(OSError):  # states are left, or somebody else is there
                self._lock.release()
                self.folder.rmdir()

    @property
    def n_others(self) -> int:
        """How many other fits there are states of, beside this folder."""
        try:
            folders = [f for f in self.folder.parent.iterdir() if f != self.folder]
        except OSError:
            return 0
        return sum(bool(_states_in(folder)) for folder in folders)

    @property
    def newest(self) -> int | None:
        """The epoch of the newest state, None where there is none."""
        files = self._files() if self._lock.is_locked else []
        return files[-1][0] if files else None

    def load(self) -> EpochState | None:
        """Read the newest state that is whole; None where there is none.

        Damaged ones are removed, each with a warning. Where one cannot be read all are
        left as they are: that may pass, and says nothing of what is in them.
        """
        if not self._lock.is_locked:
            return None
        for epoch, path in reversed(self._files()):
            try:
                if _is_whole(path):
                    return _read(epoch, path)
            except (OSError, SafetensorError) as error:
                self._can_write = False
                self._warn(f"{path} cannot be read ({error})", 8)
                return None
            _remove(path)
            warnings.warn(
                f"{path} is damaged and was removed; the fit goes on from the state "
                "before it, or from its beginning.",
                UserWarning,
                stacklevel=7,  # the user's call of fit
            )
        return None

    def save(self, state: EpochState) -> None:
        """Write a state; remove all but the newest two.

        An error ends this for good, with one warning.
        """
        if not self._can_write:
            return
        try:
            self._write(state)
        except Exception as error:  # no memory, facts that JSON cannot hold
            self._can_write = False
            self._warn(
                f"The state after epoch {state.epoch} could not be written to "
                f"{self.folder} ({error})",
                8,
            )

    def remove(self) -> None:
        """Remove all states: no fit will ask for them again."""
        if self._lock.is_locked:
            for _, path in self._files():
                _remove(path)

    def _write(self, state: EpochState) -> None:
        # A folder: safetensors has temporary files of its own beside what it writes.
        with tempfile.TemporaryDirectory(
            prefix=_SCRATCH, dir=self.folder, ignore_cleanup_errors=True
        ) as scratch:
            path = Path(scratch) / "state"
            save_file(state.tensors, path, {"facts": _as_json(state.facts)})
            with open(path, "r+b") as file:
                digest = _digest(file)
                sync_file(file)
            name = f"epoch-{state.epoch:04}-{digest}.safetensors"
            path.replace(self.folder / name)
            sync_folder(self.folder)
        for _, path in self._files()[:-_KEPT]:
            _remove(path)

    def _files(self) -> list[tuple[int, Path]]:
        """Return the epochs and files of all states, oldest first."""
        return _states_in(self.folder)

    def _warn(self, what: str, stacklevel: int) -> None:
        # As many frames up as the user's call of fit is.
        warnings.warn(
            f"{what}: this fit goes on without keeping its state. If it is killed, a "
            "later one starts from the last state that is there, or anew.",
            UserWarning,
            stacklevel=stacklevel,
        )


def _states_in(folder: Path) -> list[tuple[int, Path]]:
    """Return the epochs and files of a fit's states, oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:  # a file, or a disk that is gone
        return []
    return sorted(
        (int(match[1]), folder / name)
        for name in names
        if (match := _NAME.fullmatch(name))
    )


def _as_json(facts: Mapping[str, Any]) -> str:
    # NumPy's numbers and arrays as lists and numbers. Callbacks may record anything in
    # the history: values that have no such form are kept as text.
    return json.dumps(
        facts, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)
    )


def _digest(file) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _is_whole(path: Path) -> bool:
    with open(path, "rb") as file:
        return f"-{_digest(file)}." in path.name


def _read(epoch: int, path: Path) -> EpochState:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        facts = json.loads(file.metadata()["facts"])
    return EpochState(epoch, tensors, facts)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

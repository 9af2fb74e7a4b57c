"""Checkpoints of a fit: its state after an epoch, in files that prove to be whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import torch
import transformers
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from skbert import __version__
from skbert.runtime.files import sync_file, sync_folder
from skbert.runtime.warn import warn_user
from skbert.training.callbacks import EpochReports

if TYPE_CHECKING:
    from skbert.models.module import MultiLabelModule
    from skbert.training.fit_plan import FitPlan

__all__ = ["EpochState", "EpochStates", "check_checkpoint_dir", "open_states"]

# The newest state, and the one before in case the newest is damaged.
_KEPT = 2

_NAME = re.compile(r"epoch-(\d+)-([0-9a-f]{16})\.safetensors")

_SCRATCH = "writing-"

_FORMAT = 2

# NumPy counts because it shuffles the batches.
_VERSIONS = (__version__, torch.__version__, transformers.__version__, np.__version__)

# Parameters that do not change a fit, or only through what is compared by itself: the
# weights that the model has, the type of device and the seed.
_IRRELEVANT_PARAMS = (
    "checkpoint_dir",
    "device",
    "local_files_only",
    "model",
    "random_state",
    "revision",
    "verbose",
)


def check_checkpoint_dir(estimator) -> None:
    """Create the folder for states, if there is to be one, and check that it works.

    Raises
    ------
    TypeError
        If a parameter cannot be pickled, so that nobody can tell whether two fits are
        the same.
    ValueError
        If the folder cannot be written to, or no later fit could use what is in it.
    """
    if estimator.checkpoint_dir is None:
        return
    name = os.fspath(estimator.checkpoint_dir)
    if estimator.random_state is None:
        raise ValueError(
            f"checkpoint_dir={name!r} lets the same fit continue later, but with "
            "random_state=None no two fits are the same. Set random_state to an int."
        )
    if not name:  # of a variable that is not set
        raise _unusable(name, "it has no name")
    _hash_of_params(estimator)
    try:
        folder = Path(name).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    # ValueError: a NUL in the name. RuntimeError: ~ of an unknown user.
    except (OSError, ValueError, RuntimeError) as error:
        raise _unusable(name, error) from error


def _unusable(name: str | bytes, why: object) -> ValueError:
    return ValueError(
        f"checkpoint_dir={name!r} is not a folder that can be written to: {why}. Name "
        "another one, or use None to keep nothing on disk."
    )


def open_states(
    estimator, plan: FitPlan, module: MultiLabelModule, optimizer_state: dict | None
) -> AbstractContextManager[EpochStates | None]:
    """Return the context in which the states of this very fit are kept.

    Parameters
    ----------
    estimator : TransformerMultiLabelClassifier
    plan : FitPlan
    module : MultiLabelModule
        With the weights from which training starts.
    optimizer_state : dict or None
        State of the optimizer from which training starts.

    """
    if estimator.checkpoint_dir is None:
        return nullcontext()
    folder = Path(estimator.checkpoint_dir).expanduser()
    return EpochStates(folder / _name_of(estimator, plan, module, optimizer_state))


def _name_of(
    estimator, plan: FitPlan, module: MultiLabelModule, optimizer_state: dict | None
) -> str:
    """Return a name that two fits share if they compute the same."""
    config = module.encoder.config.to_dict()
    config.pop("_name_or_path", None)
    moments = (optimizer_state or {}).get("state", {})
    tensors = [t for _, m in sorted(moments.items()) for _, t in sorted(m.items())]
    return joblib.hash(
        [
            (_FORMAT, _VERSIONS),
            _hash_of_params(estimator),
            config,
            {**vars(plan.settings), "device": plan.settings.device.type},
            (plan.seed, plan.sets, plan.label_names, plan.classes),
            _checksum([*module.state_dict().values(), *tensors]),
        ]
    )


def _hash_of_params(estimator) -> str:
    params = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name not in _IRRELEVANT_PARAMS
    }
    params["net_callbacks"] = [
        callback
        for callback in params["net_callbacks"] or ()
        # Reports do not change a fit, and they hold all of a study.
        if not isinstance(callback, EpochReports)
    ]
    try:
        return joblib.hash(params)
    except (PicklingError, TypeError) as error:
        raise TypeError(
            "checkpoint_dir needs parameters that can be pickled, to tell whether two "
            f"fits are the same, but one of them cannot be: {error.args[0]}. Define "
            "scorers and callbacks at the top level of a module, not as a lambda or "
            "inside another function."
        ) from error


def _checksum(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        # NumPy does not know bfloat16, but it knows bytes.
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class EpochState:
    """The state from which a fit continues after an epoch.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1.
    tensors : dict of str to Tensor
        Contiguous tensors on the CPU that share no memory.
    facts : dict
        Everything else, as JSON can hold it.
    """

    epoch: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class EpochStates:
    """The newest two states of one fit, in a folder of their own.

    The name of a file holds the checksum of its content. A file gets its name when all
    of it is on the disk, so that a process that is killed leaves whole files, and
    others that show that they are not. Nothing is pickled.

    This is a context manager. Within the context no other process uses the folder. If
    another process uses it already, or if the disk fails, no states are kept and a
    warning says so, because states are there to save work and must never stop it.

    Parameters
    ----------
    folder : Path
        Folder that is created with its parents, and removed at the end if it is empty.
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
            self._warn(f"The very same fit is going on elsewhere, in {self.folder}")
        except OSError as error:
            self._warn(f"{self.folder} cannot be used ({error})")
        else:
            self._can_write = True
        return self

    def __exit__(self, *error) -> None:
        self._can_write = False
        if self._lock.is_locked:
            # The file is removed before the lock is released, because afterwards it may
            # belong to another process.
            _remove(self.folder / "lock")
            with suppress(OSError):  # there are states, or another process
                self._lock.release()
                self.folder.rmdir()

    @property
    def n_others(self) -> int:
        """Number of other fits that have states beside this folder."""
        try:
            folders = [f for f in self.folder.parent.iterdir() if f != self.folder]
        except OSError:
            return 0
        return sum(bool(_states_in(folder)) for folder in folders)

    @property
    def newest(self) -> int | None:
        """Epoch of the newest state, or None if there is no state."""
        files = self._files() if self._lock.is_locked else []
        return files[-1][0] if files else None

    def load(self) -> EpochState | None:
        """Return the newest state that is whole, or None if there is no such state.

        Damaged states are removed, each with a warning. If a state cannot be read, all
        are left alone, because the error may be temporary.
        """
        if not self._lock.is_locked:
            return None
        for epoch, path in reversed(self._files()):
            try:
                if _is_whole(path):
                    return _read(epoch, path)
            except (OSError, SafetensorError) as error:
                self._can_write = False
                self._warn(f"{path} cannot be read ({error})")
                return None
            _remove(path)
            warn_user(
                f"{path} is damaged and was removed. The fit continues from the state "
                "before it, or from its beginning.",
            )
        return None

    def save(self, state: EpochState) -> None:
        """Write a state; remove all but the newest two.

        After an error nothing more is written, and one warning says so.
        """
        if not self._can_write:
            return
        try:
            self._write(state)
        except Exception as error:  # such as no memory, or facts that JSON cannot hold
            self._can_write = False
            self._warn(
                f"The state after epoch {state.epoch} could not be written to "
                f"{self.folder} ({error})",
            )

    def remove(self) -> None:
        """Remove all states, because no fit will need them again."""
        if self._lock.is_locked:
            for _, path in self._files():
                _remove(path)

    def _write(self, state: EpochState) -> None:
        # In a folder, because safetensors writes temporary files beside its output.
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

    def _warn(self, what: str) -> None:
        warn_user(
            f"{what}: this fit continues without saving its state. If it is killed, a "
            "later one starts from the last state that is there, or anew.",
        )


def _states_in(folder: Path) -> list[tuple[int, Path]]:
    """Return the epochs and files of a fit's states, oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:  # it is a file, or the disk is gone
        return []
    return sorted(
        (int(match[1]), folder / name)
        for name in names
        if (match := _NAME.fullmatch(name))
    )


def _as_json(facts: Mapping[str, Any]) -> str:
    # NumPy's numbers and arrays become numbers and lists. Callbacks may record anything
    # in the history, and other values become text.
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

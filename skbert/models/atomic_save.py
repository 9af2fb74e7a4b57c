"""Atomic saving: a model in a folder is replaced only when the new one is whole."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from skbert.exceptions import ModelFormatError
from skbert.models.folder import TOKENIZER_FILES, read_json
from skbert.runtime.files import sync_file, sync_folder

__all__ = [
    "HEAD_FILE",
    "STATE_FILE",
    "refuse_replaced",
    "replacement",
    "target_folder",
]

STATE_FILE = "skbert.json"
HEAD_FILE = "head.safetensors"

# Files that skbert and transformers take for parts of a model, whoever wrote them. Left
# beside a newer model, they would change what is loaded.
_PARTS = (
    "config.json",
    STATE_FILE,
    HEAD_FILE,
    "modules.json",
    "1_Pooling/config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    *TOKENIZER_FILES,
)

_SCRATCH = ".skbert-saving-"

# Seconds. Writing a model takes less than a day, so that the process of an older folder
# was killed. A younger one may belong to another process.
_OLDEST_SCRATCH = 24 * 60 * 60

# The form in which safetensors and tokenizers, written in Rust, quote system errors.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def target_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder to save to, unless that would harm files of others.

    Raises
    ------
    TypeError
        If ``folder`` is not a path.
    ValueError
        If it is empty or a file, or holds files with the names of a model's that belong
        to something else.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(
            f"folder is {folder!r} ({type(folder).__name__}); it must be a path."
        )
    if not os.fspath(folder):
        raise ValueError(
            "folder is '', which may be a variable that is not set; name a folder, "
            "such as 'model'."
        )
    try:
        # Links are followed, so that their target is replaced.
        target = Path(folder).expanduser().resolve()
    except (RuntimeError, ValueError) as error:  # unknown home, NUL in the name
        raise ValueError(
            f"folder={os.fspath(folder)!r} is not a valid path: {error}"
        ) from error
    there = next(path for path in (target, *target.parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is a file; a model is saved to a folder.")
    foreign = _foreign_file(target)
    if foreign is not None:
        raise ValueError(
            f"{foreign} is not part of a model that skbert or transformers wrote, and "
            "saving would replace or remove it. Choose another folder, such as "
            f"{str(target / 'model')!r}, or move that file away."
        )
    return target


def _foreign_file(folder: Path) -> Path | None:
    """Return a file that has the name of a model's but is none, or None."""
    config = folder / "config.json"
    if (folder / STATE_FILE).exists():  # a model of skbert, maybe left by a crash
        return None
    if config.exists():
        return None if _is_model_config(config) else config
    if (folder / "tokenizer_config.json").exists():  # a tokenizer saved by itself
        return None
    return next(iter(_parts(folder)), None)


def _is_model_config(path: Path) -> bool:
    try:
        return not read_json(path).keys().isdisjoint({"model_type", "architectures"})
    except ModelFormatError:
        return False


def _parts(folder: Path) -> list[Path]:
    found = [path for pattern in _PARTS for path in folder.glob(pattern)]
    return [path for path in found if path.is_file() or path.is_symlink()]


@contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Yield an empty folder whose files replace a model's when all are written.

    Parameters
    ----------
    target : Path
        Result of `target_folder`. Files in it that belong to no model stay.

    Raises
    ------
    OSError
        If the files cannot be written or moved.
    """
    exists = target.exists()
    # On the same file system, so that files can be moved, which cannot fail halfway as
    # copying can.
    place = target if exists else target.parent
    state = "What was there before is whole."
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        with tempfile.TemporaryDirectory(
            dir=place, prefix=_SCRATCH, ignore_cleanup_errors=True
        ) as scratch:
            work = Path(scratch) / "model"
            yield work
            _sync(work)
            _set_modes(work, target)
            if exists:
                state = "What is there now is refused until a model is saved there."
                _move_files(work, target)
            else:
                os.replace(work, target)
            sync_folder(place)
    except Exception as error:
        code = _error_number(error)
        if code is None and not isinstance(error, OSError | SafetensorError):
            raise
        reason = error if code is None else os.strerror(code)
        message = f"the model could not be saved to {target}: {reason}. {state}"
        raise (OSError(message) if code is None else OSError(code, message)) from error


def _error_number(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    quoted = _SYSTEM_ERROR.search(str(error))
    return int(quoted[1]) if quoted else None


def _sweep(place: Path) -> None:
    """Remove folders that killed saves have left."""
    for path in place.glob(f"{_SCRATCH}*"):
        with suppress(FileNotFoundError):  # another process has just finished with it
            if time.time() - path.lstat().st_mtime > _OLDEST_SCRATCH:
                shutil.rmtree(path, ignore_errors=True)


def _sync(work: Path) -> None:
    """Wait until the content of all files is on the disk."""
    for name in _files(work):
        with open(work / name, "r+b") as file:
            sync_file(file)


def _set_modes(work: Path, target: Path) -> None:
    """Give files the permissions that they would have if written in place.

    safetensors makes its files readable for their owner only.
    """
    usual = (work / STATE_FILE).stat().st_mode
    for name in _files(work):
        file, there = work / name, target / name
        mode = there.stat().st_mode if there.is_file() else usual
        if file.stat().st_mode != mode:  # some file systems have one mode only
            file.chmod(stat.S_IMODE(mode))


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _move_files(work: Path, target: Path) -> None:
    """Move a model's files to a folder that exists, over an older model's.

    The configuration is removed first and moved last. A folder without it is refused,
    so that a mixture that a crash leaves is never taken for a model. The state is moved
    first, so that the next save recognizes what a crash has left.
    """
    config = Path("config.json")
    new = _files(work)
    (target / config).unlink(missing_ok=True)
    os.replace(work / STATE_FILE, target / STATE_FILE)
    for path in _parts(target):
        if path.relative_to(target) not in new:
            path.unlink()
    for name in sorted(new - {Path(STATE_FILE)}, key=lambda name: name == config):
        (target / name).parent.mkdir(exist_ok=True)
        os.replace(work / name, target / name)


@contextmanager
def refuse_replaced(folder: Path) -> Iterator[None]:
    """Refuse a model that was replaced while it was read.

    Saving removes the configuration first and moves it last. So all files are the same
    as long as the configuration is the same file.

    Raises
    ------
    ModelFormatError
        If the configuration is another file at the end than at the beginning.
    """
    config = folder / "config.json"
    before = _file_state(config)
    try:
        yield
    except Exception as error:
        if _file_state(config) == before:
            raise
        raise _replaced(folder) from error
    if _file_state(config) != before:
        raise _replaced(folder)


def _file_state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _replaced(folder: Path) -> ModelFormatError:
    return ModelFormatError(
        f"{folder}: another model was saved there while this one was read. Load it "
        "again."
    )

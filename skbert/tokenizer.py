"""Tokenizer: a folder's tokenizer, loaded and tried."""

from __future__ import annotations

from pathlib import Path

import transformers
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import DummyObject  # type: ignore[attr-defined]

from skbert.configuration import load_config
from skbert.folder import ModelFormatError, read_json
from skbert.silence import quiet_transformers
from skbert.structure import EncoderStructure

__all__ = ["check_vocabulary", "load_tokenizer"]

# Texts that every tokenizer takes: what fails on them fails always.
_PROBES = ["", "A short text, with 2 commas, 3 digits (42) & a_word.", "a" * 100 + "!"]

# What goes wrong without any fault of the folder.
_NOT_OF_A_FOLDER = (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)


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

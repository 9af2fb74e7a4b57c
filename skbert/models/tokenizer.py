"""The tokenizer of a model folder: checked, loaded and tried."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import DummyObject  # type: ignore[attr-defined]

from skbert.exceptions import ModelFormatError
from skbert.models.configuration import load_config
from skbert.models.folder import TOKENIZER_PATTERNS, check_text, read_json
from skbert.runtime.quiet import quiet_transformers

__all__ = ["load_tokenizer"]

# Texts that every tokenizer takes: what fails on them fails always.
_PROBES = ["", "A short text, with 2 commas, 3 digits (42) & a_word.", "a" * 100 + "!"]

# Files whose settings transformers hands to the class of a tokenizer.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")

# Settings that are not names of files. Some class of transformers may open what another
# setting names.
_NO_FILES = {
    "additional_special_tokens",
    "backend",
    "chat_template",
    "extra_special_tokens",
    "mecab_dic",
    "model_input_names",
    "padding_side",
    "processor_class",
    "special_tokens_map_file",  # transformers saved it, and never reads it
    "subword_tokenizer_type",
    "tokenizer_class",
    "truncation_side",
    "word_tokenizer_type",
}

# Settings of which the value is a file, a list of files or arguments by position.
_FILES = re.compile("vocab|merges|init_inputs|.*_(file|files|spm)")

# Tables of tokenizer.json and byte_maps.json. Some tokenizers take a text for a path.
_TABLES = ("vocab", "merges", "decompose_map", "merge_map")

# Files that are not part of a tokenizer, and have limits of their own.
_OTHERS = ("config.json", "skbert.json")

# Bytes of the settings, and of each word in the tables. Gemma and Llama need 130.
_LONGEST_SETTINGS = 2**23
_BYTES_PER_WORD = 512
_MOST_WORDS = 2**18  # if there is no table of embeddings to compare with

# What goes wrong without any fault of the folder.
_NOT_OF_A_FOLDER = (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)


def load_tokenizer(
    folder: Path,
    config: PreTrainedConfig | None = None,
    n_tokens: int | None = None,
) -> PreTrainedTokenizerBase:
    """Load a model folder's tokenizer; never runs code from the folder.

    Parameters
    ----------
    folder : Path
    config : PreTrainedConfig, optional
        Configuration of the folder; None reads it.
    n_tokens : int, optional
        Rows of the model's table of embeddings, if there is one.

    Raises
    ------
    ModelFormatError
        If there is none, it is damaged, or has tokens beyond the table.
    """
    config = config or load_config(folder)
    _check_sizes(folder, n_tokens or _MOST_WORDS)
    _check_tokenizer_class(folder, config)
    _check_settings(folder)
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, config=config, trust_remote_code=False
            )
            ids = tokenizer(_PROBES)["input_ids"]
    except (ModelFormatError, *_NOT_OF_A_FOLDER):
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
    if names and set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelFormatError(
            f"{folder} has no tokenizer: its vocabulary is empty. Settings that name "
            "files, such as 'vocab_file', are to be removed."
        )
    if not names and not (folder / "tokenizer_config.json").is_file():
        raise ModelFormatError(f"{folder} has no tokenizer: no tokenizer_config.json.")
    if n_tokens is not None:
        _check_ids(folder, tokenizer, ids, n_tokens)
    return tokenizer


def _check_tokenizer_class(folder: Path, config: PreTrainedConfig) -> None:
    """Refuse a class of transformers that is none: it would load what it likes."""
    names = [getattr(config, "tokenizer_class", None)]
    path = folder / "tokenizer_config.json"
    if path.is_file():
        names.append(read_json(path).get("tokenizer_class"))
    for name in names:
        if name is None:
            continue
        found = getattr(transformers, name, None) if isinstance(name, str) else name
        # A class whose package is not installed is a dummy, which names the package.
        if found is None or isinstance(found, DummyObject):
            continue
        if not (isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase)):
            raise ModelFormatError(f"{folder}: {name!r} is not a tokenizer class.")


def _check_sizes(folder: Path, n_words: int) -> None:
    """Refuse files that are too long for a model with so many embeddings."""
    longest = _LONGEST_SETTINGS + _BYTES_PER_WORD * n_words
    for path in folder.iterdir():
        is_table = any(fnmatch(path.name, pattern) for pattern in TOKENIZER_PATTERNS)
        if not is_table or path.name in _OTHERS or not path.is_file():
            continue
        most = _LONGEST_SETTINGS if path.name in _SETTINGS else longest
        if path.stat().st_size > most:
            raise ModelFormatError(
                f"{path} has {path.stat().st_size} bytes, but a tokenizer of {n_words} "
                f"words needs no more than {most}."
            )
    for path, count in _vocabularies(folder):
        if count > n_words:
            raise ModelFormatError(
                f"{path} has {count} words, and the model embeddings for {n_words}. "
                "They belong to different models, or the model was not resized."
            )


def _vocabularies(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the vocabularies that can be read at once, and their numbers of words."""
    path = folder / "tokenizer.json"
    if path.is_file():
        content = read_json(path)
        _check_tables(path, content)
        model = content.get("model")
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        yield path, len(vocabulary) if isinstance(vocabulary, dict | list) else 0
    path = folder / "vocab.json"
    if path.is_file():
        yield path, len(read_json(path))
    path = folder / "vocab.txt"
    if path.is_file():
        yield path, path.read_bytes().count(b"\n")


def _check_tables(path: Path, content: dict) -> None:
    tables = [table for table in (content, content.get("model")) if table]
    for table in tables:
        for name in _TABLES if isinstance(table, dict) else ():
            if isinstance(table.get(name), str):
                raise ModelFormatError(
                    f"{path}: {name!r} is {_brief(table[name])}; it must be a table."
                )


def _check_settings(folder: Path) -> None:
    """Refuse settings with which a tokenizer would read what is not in the folder."""
    path = folder / "byte_maps.json"
    if path.is_file():
        _check_tables(path, read_json(path))
    for file in _SETTINGS:
        path = folder / file
        if not path.is_file():
            continue
        for name, value in _settings("", read_json(path)):
            # In tokenizer_config.json, transformers saved where a tokenizer came from.
            is_origin = name == "name_or_path" and file == _SETTINGS[0]
            is_token = name.endswith(("_token", "_tokens")) or name.isdigit()
            if not (name in _NO_FILES or is_origin or is_token):
                _check_file_name(path, name, value)


def _settings(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings in a JSON value, each with the name of its nearest key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            # The content of a token is named by the token.
            yield from _settings(name if key == "content" else key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _settings(name, inner)
    else:
        yield name, value


def _check_file_name(path: Path, name: str, value: Any) -> None:
    """Refuse a setting that names something outside of the folder.

    Names of files that do not exist are harmless. transformers used to save where the
    files were on the machine that they came from.
    """
    if value in (None, ""):
        return
    if not isinstance(value, str):
        if _FILES.fullmatch(name):  # 0 would be the standard input
            raise _no_file(path, name, value)
        return
    # Windows would ask another machine for a share, and tell it who asks. Options such
    # as "-d folder" name files, too.
    if "\0" in value or value.startswith(("\\\\", "//", "-")):
        raise _no_file(path, name, value)
    # transformers looks for some names in the working directory.
    for place in (path.parent / value, Path(value)):
        if _exists(place):
            if not os.path.samefile(place.parent, path.parent):
                raise _no_file(path, name, value)
            check_text(place)


def _no_file(path: Path, name: str, value: Any) -> ModelFormatError:
    return ModelFormatError(
        f"{path}: {name!r} is {_brief(value)}, which is not a file of the folder. "
        "Remove it: a tokenizer is read from its folder alone."
    )


def _exists(place: Path) -> bool:
    try:
        return os.path.lexists(place)
    except (OSError, ValueError):  # no possible name of a file
        return False


def _brief(value: Any) -> str:
    return repr(value)[:100]


def _sentencepiece_hint(folder: Path) -> str:
    """Say what reading the folder's tokenizer asks for; transformers names others."""
    models = sorted(path.name for path in folder.glob("*.model"))
    if not models or (folder / "tokenizer.json").is_file():
        return ""
    return (
        f" ({models[0]} is a sentencepiece model: reading it needs the packages "
        "sentencepiece and protobuf: pip install 'skbert[sentencepiece]'.)"
    )


def _check_ids(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    ids_of_probes: list[list[int]],
    n_tokens: int,
) -> None:
    """Check that the model knows all tokens; on a GPU one that it does not is fatal."""
    ids = {*tokenizer.get_vocab().values(), *tokenizer.all_special_ids}
    ids.update(*ids_of_probes)
    if min(ids) < 0 or max(ids) >= n_tokens:
        raise ModelFormatError(
            f"{folder}: the tokenizer has the tokens {min(ids)} to {max(ids)}, but the "
            f"model has embeddings of 0 to {n_tokens - 1}. They belong to "
            "different models, or the model was not resized for added tokens."
        )

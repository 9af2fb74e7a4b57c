"""Tokenizer: a folder's tokenizer, loaded and tried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import DummyObject  # type: ignore[attr-defined]

from skbert.exceptions import ModelFormatError
from skbert.models.configuration import load_config
from skbert.models.folder import check_text, read_json
from skbert.models.tokenizer_limits import check_limits, check_sizes
from skbert.runtime.quiet import quiet_transformers

__all__ = ["load_tokenizer"]

# Texts that every tokenizer takes: what fails on them fails always.
_PROBES = ["", "A short text, with 2 commas, 3 digits (42) & a_word.", "a" * 100 + "!"]

# Settings that skbert has no use for, with which some tokenizer reads files elsewhere.
_UNSUPPORTED = {
    "fast_tokenizer_files",
    "gguf_file",
    "init_inputs",  # the arguments of its class by position: its vocabulary comes first
    "mecab_option",
    "sudachi_config_path",
    "sudachi_resource_dir",
}

# Files whose settings transformers hands to the class of a tokenizer, known or not. The
# second overrides the first, and where the tokenizer was found.
_SETTINGS = {
    "tokenizer_config.json": _UNSUPPORTED,
    "special_tokens_map.json": _UNSUPPORTED | {"name_or_path"},
}

# Files of tables; some tokenizer takes a text in the place of one for a path.
_TABLES = ("tokenizer.json", "byte_maps.json")
_TABLE_NAMES = ("vocab", "merges", "decompose_map", "merge_map")

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
        Of the folder; read if it is not given.
    n_tokens : int, optional
        Rows of the model's table of embeddings, if there is one.

    Raises
    ------
    ModelFormatError
        If there is none, it is damaged, or has tokens beyond the table.
    """
    config = config or load_config(folder)
    check_sizes(folder, n_tokens)
    _check_tokenizer_class(folder, config)
    _check_settings(folder)
    content = _read_tables(folder)
    try:
        check_limits(folder, content, n_tokens)
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
            raise ModelFormatError(f"{folder}: {name!r} is no class of a tokenizer.")


def _check_settings(folder: Path) -> None:
    """Refuse settings with which a tokenizer would read what is not in the folder."""
    for file, unsupported in _SETTINGS.items():
        path = folder / file
        if not path.is_file():
            continue
        for name, value in _settings(read_json(path)):
            if name in unsupported and value:
                raise ModelFormatError(f"{path}: {name!r} is not supported. Remove it.")
            _check_setting(path, name, value)


def _check_setting(path: Path, name: str, value: Any) -> None:
    if name in _TABLE_NAMES and not isinstance(value, dict | list | None):
        raise _no_table(path, name, value)
    # 0 is the standard input.
    if name.endswith(("_file", "_spm")) and value not in (None, ""):
        _check_file_name(path, name, value)
    if name == "sudachi_dict_type" and value not in ("small", "core", "full", None):
        raise ModelFormatError(
            f"{path}: {name!r} is {_brief(value)}; it must be 'small', 'core' or "
            "'full'."
        )


def _settings(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a JSON object and of those inside of it."""
    if isinstance(content, dict):
        yield from content.items()
        content = list(content.values())
    for value in content if isinstance(content, list) else []:
        yield from _settings(value)


def _check_file_name(path: Path, name: str, value: Any) -> None:
    """Refuse the name of what is there, but is no file of the folder.

    Names of what is not there are many: transformers used to save where the files lay
    on the machine that they came from.
    """
    if name == "special_tokens_map_file":  # saved as well, and never read
        return
    # Windows would ask another machine for a share, and tell it who asks.
    is_share = str(value).startswith(("\\\\", "//"))
    if not isinstance(value, str) or "\0" in value or is_share:
        raise ModelFormatError(
            f"{path}: {name!r} is {_brief(value)}, which is no name of a file. "
            "Remove it."
        )
    # transformers takes some names from the working directory.
    for place in (path.parent / value, Path(value)):
        if not os.path.lexists(place):
            continue
        if not os.path.samefile(place.parent, path.parent):
            raise ModelFormatError(
                f"{path}: {name!r} is {_brief(value)}, which leads out of the folder. "
                "Remove it: a tokenizer is read from its folder alone."
            )
        check_text(place)


def _read_tables(folder: Path) -> dict:
    """Check the files of tables, and return what is in tokenizer.json."""
    contents = {}
    for file in _TABLES:
        path = folder / file
        if not path.is_file():
            continue
        contents[file] = content = read_json(path)
        for table in (content, content.get("model")):
            for name in _TABLE_NAMES:
                if isinstance(table, dict) and isinstance(table.get(name), str):
                    raise _no_table(path, name, table[name])
    return contents.get("tokenizer.json", {})


def _no_table(path: Path, name: str, value: Any) -> ModelFormatError:
    return ModelFormatError(
        f"{path}: {name!r} is {_brief(value)}; it must be a table. skbert reads none "
        "from a file that a setting names."
    )


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

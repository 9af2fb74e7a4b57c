"""Checks of a model folder before any of it is used.

A folder may come from a stranger. This module decides, and not the folder, which files
and settings are allowed: no adapters, no code and no weights elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from skbert.exceptions import ModelFormatError

__all__ = [
    "TOKENIZER_FILES",
    "TOKENIZER_PATTERNS",
    "WeightCount",
    "check_folder",
    "check_numbers",
    "check_text",
    "count_weights",
    "load_tensors",
    "load_weights",
    "read_json",
]

# Bytes of a file that is read whole. Vocabularies of millions of words are shorter.
_LONGEST_TEXT = 2**28

_TEMPLATES = "additional_chat_templates"

# Files of tokenizers, by the names that the classes of transformers use.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    f"{_TEMPLATES}/*.jinja",
    # Vocabularies.
    "bpe.codes",
    "byte_maps.json",
    "dict.txt",
    "emoji.json",
    "entity_vocab.json",
    "merges.txt",
    "normalizer.json",
    "prophetnet.tokenizer",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "source.spm",
    "spiece.model",
    "spm.model",
    "spm_char.model",
    "target.spm",
    "target_vocab.json",
    "tekken.json",
    "tiktoken.model",
    "tokenizer.model",
    "vocab-src.json",
    "vocab-tgt.json",
    "vocab.json",
    "vocab.txt",
    "word_pronunciation.json",
    "word_shape.json",
)

# Patterns of the files of tokenizers, including those with other names.
TOKENIZER_PATTERNS = (
    *sorted({f"*{Path(name).suffix}" for name in TOKENIZER_FILES}),
    *("*.bpe", "*.tiktoken", "*.vocab"),
    "*.model.v*",  # such as Mistral's tokenizer.model.v3
)

# Depth of nested brackets. Copying such an object takes a call for each level.
_DEEPEST_JSON = 50

# Types of weights that are cast to float32.
_WEIGHT_TYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
}

# Weights of trained models are far smaller. Products of a few such fit into float32.
_LARGEST_WEIGHT = 1e10


def check_folder(folder: Path) -> Path:
    """Return ``folder`` if it holds a config and safe weights.

    Raises
    ------
    ModelFormatError
        If one is missing, or if there is a file that skbert does not read.
    """
    if not (folder / "config.json").is_file():
        raise ModelFormatError(
            f"{folder} has no config.json: it is not a Hugging Face model folder."
        )
    if (folder / "adapter_config.json").exists():
        raise ModelFormatError(
            f"{folder} holds an adapter (adapter_config.json), which would be left "
            "out. Merge it into its model first: merge_and_unload() of peft."
        )
    for path in folder.glob("*"):
        if any(fnmatch(path.name, pattern) for pattern in TOKENIZER_PATTERNS):
            check_text(path)
    _check_templates(folder / _TEMPLATES)
    if any(folder.glob("model*.safetensors")):
        return folder
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    found = (
        f"holds its weights only as {pickles[0]}, a pickle"
        if pickles
        else ("has no weights (model.safetensors)")
    )
    raise ModelFormatError(
        f"{folder} {found}. skbert reads safetensors only, because loading a pickle "
        "(*.bin) can run code. A model that you trust can be converted once:\n"
        "    from transformers import AutoModel\n"
        f"    AutoModel.from_pretrained({str(folder)!r}).save_pretrained('safe')\n"
        "and its tokenizer's files copied beside the result. On the hub many such "
        "models have a revision 'refs/pr/...' with safetensors."
    )


def _check_templates(folder: Path) -> None:
    paths = list(folder.glob("*.jinja"))
    for path in paths:
        check_text(path)
    # transformers reads all of them.
    if sum(path.stat().st_size for path in paths if path.is_file()) > _LONGEST_TEXT:
        raise ModelFormatError(f"{folder} is longer than any that skbert reads.")


def check_text(path: Path) -> None:
    """Check that a file is short and ordinary enough to be read whole.

    Raises
    ------
    ModelFormatError
        If it is too long, or a pipe, a device or the like.
    """
    if path.is_file():
        _check_length(path)
    elif path.exists() and not path.is_dir():
        raise ModelFormatError(
            f"{path} is not a file but a pipe, a socket or a device. Remove it."
        )


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises
    ------
    ModelFormatError
        If the file is missing, no JSON, or no object.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(
                "it is not a regular file"
            )  # reading a pipe would wait forever
        _check_length(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{path} does not hold a JSON object.")
    level: list[Any] = [content]
    for _ in range(_DEEPEST_JSON):
        level = [item for value in level for item in _items(value)]
    if level:
        raise ModelFormatError(f"{path} has more than {_DEEPEST_JSON} nested brackets.")
    return content


def _items(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_length(path: Path) -> None:
    if path.stat().st_size > _LONGEST_TEXT:
        raise ModelFormatError(f"{path} is longer than any that skbert reads.")


@dataclass(frozen=True)
class WeightCount:
    """The size of a folder's weights, by the headers and lengths of its files.

    Attributes
    ----------
    n_tensors : int
    n_elements : int
    """

    n_tensors: int
    n_elements: int


def count_weights(folder: Path) -> WeightCount:
    """Count a folder's weights without reading them.

    Raises
    ------
    ModelFormatError
        If a file is missing or damaged.
    """
    shapes: dict[str, list[int]] = {}
    for path in _weight_files(folder):
        with _reading(path), safe_open(path, framework="pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}
    return WeightCount(len(shapes), sum(map(math.prod, shapes.values())))


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Load a folder's weights, by name.

    Raises
    ------
    ModelFormatError
        If a file is missing or damaged.
    """
    weights: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        weights |= load_tensors(path)
    return weights


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Load one file of safetensors.

    Raises
    ------
    ModelFormatError
        If it is missing or damaged, or holds weights that are not floats.
    """
    with _reading(path):
        tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.dtype not in _WEIGHT_TYPES and not _is_buffer(name, tensor):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelFormatError(
                f"{path}: {name!r} is of the type {kind}; weights must be floats of 8 "
                "bits or more. It is quantized or damaged: use the model that it was "
                "made of."
            )
    return tensors


def _is_buffer(name: str, tensor: Tensor) -> bool:
    # Position numbers and masks; a mask may be called "bias", as in GPT-2.
    is_whole = not (tensor.is_floating_point() or tensor.is_complex())
    return is_whole and not name.endswith("weight")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        # safetensors says of a file without permission that it does not exist.
        with open(path, "rb"):
            pass
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ModelFormatError(f"{path} cannot be loaded: {error}") from error


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists() or not index.exists():
        return [folder / "model.safetensors"]
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelFormatError(f"{index}: 'weight_map' must be an object with names.")
    for name in names.values():
        if not _is_safetensors_beside(name):
            raise ModelFormatError(
                f"{index}: {name!r} is not a safetensors file in that folder."
            )
    return [folder / name for name in sorted(set(names.values()))]


def _is_safetensors_beside(name: Any) -> bool:
    # A Windows path knows both separators, and the letter of a drive.
    return (
        isinstance(name, str)
        and PureWindowsPath(name).name == name
        and name.endswith(".safetensors")
    )


def check_numbers(path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Check that weights are usable numbers.

    Raises
    ------
    ModelFormatError
        If one is NaN, infinite or extremely large.
    """
    for name, tensor in tensors:
        if tensor.numel():
            low, high = tensor.detach().float().aminmax()
            # A comparison with NaN is false.
            if not (-_LARGEST_WEIGHT < low and high < _LARGEST_WEIGHT):
                raise ModelFormatError(
                    f"{path}: the weight {name!r} holds NaN, infinity or a number as "
                    "large as damaged ones are. A training that diverged may have left "
                    "it so."
                )

"""The configuration of a model folder, without fields that it must not decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig

from skbert.exceptions import ModelFormatError
from skbert.models.folder import read_json
from skbert.runtime.quiet import quiet_transformers

__all__ = ["load_config"]

# Fields that do not belong to the computation. They would load code, kernels or weights
# from elsewhere, or change the form of a model's output.
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

# The longest vocabulary (XLM-V's) has 901,629 tokens, and few models read longer texts.
_LARGEST_SIZE = 2**20

# If a configuration has the number of labels only, transformers makes up their names.
_MOST_LABELS = 2**16


def load_config(folder: Path) -> PreTrainedConfig:
    """Load the configuration of a model folder; never run code from the folder.

    Raises
    ------
    ModelFormatError
        If it is damaged, has an unknown architecture, or needs its own code.
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
    """Refuse numbers that would make lists of gigabytes before weights are read."""
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

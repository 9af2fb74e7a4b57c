"""Loading of a fitted classifier from a folder of safetensors and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from skbert.exceptions import ModelFormatError
from skbert.models.atomic_save import (
    HEAD_FILE,
    STATE_FILE,
    refuse_replaced,
)
from skbert.models.checkpoint import load_structure
from skbert.models.configuration import load_config
from skbert.models.folder import check_numbers, load_tensors, read_json
from skbert.models.module import MeanPoolingClassifier, NativeClassifier, build_module
from skbert.models.tokenizer import load_tokenizer

__all__ = ["FORMAT_VERSION", "SavedModel", "are_two_classes", "load_model"]

FORMAT_VERSION = 1


@dataclass
class SavedModel:
    """The parts of a fitted classifier that a folder holds.

    Attributes
    ----------
    module : NativeClassifier or MeanPoolingClassifier
    tokenizer : PreTrainedTokenizerBase
    pooling : {"native", "mean"}
    label_names : list of str
    thresholds : list of float
    classes : ndarray of shape (2,) or None
        The two classes of a one-dimensional y.
    params : dict
        Constructor parameters that JSON can hold.
    fitted : dict
        Further fitted attributes that JSON can hold.
    """

    module: NativeClassifier | MeanPoolingClassifier
    tokenizer: PreTrainedTokenizerBase
    pooling: str
    label_names: list[str]
    thresholds: list[float]
    classes: np.ndarray | None = None
    params: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)


def load_model(folder: Path) -> SavedModel:
    """Load a folder of ``save_model``, or a Hugging Face multi-label model.

    Raises
    ------
    ModelFormatError
        If the folder is damaged, has a later format or no multi-label model, or if
        another model was saved there meanwhile.
    """
    with refuse_replaced(folder):
        return _load(folder)


def _load(folder: Path) -> SavedModel:
    config = load_config(folder)
    structure = load_structure(folder, config)
    tokenizer = load_tokenizer(folder, config, structure.n_tokens)
    if (folder / STATE_FILE).exists():
        return _load_saved(folder, config, tokenizer)
    if (folder / HEAD_FILE).exists():
        raise ModelFormatError(f"{folder}: {STATE_FILE} is missing.")
    return _load_hugging_face(folder, config, tokenizer)


def _load_saved(
    folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> SavedModel:
    state = read_json(folder / STATE_FILE)
    _check_state(folder / STATE_FILE, state)
    n_labels = len(state["label_names"])
    load = _load_mean if state["pooling"] == "mean" else _load_native
    return SavedModel(
        module=load(folder, config, n_labels),
        tokenizer=tokenizer,
        pooling=state["pooling"],
        label_names=state["label_names"],
        thresholds=state["thresholds"],
        classes=None if state["classes"] is None else np.array(state["classes"]),
        params=state["params"],
        fitted=state["fitted"],
    )


def _load_mean(
    folder: Path, config: PreTrainedConfig, n_labels: int
) -> NativeClassifier | MeanPoolingClassifier:
    width = getattr(config, "hidden_size", None)
    # The head is read first, because a folder may name too many labels for the memory.
    head = _load_head(folder / HEAD_FILE, n_labels, width)
    module, _ = build_module(folder, config, n_labels=n_labels, pooling="mean")
    module.output_layer.load_state_dict(head)
    return module.eval()


def _load_head(path: Path, n_labels: int, width: int | None) -> dict[str, Tensor]:
    tensors = load_tensors(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {"weight": (n_labels, width), "bias": (n_labels,)}
    if shapes != expected:
        raise ModelFormatError(
            f"{path} cannot be loaded: {n_labels} labels need tensors of the shapes "
            f"{expected}, and no others."
        )
    check_numbers(path, tensors.items())
    return tensors


def _load_native(
    folder: Path, config: PreTrainedConfig, n_labels: int
) -> NativeClassifier | MeanPoolingClassifier:
    module, _ = build_module(
        folder, config, n_labels=n_labels, pooling="native", complete=True
    )
    return module.eval()


_STATE_TYPES: dict[str, type | tuple[type, ...]] = {
    "format_version": int,
    "pooling": str,
    "label_names": list,
    "thresholds": list,
    "classes": (list, type(None)),
    "params": dict,
    "fitted": dict,
}


def _check_state(path: Path, state: dict) -> None:
    version = state.get("format_version")
    if isinstance(version, bool) or (isinstance(version, int) and version < 1):
        raise ModelFormatError(f"{path}: there is no format version {version!r}.")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, but this skbert reads up to "
            f"{FORMAT_VERSION}. Update skbert."
        )
    for key, kind in _STATE_TYPES.items():
        if key not in state or not isinstance(state[key], kind):
            raise ModelFormatError(f"{path}: {key!r} is missing or of the wrong type.")
    if state["pooling"] not in ("native", "mean"):
        raise ModelFormatError(f"{path}: unknown pooling {state['pooling']!r}.")
    names, thresholds, classes = (
        state[key] for key in ("label_names", "thresholds", "classes")
    )
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelFormatError(f"{path}: 'label_names' must be a list of texts.")
    if len(thresholds) != len(names) or not all(map(_is_probability, thresholds)):
        raise ModelFormatError(
            f"{path}: 'thresholds' must hold {len(names)} numbers between 0 and 1."
        )
    if classes is not None and not (len(names) == 1 and are_two_classes(classes)):
        raise ModelFormatError(f"{path}: 'classes' must hold two classes of one label.")
    history = state["fitted"].get("history_", [])
    if not isinstance(history, list) or not all(isinstance(r, dict) for r in history):
        raise ModelFormatError(f"{path}: 'history_' must be a list of objects.")


def _is_probability(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= 1
    )


def are_two_classes(classes: list) -> bool:
    """Return whether JSON holds two classes of one type that NumPy gives back."""
    kinds = {type(item) for item in classes}
    return (
        len(classes) == 2
        and classes[0] != classes[1]
        and len(kinds) == 1
        and kinds <= {str, int, float, bool}
        and (kinds != {float} or all(map(math.isfinite, classes)))
        # NumPy removes NULs at the end of a text.
        and np.array(classes).tolist() == classes
    )


def _load_hugging_face(
    folder: Path, config: Any, tokenizer: PreTrainedTokenizerBase
) -> SavedModel:
    if config.problem_type != "multi_label_classification":
        raise ModelFormatError(
            f"{folder / 'config.json'}: problem_type is {config.problem_type!r}, not "
            "'multi_label_classification'. If the model was trained with a sigmoid "
            "per label, set it in that file; to fine-tune the model, pass the folder "
            "as `model` and call fit."
        )
    if sorted(config.id2label) != list(range(config.num_labels)):
        raise ModelFormatError(
            f"{folder / 'config.json'}: id2label does not name the labels 0 to "
            f"{config.num_labels - 1}."
        )
    names = [str(config.id2label[i]) for i in range(config.num_labels)]
    return SavedModel(
        module=_load_native(folder, config, len(names)),
        tokenizer=tokenizer,
        pooling="native",
        label_names=names,
        thresholds=[0.5] * len(names),
    )

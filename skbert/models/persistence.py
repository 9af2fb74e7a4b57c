"""Persistence: a fitted classifier <-> a folder of safetensors and JSON."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from skbert.exceptions import ModelFormatError
from skbert.models.atomic_save import (
    HEAD_FILE,
    STATE_FILE,
    refuse_replaced,
    replacement,
    target_folder,
)
from skbert.models.checkpoint import is_hub_name, load_structure
from skbert.models.configuration import load_config
from skbert.models.folder import check_numbers, load_tensors, read_json
from skbert.models.model_card import make_card, renew_card
from skbert.models.module import MeanPoolingClassifier, NativeClassifier, build_module
from skbert.models.tokenizer import load_tokenizer
from skbert.runtime.quiet import quiet_transformers

__all__ = ["FORMAT_VERSION", "SavedModel", "load_model", "save_model"]

FORMAT_VERSION = 1

# What transformers writes from what it read, and the settings in it that name places.
_CONFIG_FILES = ("config.json", "tokenizer_config.json")
_PLACES = ("_file", "_spm", "_path", "_dir")


@dataclass
class SavedModel:
    """All that a folder keeps of a fitted classifier.

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


def save_model(saved: SavedModel, folder: str | os.PathLike[str]) -> None:
    """Write a folder; what was there stays whole until all is written.

    Parameters
    ----------
    saved : SavedModel
    folder : str or path-like
        Made if it does not exist. A model in it is replaced, all its files; other
        files are left alone, and so is a README.md that skbert did not begin.

    Raises
    ------
    TypeError, ValueError
        As of `target_folder`; or if the classes would not come back.
    OSError
        As of `replacement`.
    """
    target = target_folder(folder)
    saved = replace(saved, params=_without_local_model(saved))
    state = _state_of(saved)
    with replacement(target) as work:
        _write(saved, work)
        _write_json(work / STATE_FILE, state)
        _write_card(saved, work, target)


def _without_local_model(saved: SavedModel) -> dict[str, Any]:
    """Return the parameters without a model that is a folder of this machine.

    A revision is one of that model. The saved model takes its place when it is loaded.
    """
    model = saved.params.get("model", "")
    # The folder may be gone, or the working directory another than in the fit.
    origin = saved.module.encoder.config.name_or_path or ""
    if is_hub_name(model) and Path(model) != Path(origin):
        return saved.params
    local = ("model", "revision")
    return {key: value for key, value in saved.params.items() if key not in local}


def _state_of(saved: SavedModel) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "pooling": saved.pooling,
        "label_names": saved.label_names,
        "thresholds": saved.thresholds,
        "classes": None if saved.classes is None else _listed(saved.classes),
        "params": _jsonable(saved.params),
        "fitted": _jsonable(saved.fitted),
        "transformers_version": transformers.__version__,
    }


def _listed(classes: np.ndarray) -> list:
    """Return two classes as JSON holds them; refuse those that it would change."""
    listed = _jsonable({"classes": classes}).get("classes", [])
    is_time = classes.dtype.kind in "mM"  # of which some become whole numbers
    if is_time or not _are_two_classes(listed) or listed != classes.tolist():
        raise ValueError(
            f"the classes {classes[0]!r} and {classes[1]!r} cannot be saved: JSON "
            "would not give them back as they are. Fit on other texts or numbers in "
            "their place, such as y.astype(str) for dates."
        )
    return listed


def _write(saved: SavedModel, folder: Path) -> None:
    module = saved.module
    with quiet_transformers():
        if isinstance(module, MeanPoolingClassifier):
            module.encoder.save_pretrained(folder)
            head = {k: v.contiguous() for k, v in module.head.state_dict().items()}
            save_file(head, folder / HEAD_FILE)
            _write_sentence_transformers_parts(
                folder, module.encoder.config.hidden_size
            )
        else:
            _name_labels(module, saved.label_names)
            module.model.save_pretrained(folder)
        saved.tokenizer.save_pretrained(folder)
    for name in _CONFIG_FILES:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        kept = _without_places(content)
        if kept != content:
            _write_json(folder / name, kept)


def _without_places(content: Any) -> Any:
    """Leave out settings that say where something lies, or lay, on some machine."""
    if not isinstance(content, dict):
        return content
    return {
        key: _without_places(value)
        for key, value in content.items()
        if not (key.endswith(_PLACES) and _is_place(value))
    }


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and not {"/", "\\"}.isdisjoint(value)


def _name_labels(module: NativeClassifier, names: list[str]) -> None:
    config = module.model.config
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    config.problem_type = "multi_label_classification"


def _write_sentence_transformers_parts(folder: Path, width: int) -> None:
    """Say 'mean pooling' in the way in which sentence-transformers reads it."""
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
    )
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "Pooling"},
    ]
    for entry in modules:
        entry["type"] = f"sentence_transformers.models.{entry['type']}"
    _write_json(folder / "modules.json", modules)


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON can hold; anything else (a callable) is left out."""
    kept = {}
    for name, value in values.items():
        try:
            kept[name] = json.loads(json.dumps(_plain(value), allow_nan=False))
        except (TypeError, ValueError):
            continue
    return kept


def _plain(value: Any) -> Any:
    """Turn arrays and the like into lists, texts and numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return None  # where something lies on this machine
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, tensors, Series
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a score that is not defined; JSON knows no NaN
    return value


def _write_card(saved: SavedModel, folder: Path, target: Path) -> None:
    card = make_card(
        saved.params.get("model"),
        saved.pooling,
        zip(saved.label_names, saved.thresholds, strict=True),
    )
    renewed = renew_card(target / "README.md", card)
    if renewed is not None:
        # Half of a surrogate pair in a name is shown as a question mark.
        (folder / "README.md").write_text(renewed, encoding="utf-8", errors="replace")


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # UTF-8 has no half of a surrogate pair; what Python writes instead, JSON reads.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def load_model(folder: Path) -> SavedModel:
    """Read a folder that ``save_model`` wrote, or a Hugging Face multi-label model.

    Raises
    ------
    ModelFormatError
        If the folder is damaged, of a later format, or no multi-label model, or if
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
    # The head is read first: a folder may name more labels than memory has room for.
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
    if classes is not None and not (len(names) == 1 and _are_two_classes(classes)):
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


def _are_two_classes(classes: list) -> bool:
    kinds = {type(item) for item in classes}
    return (
        len(classes) == 2
        and classes[0] != classes[1]
        and len(kinds) == 1
        and kinds <= {str, int, float, bool}
        and (kinds != {float} or all(map(math.isfinite, classes)))
        # NumPy cuts off the NULs that a text ends in.
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

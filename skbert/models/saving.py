"""Saving of a fitted classifier to a folder of safetensors and JSON."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from safetensors.torch import save_file

from skbert.models.atomic_save import (
    HEAD_FILE,
    STATE_FILE,
    replacement,
    target_folder,
)
from skbert.models.hub import is_hub_name
from skbert.models.loading import FORMAT_VERSION, SavedModel, are_two_classes
from skbert.models.model_card import make_card, renew_card
from skbert.models.module import MeanPoolingClassifier, NativeClassifier
from skbert.runtime.quiet import quiet_transformers

__all__ = ["save_model"]

# Files in which transformers keeps settings that it has read, and the endings of
# settings that hold paths.
_CONFIG_FILES = ("config.json", "tokenizer_config.json")
_PLACES = ("_file", "_spm", "_path", "_dir")


def save_model(saved: SavedModel, folder: str | os.PathLike[str]) -> None:
    """Save a model to a folder; an older model there stays whole until all is written.

    Parameters
    ----------
    saved : SavedModel
    folder : str or path-like
        Folder, which is created if it does not exist. All files of a model in it are
        replaced. Other files stay, and so does a README.md without skbert's markers.

    Raises
    ------
    TypeError, ValueError
        See `target_folder`. Also if JSON would change the classes.
    OSError
        See `replacement`.
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

    Its revision is left out, too. After loading, the saved model takes its place.
    """
    model = saved.params.get("model", "")
    # The folder may be gone, or the working directory may have changed.
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
    """Return two classes as a list; refuse classes that JSON would change."""
    listed = _jsonable({"classes": classes}).get("classes", [])
    is_time = classes.dtype.kind in "mM"  # some of them become whole numbers
    if is_time or not are_two_classes(listed) or listed != classes.tolist():
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
    """Leave out settings that hold paths of some machine."""
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
    """Declare mean pooling in the format of sentence-transformers."""
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
    """Return the values that JSON can hold; leave out others, such as callables."""
    kept = {}
    for name, value in values.items():
        try:
            kept[name] = json.loads(json.dumps(_plain(value), allow_nan=False))
        except (TypeError, ValueError):
            continue
    return kept


def _plain(value: Any) -> Any:
    """Convert arrays and similar objects to lists, texts and numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return None  # a path of this machine
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, tensors, Series
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # an undefined score, because JSON has no NaN
    return value


def _write_card(saved: SavedModel, folder: Path, target: Path) -> None:
    card = make_card(
        saved.params.get("model"),
        saved.pooling,
        zip(saved.label_names, saved.thresholds, strict=True),
    )
    renewed = renew_card(target / "README.md", card)
    if renewed is not None:
        # A lone surrogate in a name becomes a question mark.
        (folder / "README.md").write_text(renewed, encoding="utf-8", errors="replace")


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # UTF-8 cannot encode a lone surrogate. JSON can read what Python writes instead.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

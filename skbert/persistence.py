"""Persistence: a fitted classifier <-> a folder of safetensors and JSON."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import save_file
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from skbert.checkpoint import load_structure
from skbert.configuration import load_config
from skbert.folder import ModelFormatError, check_numbers, load_tensors, read_json
from skbert.module import MeanPoolingClassifier, NativeClassifier, build_module
from skbert.silence import quiet_transformers
from skbert.tokenizer import check_vocabulary, load_tokenizer

__all__ = ["FORMAT_VERSION", "SavedModel", "load_model", "save_model"]

FORMAT_VERSION = 1

_STATE_FILE = "skbert.json"
_HEAD_FILE = "head.safetensors"

# Files by whose presence a folder says what kind of model it is.
_PARTS = (
    "config.json",
    _STATE_FILE,
    _HEAD_FILE,
    "modules.json",
    "1_Pooling/config.json",
)


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
    classes : list or None
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
    classes: list | None = None
    params: dict[str, Any] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)


def save_model(saved: SavedModel, folder: str | os.PathLike) -> None:
    """Write a folder; what was there stays whole until all is written.

    Parameters
    ----------
    saved : SavedModel
    folder : str or Path
        Made if it does not exist. Other files in it are left alone.
    """
    # Links are followed: what they point to is what is replaced.
    target = Path(folder).expanduser().resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; a model is saved to a folder.")
    exists = target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the files' places, so that they can be moved there, which cannot fail
    # halfway as copying can.
    place = target if exists else target.parent
    with tempfile.TemporaryDirectory(dir=place, prefix=".skbert-") as scratch:
        work = Path(scratch) / "model"
        _write(saved, work)
        if exists:
            _replace_files(work, target)
        else:
            os.replace(work, target)


def _write(saved: SavedModel, folder: Path) -> None:
    module = saved.module
    with quiet_transformers():
        if isinstance(module, MeanPoolingClassifier):
            module.encoder.save_pretrained(folder)
            head = {k: v.contiguous() for k, v in module.head.state_dict().items()}
            save_file(head, folder / _HEAD_FILE)
            _write_sentence_transformers_parts(
                folder, module.encoder.config.hidden_size
            )
        else:
            _name_labels(module, saved.label_names)
            module.model.save_pretrained(folder)
        saved.tokenizer.save_pretrained(folder)
    state = {
        "format_version": FORMAT_VERSION,
        "pooling": saved.pooling,
        "label_names": saved.label_names,
        "thresholds": saved.thresholds,
        "classes": saved.classes,
        "params": _jsonable(saved.params),
        "fitted": _jsonable(saved.fitted),
        "transformers_version": transformers.__version__,
    }
    _write_json(folder / _STATE_FILE, state)
    (folder / "README.md").write_text(_model_card(saved), encoding="utf-8")


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
    """Turn arrays, paths and the like into lists, texts and numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, tensors, Series
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a score that is not defined; JSON knows no NaN
    return value


_CARD = """\
---
library_name: skbert
pipeline_tag: text-classification
tags: [multi-label, scikit-learn]
---

# Multi-label text classifier

Fine-tuned from `{model}` with skbert ({pooling} pooling). Load it with

```python
from skbert import TransformerMultiLabelClassifier

clf = TransformerMultiLabelClassifier.from_pretrained("path/to/this/folder")
clf.predict_labels(["a text"])
```

| label | threshold |
| --- | --- |
{rows}
"""


def _model_card(saved: SavedModel) -> str:
    rows = "\n".join(
        f"| {name} | {threshold:.3f} |"
        for name, threshold in zip(saved.label_names, saved.thresholds, strict=True)
    )
    model = saved.params.get("model", "an unknown model")
    return _CARD.format(model=model, pooling=saved.pooling, rows=rows)


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _replace_files(source: Path, target: Path) -> None:
    """Move a model's files to a folder that exists, over an older model's.

    The configuration goes first and comes last: a folder without it is refused, so
    that what a crash leaves in between is never taken for a model.
    """
    for name in _PARTS:
        if name == "config.json" or not (source / name).exists():
            (target / name).unlink(missing_ok=True)
    files = [path for path in source.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: path == source / "config.json"):
        place = target / file.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        os.replace(file, place)


def load_model(folder: Path) -> SavedModel:
    """Read a folder that ``save_model`` wrote, or a Hugging Face multi-label model.

    Raises
    ------
    ModelFormatError
        If the folder is damaged, of a later format, or no multi-label model.
    """
    config = load_config(folder)
    tokenizer = load_tokenizer(folder, config)
    check_vocabulary(folder, tokenizer, load_structure(folder, config))
    if (folder / _STATE_FILE).exists():
        return _load_saved(folder, config, tokenizer)
    if (folder / _HEAD_FILE).exists():
        raise ModelFormatError(f"{folder}: {_STATE_FILE} is missing.")
    return _load_hugging_face(folder, config, tokenizer)


def _load_saved(
    folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> SavedModel:
    state = read_json(folder / _STATE_FILE)
    _check_state(folder / _STATE_FILE, state)
    n_labels = len(state["label_names"])
    mean = state["pooling"] == "mean"
    module, _ = build_module(
        folder,
        config,
        n_labels=n_labels,
        pooling=state["pooling"],
        complete=not mean,
    )
    if isinstance(module, MeanPoolingClassifier):
        _load_head(module, folder / _HEAD_FILE)
    return SavedModel(
        module=module.eval(),
        tokenizer=tokenizer,
        pooling=state["pooling"],
        label_names=state["label_names"],
        thresholds=state["thresholds"],
        classes=state["classes"],
        params=state["params"],
        fitted=state["fitted"],
    )


def _load_head(module: MeanPoolingClassifier, path: Path) -> None:
    tensors = load_tensors(path)
    check_numbers(path, tensors.items())
    try:
        module.head.load_state_dict(tensors)
    except Exception as error:
        raise ModelFormatError(f"{path} cannot be loaded: {error}") from error


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
    module, _ = build_module(
        folder, config, n_labels=len(names), pooling="native", complete=True
    )
    return SavedModel(
        module=module.eval(),
        tokenizer=tokenizer,
        pooling="native",
        label_names=names,
        thresholds=[0.5] * len(names),
    )

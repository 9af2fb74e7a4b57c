"""Fine-tuned transformers for multi-label text classification in scikit-learn."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("skbert")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

# Loaded on first use: `import skbert` must not cost the import of torch.
_HOME_OF = {
    "BinaryRelevanceClassifier": "baseline",
    "ModelFormatError": "checkpoint",
    "MultilabelStratifiedKFold": "model_selection",
    "TransformerMultiLabelClassifier": "classifier",
    "make_emails": "datasets",
    "make_tfidf_baseline": "baseline",
    "multilabel_log_loss": "metrics",
    "multilabel_train_test_split": "model_selection",
    "read_csv": "datasets",
}

__all__ = [*sorted(_HOME_OF), "__version__"]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'skbert' has no attribute {name!r}")
    value = getattr(import_module(f"skbert.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})

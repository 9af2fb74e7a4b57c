"""Splitters that stratify multi-label targets, and the folds of a cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.model_selection.split import (
        MultilabelStratifiedKFold as MultilabelStratifiedKFold,
    )
    from skbert.model_selection.split import (
        multilabel_train_test_split as multilabel_train_test_split,
    )

__all__ = [
    "MultilabelStratifiedKFold",
    "multilabel_train_test_split",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "MultilabelStratifiedKFold": "split",
        "multilabel_train_test_split": "split",
    },
)

"""Fine-tuned transformers for multi-label text classification in scikit-learn."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

try:
    __version__ = version("skbert")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

if TYPE_CHECKING:  # what type checkers and editors see
    from skbert.baseline import BinaryRelevanceClassifier as BinaryRelevanceClassifier
    from skbert.baseline import make_tfidf_baseline as make_tfidf_baseline
    from skbert.classifier import (
        TransformerMultiLabelClassifier as TransformerMultiLabelClassifier,
    )
    from skbert.comparison import compare as compare
    from skbert.datasets.csv import fetch_goemotions as fetch_goemotions
    from skbert.datasets.csv import make_emails as make_emails
    from skbert.datasets.csv import read_csv as read_csv
    from skbert.metrics import multilabel_log_loss as multilabel_log_loss
    from skbert.metrics import multilabel_report as multilabel_report
    from skbert.metrics.scorers import get_multilabel_scorer as get_multilabel_scorer
    from skbert.metrics.scorers import (
        get_multilabel_scorer_names as get_multilabel_scorer_names,
    )
    from skbert.model_selection.split import (
        MultilabelStratifiedKFold as MultilabelStratifiedKFold,
    )
    from skbert.model_selection.split import (
        multilabel_train_test_split as multilabel_train_test_split,
    )
    from skbert.models.folder import ModelFormatError as ModelFormatError
    from skbert.plotting import ComparisonDisplay as ComparisonDisplay
    from skbert.plotting import LabelCooccurrenceDisplay as LabelCooccurrenceDisplay
    from skbert.plotting import LabelScoresDisplay as LabelScoresDisplay
    from skbert.plotting import (
        MultilabelPrecisionRecallDisplay as MultilabelPrecisionRecallDisplay,
    )
    from skbert.plotting import ThresholdDisplay as ThresholdDisplay
    from skbert.plotting import TrainingHistoryDisplay as TrainingHistoryDisplay
    from skbert.plotting import TunedThresholdsDisplay as TunedThresholdsDisplay
    from skbert.search.objective import (
        CrossValidationObjective as CrossValidationObjective,
    )
    from skbert.search.study import open_study as open_study
    from skbert.search.study import run_trials as run_trials
    from skbert.thresholds import (
        TunedThresholdsClassifierCV as TunedThresholdsClassifierCV,
    )
    from skbert.thresholds import find_thresholds as find_thresholds

# Loaded on first use: `import skbert` must not cost the import of torch.
_HOME_OF = {
    "BinaryRelevanceClassifier": "baseline",
    "ComparisonDisplay": "plotting",
    "CrossValidationObjective": "search",
    "LabelCooccurrenceDisplay": "plotting",
    "LabelScoresDisplay": "plotting",
    "ModelFormatError": "folder",
    "MultilabelPrecisionRecallDisplay": "plotting",
    "MultilabelStratifiedKFold": "model_selection",
    "ThresholdDisplay": "plotting",
    "TrainingHistoryDisplay": "plotting",
    "TransformerMultiLabelClassifier": "classifier",
    "TunedThresholdsClassifierCV": "thresholds",
    "TunedThresholdsDisplay": "plotting",
    "compare": "comparison",
    "fetch_goemotions": "datasets",
    "find_thresholds": "thresholds",
    "get_multilabel_scorer": "scoring",
    "get_multilabel_scorer_names": "scoring",
    "make_emails": "datasets",
    "make_tfidf_baseline": "baseline",
    "multilabel_log_loss": "metrics",
    "multilabel_report": "metrics",
    "multilabel_train_test_split": "model_selection",
    "open_study": "study",
    "read_csv": "datasets",
    "run_trials": "study",
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

"""Fine-tuned transformers for multi-label text classification in scikit-learn."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

try:
    __version__ = version("skbert")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

if TYPE_CHECKING:  # what type checkers and editors see
    from skbert import datasets as datasets
    from skbert import metrics as metrics
    from skbert import model_selection as model_selection
    from skbert import plotting as plotting
    from skbert import search as search
    from skbert import thresholds as thresholds
    from skbert.baseline import BinaryRelevanceClassifier as BinaryRelevanceClassifier
    from skbert.baseline import make_tfidf_baseline as make_tfidf_baseline
    from skbert.classifier import (
        TransformerMultiLabelClassifier as TransformerMultiLabelClassifier,
    )
    from skbert.comparison import compare as compare
    from skbert.datasets import fetch_goemotions as fetch_goemotions
    from skbert.datasets import make_emails as make_emails
    from skbert.datasets import read_csv as read_csv
    from skbert.exceptions import ModelFormatError as ModelFormatError
    from skbert.metrics import get_multilabel_scorer as get_multilabel_scorer
    from skbert.metrics import (
        get_multilabel_scorer_names as get_multilabel_scorer_names,
    )
    from skbert.metrics import multilabel_log_loss as multilabel_log_loss
    from skbert.metrics import multilabel_report as multilabel_report
    from skbert.model_selection import (
        MultilabelStratifiedKFold as MultilabelStratifiedKFold,
    )
    from skbert.model_selection import (
        multilabel_train_test_split as multilabel_train_test_split,
    )
    from skbert.plotting import ComparisonDisplay as ComparisonDisplay
    from skbert.plotting import LabelCooccurrenceDisplay as LabelCooccurrenceDisplay
    from skbert.plotting import LabelScoresDisplay as LabelScoresDisplay
    from skbert.plotting import (
        MultilabelPrecisionRecallDisplay as MultilabelPrecisionRecallDisplay,
    )
    from skbert.plotting import ThresholdDisplay as ThresholdDisplay
    from skbert.plotting import TrainingHistoryDisplay as TrainingHistoryDisplay
    from skbert.plotting import TunedThresholdsDisplay as TunedThresholdsDisplay
    from skbert.search import CrossValidationObjective as CrossValidationObjective
    from skbert.search import open_study as open_study
    from skbert.search import run_trials as run_trials
    from skbert.thresholds import (
        TunedThresholdsClassifierCV as TunedThresholdsClassifierCV,
    )
    from skbert.thresholds import find_thresholds as find_thresholds

# Public name to the module or package that defines it. Each is imported on first use,
# because `import skbert` must not cost the import of torch.
_HOME_OF = {
    "BinaryRelevanceClassifier": "baseline",
    "ComparisonDisplay": "plotting",
    "CrossValidationObjective": "search",
    "LabelCooccurrenceDisplay": "plotting",
    "LabelScoresDisplay": "plotting",
    "ModelFormatError": "exceptions",
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
    "get_multilabel_scorer": "metrics",
    "get_multilabel_scorer_names": "metrics",
    "make_emails": "datasets",
    "make_tfidf_baseline": "baseline",
    "multilabel_log_loss": "metrics",
    "multilabel_report": "metrics",
    "multilabel_train_test_split": "model_selection",
    "open_study": "search",
    "read_csv": "datasets",
    "run_trials": "search",
}

_SUBMODULES = (
    "baseline",
    "classifier",
    "comparison",
    "datasets",
    "exceptions",
    "metrics",
    "model_selection",
    "plotting",
    "search",
    "thresholds",
)

__all__ = [*sorted(_HOME_OF), "__version__"]

__getattr__, __dir__ = lazy_exports(__name__, _HOME_OF, _SUBMODULES)

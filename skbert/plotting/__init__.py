"""Displays of labels, models and fits, in the style of scikit-learn's.

They need matplotlib, which the extra ``plot`` installs. Create a display with one of
its ``from_`` methods, which draws it. Its ``plot`` method draws it again on other axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.plotting.comparison import ComparisonDisplay as ComparisonDisplay
    from skbert.plotting.cooccurrence import (
        LabelCooccurrenceDisplay as LabelCooccurrenceDisplay,
    )
    from skbert.plotting.history import TrainingHistoryDisplay as TrainingHistoryDisplay
    from skbert.plotting.label_scores import LabelScoresDisplay as LabelScoresDisplay
    from skbert.plotting.precision_recall import (
        MultilabelPrecisionRecallDisplay as MultilabelPrecisionRecallDisplay,
    )
    from skbert.plotting.threshold_curves import ThresholdDisplay as ThresholdDisplay
    from skbert.plotting.tuned_thresholds import (
        TunedThresholdsDisplay as TunedThresholdsDisplay,
    )

__all__ = [
    "ComparisonDisplay",
    "LabelCooccurrenceDisplay",
    "LabelScoresDisplay",
    "MultilabelPrecisionRecallDisplay",
    "ThresholdDisplay",
    "TrainingHistoryDisplay",
    "TunedThresholdsDisplay",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ComparisonDisplay": "comparison",
        "LabelCooccurrenceDisplay": "cooccurrence",
        "LabelScoresDisplay": "label_scores",
        "MultilabelPrecisionRecallDisplay": "precision_recall",
        "ThresholdDisplay": "threshold_curves",
        "TrainingHistoryDisplay": "history",
        "TunedThresholdsDisplay": "tuned_thresholds",
    },
)

"""Pictures of labels, models and fits, in the style of scikit-learn's displays.

They need matplotlib, the extra ``plot``. A display is made by one of its ``from_``
methods, which draw at once; ``plot`` draws it again, elsewhere.
"""

from skbert.plotting.comparison import ComparisonDisplay
from skbert.plotting.cooccurrence import LabelCooccurrenceDisplay
from skbert.plotting.history import TrainingHistoryDisplay
from skbert.plotting.label_scores import LabelScoresDisplay
from skbert.plotting.precision_recall import MultilabelPrecisionRecallDisplay
from skbert.plotting.thresholds import ThresholdDisplay
from skbert.plotting.tuned_thresholds import TunedThresholdsDisplay

__all__ = [
    "ComparisonDisplay",
    "LabelCooccurrenceDisplay",
    "LabelScoresDisplay",
    "MultilabelPrecisionRecallDisplay",
    "ThresholdDisplay",
    "TrainingHistoryDisplay",
    "TunedThresholdsDisplay",
]

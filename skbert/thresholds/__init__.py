"""Thresholds: exact and sampled search, and the estimator that tunes out of fold."""

from skbert.thresholds.classifier import TunedThresholdsClassifierCV
from skbert.thresholds.tuning import find_thresholds

__all__ = ["TunedThresholdsClassifierCV", "find_thresholds"]

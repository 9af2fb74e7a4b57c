"""Decision thresholds for each label, chosen for a score on held-out data.

`find_thresholds` finds the best thresholds on given scores.
`TunedThresholdsClassifierCV` does so on out-of-fold scores of an estimator. Both shrink
the thresholds of rare labels toward a shared one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.thresholds.classifier import (
        TunedThresholdsClassifierCV as TunedThresholdsClassifierCV,
    )
    from skbert.thresholds.tuning import find_thresholds as find_thresholds

__all__ = [
    "TunedThresholdsClassifierCV",
    "find_thresholds",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "TunedThresholdsClassifierCV": "classifier",
        "find_thresholds": "tuning",
    },
)

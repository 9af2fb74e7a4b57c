"""Decision thresholds for each label, chosen for a score on held-out data.

`find_thresholds` searches exactly where the score allows it and by sampling elsewhere.
`TunedThresholdsClassifierCV` does so out of fold and shrinks the thresholds of rare
labels.
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

"""Hyperparameter search with Optuna.

`CrossValidationObjective` scores candidates out of fold and prunes bad ones after each
epoch. `open_study` and `run_trials` keep a study on disk, which several processes can
share and continue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.search.objective import (
        CrossValidationObjective as CrossValidationObjective,
    )
    from skbert.search.study import open_study as open_study
    from skbert.search.study import run_trials as run_trials

__all__ = [
    "CrossValidationObjective",
    "open_study",
    "run_trials",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CrossValidationObjective": "objective",
        "open_study": "study",
        "run_trials": "study",
    },
)

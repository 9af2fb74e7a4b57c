"""Warnings point to the user's call, whichever public function it is."""

import numpy as np
import pytest
from sklearn.model_selection import cross_val_predict

from skbert import (
    TunedThresholdsClassifierCV,
    compare,
    make_tfidf_baseline,
)
from skbert.runtime.warn import warn_user

TEXTS = [f"{word} {i}" for i in range(4) for word in ("refund", "crash", "meeting")]
Y = np.column_stack([np.eye(3, dtype=int)[np.arange(12) % 3], np.ones(12, dtype=int)])
CALLS = {
    "a helper": lambda make: warn_user("It has no positive or no negative example"),
    "fit": lambda make: make(max_epochs=1).fit(TEXTS, Y),
    "fit of the baseline": lambda make: make_tfidf_baseline().fit(TEXTS, Y),
    "thresholds": lambda make: TunedThresholdsClassifierCV(
        make_tfidf_baseline(), cv=0.25
    ).fit(TEXTS, Y),
    "compare": lambda make: compare({"a": make_tfidf_baseline()}, TEXTS, Y, cv=2),
    "cross_val_predict": lambda make: cross_val_predict(
        make_tfidf_baseline(), TEXTS, Y, cv=2, method="predict"
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_warning_points_to_the_call(call, make):
    with pytest.warns(UserWarning) as record:
        CALLS[call](make)
    assert {warning.filename for warning in record} == {__file__}

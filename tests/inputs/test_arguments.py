"""Arguments with one value per label are checked, or the first wrong one is named."""

import numpy as np
import pytest

from skbert.base.outputs import check_thresholds


def test_thresholds_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="threshold must hold numbers: could not"):
        check_thresholds("half", 2, "threshold")


def test_thresholds_that_are_nan_are_refused():
    with pytest.raises(ValueError, match=r"cuts holds NaN\."):
        check_thresholds(np.nan, 2, "cuts", are_probabilities=False)

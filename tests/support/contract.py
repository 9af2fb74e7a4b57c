"""Faults of scikit-learn's own checks, for all tests that run them."""

import sklearn
from sklearn.utils.fixes import parse_version

_BINARY_AFTER_SHUFFLING = (
    "before scikit-learn 1.7 it takes the class of the first row for one of the two, "
    "but shuffles the rows of one of its two fits before that: a classifier of two "
    "classes is taught something else in each"
)

FAULTY_CHECKS = {}
if parse_version(sklearn.__version__) < parse_version("1.7"):
    FAULTY_CHECKS = {
        f"check_sample_weight_equivalence_on_{kind}_data": _BINARY_AFTER_SHUFFLING
        for kind in ("dense", "sparse")
    }

"""scikit-learn's own estimator checks, on texts and on texts spelled from numbers."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from checkpoints import make_checkpoint
from contract import FAULTY_CHECKS
from skbert import TransformerMultiLabelClassifier

# Each is one token of the tiny model.
WORDS = "invoice payment refund error crash meeting calendar schedule".split()

EXPECTED_FAILURES = {
    # The check of sparse rows takes their refusal for an answer.
    **{check: why for check, why in FAULTY_CHECKS.items() if "sparse" not in check},
    "check_classifier_multioutput": (
        "indexes classes_ as one flat pair of classes; ours has a row per label, the "
        "one form that all of scikit-learn's scorers read as multi-label. What else it "
        "checks is in test_classifier.py."
    ),
}


class RowsAsTexts(TransformerMultiLabelClassifier):
    """Spells each numeric row as words, so that the checks' matrices become texts.

    The checks feed numbers, and an estimator whose tags say that it takes texts is
    excused from nearly all of them. Everything but the one hook is the real thing.
    """

    def _check_texts(self, X, name="X"):
        if name == "X":
            fitted = hasattr(self, "n_features_in_")
            X = validate_data(self, X, reset=not fitted, dtype=np.float64)
        return [" ".join(_word(value) for value in row) for row in np.asarray(X)]

    def fit(self, X, y=None, sample_weight=None, **kwargs):
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                delattr(self, name)
        return super().fit(X, y, sample_weight, **kwargs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = False
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        tags.classifier_tags.poor_score = True
        return tags


def _word(value):
    return WORDS[int(np.clip(np.floor(2 * value), -4, 3)) + 4]


# The estimators are named when the tests are collected, in every process alike; each
# process makes the folder afterwards, where its checks are run.
FOLDER = "checks-model"


@pytest.fixture(scope="module")
def where_the_model_is(tmp_path_factory):
    """Make the tiny model of all checks."""
    place = tmp_path_factory.mktemp("checks")
    make_checkpoint("bert", place / FOLDER)
    return place


@pytest.fixture(autouse=True)
def run_there(where_the_model_is, monkeypatch):
    """Let the model's relative name be found."""
    monkeypatch.chdir(where_the_model_is)


def expected_failed_checks(estimator):
    """Name the checks that cannot pass, each with its reason."""
    return EXPECTED_FAILURES if isinstance(estimator, RowsAsTexts) else {}


SETTINGS = {
    "model": FOLDER,
    "max_length": 64,
    "max_epochs": 2,
    "batch_size": 16,
    "random_state": 0,
    "device": "cpu",
}


# That check compares weighted with repeated rows to 1e-7, but float32 sums in two
# orders differ by that: all rows in one batch, no dropout, and steps so small that only
# the priors tell. test_classifier.py compares them at the default rates. scikit-learn
# has parameters of its own for this check, too, for instance for MLPClassifier.
ALMOST_STILL = {
    "batch_size": 200,
    "dropout": 0.0,
    "precision": "fp32",
    "learning_rate": 1e-9,
}

with warnings.catch_warnings():
    # The tags of the real one rule most checks out, which scikit-learn warns of.
    warnings.simplefilter("ignore", SkipTestWarning)
    made = parametrize_with_checks(
        [TransformerMultiLabelClassifier(**SETTINGS), RowsAsTexts(**SETTINGS)],
        expected_failed_checks=expected_failed_checks,
    )
    # Some versions make the checks, and warn, only when they are asked for.
    names, checks = made.args
    scikit_learn_checks = pytest.mark.parametrize(names, list(checks), **made.kwargs)


@scikit_learn_checks
def test_scikit_learn_check(estimator, check):
    """Run one of scikit-learn's checks."""
    if check.func.__name__ == "check_sample_weight_equivalence_on_dense_data":
        estimator.set_params(**ALMOST_STILL)
    check(estimator)

"""What of scikit-learn cannot work or misleads: the rows of docs/scikit_learn.rst.

A test here that fails after an update of scikit-learn is good news: move the row.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    get_scorer,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    HalvingGridSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    check_cv,
    cross_val_score,
    train_test_split,
)
from sklearn.multiclass import OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.semi_supervised import SelfTrainingClassifier

from doc_tables import read_table
from skbert import (
    BinaryRelevanceClassifier,
    TransformerMultiLabelClassifier,
    get_multilabel_scorer,
    make_tfidf_baseline,
)


@pytest.fixture(scope="module")
def clf(tiny_bert):
    return TransformerMultiLabelClassifier(
        model=str(tiny_bert),
        pooling="mean",
        max_length=64,
        max_epochs=1,
        batch_size=16,
        device="cpu",
        random_state=0,
    )


def unknown(y):
    return np.where(np.arange(len(y))[:, np.newaxis] < 5, np.nan, y)


def stack(clf, **final):
    models = [("tfidf", make_tfidf_baseline()), ("skbert", clf)]
    return StackingClassifier(models, cv=2, **final)


def scored(clf, X, y, scoring=None, cv=2):
    return cross_val_score(clf, X, y, cv=cv, scoring=scoring, error_score="raise")


ONE_LABEL = "y should be a 1d array|[Bb]inary|multilabel|Multilabel"
NUMBERS = "Expected 2D array, got 1D array"

# What is called, and what the error says.
CANNOT = {
    "``HalvingGridSearchCV`` with its default ``min_resources``": (
        lambda clf, X, y: HalvingGridSearchCV(clf, {"max_epochs": [1, 2]}).fit(X, y),
        ONE_LABEL,
    ),
    "``StratifiedKFold``": (
        lambda clf, X, y: next(StratifiedKFold(2).split(X, y)),
        ONE_LABEL,
    ),
    "``train_test_split(stratify=y)`` where a set of labels is unique": (
        lambda clf, X, y: train_test_split(
            X[:3], stratify=np.array([[0, 1], [0, 1], [1, 1]])
        ),
        "least populated class",
    ),
    "``cross_val_score`` with sparse ``y``": (
        lambda clf, X, y: scored(clf, X, sparse.csr_array(y)),
        "must be an array-like",
    ),
    "``NaN`` in ``y`` with an int as ``cv``": (
        lambda clf, X, y: scored(clf, X, unknown(y), get_multilabel_scorer("f1_micro")),
        "contains NaN",
    ),
    "``NaN`` in ``y`` with a scorer of scikit-learn": (
        lambda clf, X, y: scored(clf, X, unknown(y), "f1_micro", KFold(2)),
        "contains NaN",
    ),
    '``scoring="balanced_accuracy"``': (
        lambda clf, X, y: scored(clf, X, y, "balanced_accuracy"),
        ONE_LABEL,
    ),
    '``scoring="matthews_corrcoef"``': (
        lambda clf, X, y: scored(clf, X, y, "matthews_corrcoef"),
        ONE_LABEL,
    ),
    "``VotingClassifier``": (
        lambda clf, X, y: VotingClassifier([("a", clf)], voting="soft").fit(X, y),
        ONE_LABEL,
    ),
    "``StackingClassifier`` with its default ``final_estimator``": (
        lambda clf, X, y: stack(clf).fit(X, y),
        ONE_LABEL,
    ),
    "``StackingClassifier.predict_proba``": (
        lambda clf, X, y: (
            stack(clf, final_estimator=BinaryRelevanceClassifier())
            .fit(X, y)
            .predict_proba(X)
        ),
        "too many indices",
    ),
    "``StackingClassifier`` of a single label, shape (n, 1)": (
        lambda clf, X, y: stack(clf).fit(X, y[:, :1]),
        "column-vector y",  # a warning, which is an error here
    ),
    "``BaggingClassifier``": (
        lambda clf, X, y: BaggingClassifier(clf, 2).fit(X, y),
        NUMBERS,
    ),
    "``AdaBoostClassifier``": (
        lambda clf, X, y: AdaBoostClassifier(clf, n_estimators=2).fit(X, y),
        NUMBERS,
    ),
    "``SelfTrainingClassifier``": (
        lambda clf, X, y: SelfTrainingClassifier(clf).fit(X, y),
        NUMBERS,
    ),
    "``CalibratedClassifierCV``": (
        lambda clf, X, y: CalibratedClassifierCV(clf, cv=2).fit(X, y),
        ONE_LABEL,
    ),
    "``FixedThresholdClassifier``": (
        lambda clf, X, y: FixedThresholdClassifier(clf, threshold=0.3).fit(X, y),
        ONE_LABEL,
    ),
    "``TunedThresholdClassifierCV``": (
        lambda clf, X, y: TunedThresholdClassifierCV(clf, cv=2).fit(X, y),
        ONE_LABEL,
    ),
    "``ClassifierChain``": (lambda clf, X, y: ClassifierChain(clf).fit(X, y), NUMBERS),
    "``OutputCodeClassifier``": (
        lambda clf, X, y: OutputCodeClassifier(clf).fit(X, y),
        ONE_LABEL,
    ),
    "``permutation_importance``": (
        lambda clf, X, y: permutation_importance(clf.fit(X, y), X, y),
        NUMBERS,
    ),
    "``partial_dependence``": (
        lambda clf, X, y: partial_dependence(clf.fit(X, y[:, 0]), X, [0]),
        f"{NUMBERS}|not supported",
    ),
    "``RFE``": (lambda clf, X, y: RFE(clf).fit(X, y), NUMBERS),
    "``CalibrationDisplay.from_estimator``": (
        lambda clf, X, y: CalibrationDisplay.from_estimator(clf.fit(X, y), X, y),
        ONE_LABEL,
    ),
    "``RocCurveDisplay.from_estimator``": (
        lambda clf, X, y: RocCurveDisplay.from_estimator(clf.fit(X, y), X, y),
        ONE_LABEL,
    ),
    "``PrecisionRecallDisplay.from_estimator``": (
        lambda clf, X, y: PrecisionRecallDisplay.from_estimator(clf.fit(X, y), X, y),
        ONE_LABEL,
    ),
    "``DetCurveDisplay.from_estimator``": (
        lambda clf, X, y: DetCurveDisplay.from_estimator(clf.fit(X, y), X, y),
        ONE_LABEL,
    ),
    "``ConfusionMatrixDisplay.from_estimator``": (
        lambda clf, X, y: ConfusionMatrixDisplay.from_estimator(clf.fit(X, y), X, y),
        ONE_LABEL,
    ),
    "``set_output`` of the classifier itself": (
        lambda clf, X, y: clf.set_output(transform="pandas"),
        "set_output",
    ),
}


@pytest.mark.parametrize("row", CANNOT)
def test_this_raises(row, clf, emails):
    call, why = CANNOT[row]
    error = (ValueError, IndexError, AttributeError, NotImplementedError, UserWarning)
    with warnings.catch_warnings():
        # scikit-learn casts NaN to int on its way to the error.
        warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
        with pytest.raises(error, match=why):
            call(clf, *emails)


def test_the_page_names_what_cannot_work():
    table = read_table("scikit_learn.rst", "What cannot work")
    assert list(table) == list(CANNOT)
    assert all(why and instead for why, instead in table.values())


# --- with one dimension ---------------------------------------------------------------


@pytest.mark.parametrize(
    "around",
    [
        lambda clf: VotingClassifier([("a", clf), ("b", clf)], voting="soft"),
        lambda clf: CalibratedClassifierCV(clf, cv=2),
        lambda clf: FixedThresholdClassifier(clf, threshold=0.3),
        lambda clf: TunedThresholdClassifierCV(clf, cv=2),
    ],
)
def test_one_dimension_works_as_usual(around, clf, emails):
    X, y = emails[0], emails[1][:, 0]
    assert around(clf).fit(X, y).predict(X).shape == (60,)


@pytest.mark.parametrize(
    "display",
    [CalibrationDisplay, RocCurveDisplay, PrecisionRecallDisplay, DetCurveDisplay],
)
def test_one_dimension_is_drawn_as_usual(display, clf, emails):
    X, y = emails[0], emails[1][:, 0]
    drawn = display.from_estimator(clf.fit(X, y), X, y)
    proba = clf.fit(X, emails[1]).predict_proba(X)
    of_one_label = display.from_predictions(y, proba[:, 0])
    assert drawn.ax_.lines and of_one_label.ax_.lines
    plt.close("all")


# --- what misleads --------------------------------------------------------------------


class Answers(ClassifierMixin, BaseEstimator):
    """A classifier that gives the same probabilities to every row."""

    classes_ = np.tile([0, 1], (2, 1))

    def __init__(self, proba):
        self.proba = proba

    def predict_proba(self, X):
        return np.tile(self.proba, (len(X), 1))


def five_neither_shuffles_nor_stratifies(clf, X, y):
    assert type(check_cv(5, y, classifier=True)) is KFold
    assert [test[0] for _, test in check_cv(5, y).split(X)] == [0, 12, 24, 36, 48]


def log_loss_counts_positives_only(clf, X, y):
    y = np.tile([[1, 0], [1, 0], [0, 1]], (20, 1))
    priors, everything = Answers([2 / 3, 1 / 3]), Answers([0.999] * 2)
    theirs, ours = (
        get_scorer("neg_log_loss"),
        get_multilabel_scorer("neg_multilabel_log_loss"),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The y_(prob|pred) values do not sum to one")
        assert theirs(everything, X, y) > theirs(priors, X, y)
    assert ours(everything, X, y) < ours(priors, X, y)


def score_is_subset_accuracy(clf, X, y):
    fitted = clf.fit(X, y)
    all_right = (fitted.predict(X) == y).all(axis=1)
    assert fitted.score(X, y) == pytest.approx(all_right.mean())


def roc_auc_is_not_defined_without_positives(clf, X, y):
    fitted = clf.fit(X, y)
    y = y * [1, 0, 1]
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(get_scorer("roc_auc")(fitted, X, y))
    assert np.isfinite(get_multilabel_scorer("roc_auc")(fitted, X, y))


def a_stack_of_two_labels_loses_the_first(clf, X, y):
    y = y[:, :2]
    final = {"final_estimator": BinaryRelevanceClassifier()}
    assert stack(clf, **final).fit(X, y).transform(X).shape == (60, 2)
    whole = stack(clf, **final, stack_method="decision_function").fit(X, y)
    assert whole.transform(X).shape == (60, 4)


def a_stack_of_multi_output_is_upside_down(clf, X, y):
    around = MultiOutputClassifier(LogisticRegression())
    stacked = stack(clf, final_estimator=around).fit(X, y)
    of_labels = stacked.final_estimator_.predict_proba(stacked.transform(X))
    absent = np.column_stack([proba[:, 0] for proba in of_labels])
    np.testing.assert_allclose(stacked.predict_proba(X), absent)


MISLEADS = {
    "``cv=5``": five_neither_shuffles_nor_stratifies,
    '``scoring="neg_log_loss"``': log_loss_counts_positives_only,
    "``score``": score_is_subset_accuracy,
    '``scoring="roc_auc"`` on small folds': roc_auc_is_not_defined_without_positives,
    "``StackingClassifier`` of two labels": a_stack_of_two_labels_loses_the_first,
    "``StackingClassifier`` around ``MultiOutputClassifier``": (
        a_stack_of_multi_output_is_upside_down
    ),
}


@pytest.mark.parametrize("row", MISLEADS)
def test_this_misleads(row, clf, emails):
    assert list(read_table("scikit_learn.rst", "What misleads")) == list(MISLEADS)
    MISLEADS[row](clf, *emails)

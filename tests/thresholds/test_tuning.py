"""From scores to thresholds: the public function, its checks and its shrinkage."""

import numpy as np
import pandas as pd
import pytest

from skbert.metrics import nan_f1_score
from skbert.thresholds import find_thresholds
from skbert.thresholds.curves import Domain
from skbert.thresholds.tuning import shrink


@pytest.fixture
def scored():
    """300 rows with 6 labels, the last one rare, and scores that know something."""
    rng = np.random.default_rng(0)
    y = (rng.random((300, 6)) < [0.5, 0.4, 0.3, 0.2, 0.1, 0.02]).astype(float)
    return y, np.clip(0.3 * y + 0.7 * rng.random(y.shape), 0, 1)


def f1(y, proba, thresholds, average="macro"):
    return nan_f1_score(y, proba >= thresholds, average=average)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_thresholds_per_label_beat_a_shared_one_on_their_data(scored, average):
    y, proba = scored
    scoring = f"f1_{average}"
    own = find_thresholds(y, proba, scoring=scoring, shrinkage=0)
    shared = find_thresholds(y, proba, scoring=scoring, per_label=False)
    assert len(set(shared)) == 1
    scores = [f1(y, proba, t, average) for t in (own, shared, 0.5)]
    assert scores[0] > scores[1] > scores[2]


def test_shrinkage_moves_rare_labels_most(scored):
    y, proba = scored
    own = find_thresholds(y, proba, shrinkage=0)
    shared = find_thresholds(y, proba, per_label=False)
    shrunk = find_thresholds(y, proba, shrinkage=10)
    moved = np.abs(shrunk - own) / np.abs(shared - own)
    assert moved[5] > moved[4] > moved[0] > 0
    far = find_thresholds(y, proba, shrinkage=1e12)
    np.testing.assert_allclose(far, shared, rtol=1e-6)


def test_the_weight_is_the_credibility_of_the_positives():
    own, positives = np.array([0.8, 0.8, np.nan]), np.array([30.0, 0.0, 5.0])
    unbounded = Domain(-np.inf, np.inf)
    got = shrink(own, 0.4, positives, 10.0, unbounded)
    np.testing.assert_allclose(got, [0.75 * 0.8 + 0.25 * 0.4, 0.4, 0.4])
    # Probabilities are averaged as log-odds: ln 4 and 0 give ln 4 / 2.
    got = shrink(np.array([0.8]), 0.5, np.array([10.0]), 10.0, Domain())
    assert got[0] == pytest.approx(2 / 3)


def test_what_is_not_shrunk_stays_as_it_was():
    own = np.array([0.1, 1.0, 0.0])
    got = shrink(own, 0.3, np.array([1.0, 2.0, 3.0]), 0.0, Domain())
    assert got.tolist() == own.tolist()


def test_a_label_without_positives_gets_the_shared_threshold(scored):
    y, proba = scored
    frame = pd.DataFrame(y, columns=list("abcdef"))
    frame[["b", "e"]] = 0
    with pytest.warns(UserWarning, match="2 label.*'b', 'e'") as caught:
        thresholds = find_thresholds(frame, proba)
    assert len(caught) == 1
    with pytest.warns(UserWarning):
        shared = find_thresholds(frame, proba, per_label=True, shrinkage=1e15)
    np.testing.assert_allclose(thresholds[[1, 4]], shared[[1, 4]])
    assert len(set(thresholds[[1, 4]])) == 1


def test_unknown_cells_do_not_count(scored):
    y, proba = scored
    holes = y.copy()
    holes[:40, 2] = np.nan
    misleading = proba.copy()
    misleading[:40, 2] = np.nan
    got = find_thresholds(holes, misleading, shrinkage=0)
    expected = find_thresholds(y[40:], proba[40:], shrinkage=0)
    assert got[2] == expected[2]


def test_rows_without_weight_do_not_count(scored):
    y, proba = scored
    weight = np.ones(300)
    weight[:40] = 0
    got = find_thresholds(y, proba, sample_weight=weight)
    expected = find_thresholds(y[40:], proba[40:])
    np.testing.assert_array_equal(got, expected)


def test_one_label_may_come_as_a_vector(scored):
    y, proba = scored
    got = find_thresholds(y[:, 0].astype(int), proba[:, 0])
    np.testing.assert_array_equal(got, find_thresholds(y[:, :1], proba[:, :1]))


def test_decision_values_have_thresholds_of_any_size(scored):
    y, proba = scored
    values = 50 * (proba - 0.9)
    own = find_thresholds(y, values, response_method="decision_function", shrinkage=0)
    assert own.min() < 0
    expected = find_thresholds(y, proba, shrinkage=0)
    np.testing.assert_array_equal(values >= own, proba >= expected)


def test_a_required_recall_is_reached_and_no_more(scored):
    y, proba = scored
    thresholds = find_thresholds(
        y,
        proba,
        scoring="precision_at_recall",
        scoring_params={"recall": 0.8},
        shrinkage=0,
    )
    recall = ((proba >= thresholds) * y).sum(0) / y.sum(0)
    assert (recall >= 0.8).all()
    assert recall[0] < 0.82


def test_nothing_is_predicted_where_no_threshold_has_the_precision():
    y = np.array([[0.0], [1.0], [0.0]])
    proba = np.array([[0.9], [0.5], [0.4]])
    threshold = find_thresholds(
        y,
        proba,
        scoring="recall_at_precision",
        scoring_params={"precision": 0.9},
        shrinkage=0,
    )
    assert threshold[0] > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_score": np.zeros((300, 5))}, r"shape \(300, 5\), y has \(300, 6\)"),
        ({"y_score": np.full((300, 6), np.nan)}, "NaN or infinity"),
        ({"y_score": np.full((300, 6), 1.5)}, "decision_function"),
        ({"y_true": np.zeros((300, 6))}, "No label has a known positive"),
        ({"scoring": "accuracy"}, "method='optuna'"),
        ({"response_method": "predict"}, "response_method"),
        ({"sample_weight": np.ones(3)}, "sample_weight"),
        ({"sample_weight": np.full(300, 1e305)}, "overflow"),
        ({"shrinkage": -1}, "shrinkage"),
        ({"per_label": "no"}, "per_label"),
    ],
)
def test_wrong_input_is_an_error_that_says_what_is_wrong(scored, change, message):
    y, proba = scored
    with pytest.raises(ValueError, match=message):
        find_thresholds(**({"y_true": y, "y_score": proba} | change))


def test_shrinkage_never_leaves_the_range_between_own_and_shared():
    # Probabilities of voting classifiers are often exactly 0 or 1.
    rng = np.random.default_rng(0)
    for levels in (1, 2, 5):
        for _ in range(50):
            y = (rng.random((30, 3)) < 0.3).astype(int)
            y[0] = 1
            proba = rng.integers(0, levels + 1, size=y.shape) / levels
            own = find_thresholds(y, proba, shrinkage=0)
            shared = find_thresholds(y, proba, per_label=False)
            shrunk = find_thresholds(y, proba, shrinkage=3)
            assert (shrunk >= np.minimum(own, shared)).all()
            assert (shrunk <= np.maximum(own, shared)).all()


def test_an_own_threshold_of_zero_does_not_drag_to_zero():
    got = shrink(np.array([0.4]), 0.0, np.array([10.0]), 10.0, Domain())
    assert got[0] == pytest.approx(0.2)


def test_tiny_probabilities_are_shrunk_like_any_others(scored):
    y, proba = scored
    tiny = find_thresholds(y, proba * 1e-20)
    assert ((proba * 1e-20 >= tiny).sum(0) > 0).all()


def test_a_requirement_is_met_with_the_default_shrinkage(scored):
    y, proba = scored
    thresholds = find_thresholds(
        y, proba, scoring="precision_at_recall", scoring_params={"recall": 0.8}
    )
    assert (((proba >= thresholds) * y).sum(0) / y.sum(0) >= 0.8).all()


def test_repeated_rows_are_shrunk_like_weighted_ones(scored):
    y, proba = scored
    weight = np.full(300, 2.0)
    np.testing.assert_allclose(
        find_thresholds(y, proba, sample_weight=weight),
        find_thresholds(np.vstack([y, y]), np.vstack([proba, proba])),
    )


def test_columns_in_another_order_are_an_error(scored):
    y, proba = scored
    frame = pd.DataFrame(y, columns=list("abcdef"))
    answers = pd.DataFrame(proba, columns=list("bacdef"))
    with pytest.raises(ValueError, match="another order"):
        find_thresholds(frame, answers)


def test_sums_that_round_are_still_probabilities(scored):
    y, proba = scored
    proba = proba.copy()
    proba[0, 0] = 1 + 2e-16
    assert np.isfinite(find_thresholds(y, proba)).all()


def test_balanced_accuracy_needs_negatives():
    with pytest.raises(ValueError, match="a known positive and a known negative"):
        find_thresholds([[1], [1]], [[0.1], [0.2]], scoring="balanced_accuracy")

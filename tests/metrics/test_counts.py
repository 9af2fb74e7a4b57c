"""Tests of skbert.metrics."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    jaccard_score,
    log_loss,
    make_scorer,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.multioutput import MultiOutputClassifier

from skbert.metrics import (
    multilabel_log_loss,
    nan_accuracy_score,
    nan_average_precision_score,
    nan_balanced_accuracy_score,
    nan_f1_score,
    nan_fbeta_score,
    nan_jaccard_score,
    nan_ndcg_score,
    nan_precision_score,
    nan_recall_score,
    nan_roc_auc_score,
    precision_at_k,
    recall_at_k,
)

AVERAGES = ["macro", "micro", "samples", "weighted", None]
RANKING = [
    (nan_average_precision_score, average_precision_score),
    (nan_roc_auc_score, roc_auc_score),
]
COUNTS = [
    (nan_f1_score, f1_score),
    (partial(nan_fbeta_score, beta=2), partial(fbeta_score, beta=2)),
    (partial(nan_fbeta_score, beta=0), partial(fbeta_score, beta=0)),
    (nan_jaccard_score, jaccard_score),
    (nan_precision_score, precision_score),
    (nan_recall_score, recall_score),
]
PER_LABEL = [ours for ours, _ in [*COUNTS, *RANKING]]
ON_PRED = [
    *(ours for ours, _ in COUNTS),
    nan_accuracy_score,
    nan_balanced_accuracy_score,
]
ON_PROBA = [
    nan_average_precision_score,
    partial(nan_average_precision_score, average="samples"),
    nan_roc_auc_score,
    multilabel_log_loss,
    partial(precision_at_k, k=2),
    partial(recall_at_k, k=2),
    nan_ndcg_score,
    partial(nan_ndcg_score, k=2),
]


def with_unknown(y_true, share=0.3):
    y = y_true.astype(float)
    y[np.random.default_rng(1).random(y.shape) < share] = np.nan
    return y


# --- without NaN: scikit-learn's values --------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize(("ours", "theirs"), COUNTS)
def test_scores_from_counts_are_those_of_scikit_learn(
    answers, ours, theirs, average, weighted
):
    y_true, _, y_pred, weight = answers
    y_pred[:, 4] = 0  # a label that is never predicted
    kwargs = {"average": average, "sample_weight": weight if weighted else None}
    np.testing.assert_allclose(
        ours(y_true, y_pred, **kwargs),
        theirs(y_true, y_pred, zero_division=0, **kwargs),
        rtol=1e-12,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize(("ours", "theirs"), RANKING)
def test_ranking_scores_are_those_of_scikit_learn(
    answers, ours, theirs, average, weighted
):
    y_true, y_proba, _, weight = answers
    kwargs = {"average": average, "sample_weight": weight if weighted else None}
    np.testing.assert_allclose(
        ours(y_true, y_proba, **kwargs), theirs(y_true, y_proba, **kwargs), rtol=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_is_that_of_scikit_learn(answers, weighted):
    y_true, _, y_pred, weight = answers
    weight = weight if weighted else None
    assert nan_accuracy_score(y_true, y_pred, sample_weight=weight) == pytest.approx(
        accuracy_score(y_true, y_pred, sample_weight=weight), rel=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_average_precision_of_rows_is_that_of_scikit_learn(answers, weighted):
    y_true, y_proba, _, weight = answers
    weight = weight if weighted else np.ones(len(y_true))
    rows = y_true.any(axis=1)  # scikit-learn warns of the others and counts them as 0
    assert not rows.all()
    expected = average_precision_score(
        y_true[rows], y_proba[rows], average="samples", sample_weight=weight[rows]
    )
    ours = nan_average_precision_score(
        y_true, y_proba, average="samples", sample_weight=weight
    )
    assert isinstance(ours, float)
    assert ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_accuracy_is_the_mean_of_the_labels(answers, weighted):
    y_true, _, y_pred, weight = answers
    weight = weight if weighted else None
    expected = [
        balanced_accuracy_score(y_true[:, j], y_pred[:, j], sample_weight=weight)
        for j in range(y_true.shape[1])
    ]
    ours = nan_balanced_accuracy_score(y_true, y_pred, sample_weight=weight)
    assert ours == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss_is_the_mean_of_the_labels_log_losses(answers, weighted):
    y_true, y_proba, _, weight = answers
    weight = weight if weighted else None
    expected = np.mean(
        [
            log_loss(y_true[:, j], y_proba[:, j], sample_weight=weight)
            for j in range(y_true.shape[1])
        ]
    )
    ours = multilabel_log_loss(y_true, y_proba, sample_weight=weight)
    assert ours == pytest.approx(expected, rel=1e-12)


def test_log_loss_prefers_honest_probabilities_to_saying_yes_to_everything():
    y_true = np.array([[1, 0, 0, 0], [0, 1, 0, 0]])
    honest = np.where(y_true == 1, 0.7, 0.2)
    yes = np.full(y_true.shape, 0.999)
    assert multilabel_log_loss(y_true, honest) < multilabel_log_loss(y_true, yes)
    # What it is for: scikit-learn's loss has it the wrong way round, and warns.
    with pytest.warns(UserWarning, match="do not sum to one"):
        assert log_loss(y_true, honest) > log_loss(y_true, yes)


def test_log_loss_of_a_sure_and_wrong_answer_is_finite():
    eps = np.finfo(np.float64).eps
    loss = multilabel_log_loss([[1.0, 0.0]], np.array([[0, 1]], dtype=np.float32))
    assert loss == pytest.approx(-np.log(eps), rel=1e-6)


def test_one_column_is_one_label(answers):
    y_true, y_proba, y_pred = (a[:, :1] for a in answers[:3])
    expected = f1_score(y_true[:, 0], y_pred[:, 0])
    for average in ("macro", "micro", "weighted"):
        score = nan_f1_score(y_true, y_pred, average=average)
        assert score == pytest.approx(expected, rel=1e-12)
    assert nan_f1_score(y_true, y_pred, average=None).shape == (1,)
    assert nan_roc_auc_score(y_true, y_proba) == pytest.approx(
        roc_auc_score(y_true[:, 0], y_proba[:, 0]), rel=1e-12
    )


# --- with NaN: as if the unknown cells were not there -------------------------------


@pytest.mark.parametrize("ours", PER_LABEL)
def test_labels_are_scored_on_their_known_rows(answers, ours):
    y_true, y_proba, y_pred, weight = answers
    answer = y_pred if ours in ON_PRED else y_proba
    y_nan = with_unknown(y_true, share=0.2)
    expected = []
    for j in range(y_true.shape[1]):
        known = ~np.isnan(y_nan[:, j])
        column = (y_true[known, j : j + 1], answer[known, j : j + 1])
        expected.append(ours(*column, sample_weight=weight[known]))
    assert np.isfinite(expected).all()
    got = ours(y_nan, answer, average=None, sample_weight=weight)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    macro = ours(y_nan, answer, sample_weight=weight)
    assert isinstance(macro, float)
    assert macro == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("ours", PER_LABEL)
def test_micro_is_the_score_of_the_known_cells(answers, ours):
    y_true, y_proba, y_pred, _ = answers
    answer = y_pred if ours in ON_PRED else y_proba
    y_nan = with_unknown(y_true)
    known = ~np.isnan(y_nan)
    expected = ours(y_true[known][:, np.newaxis], answer[known][:, np.newaxis])
    micro = ours(y_nan, answer, average="micro")
    assert isinstance(micro, float)
    assert micro == pytest.approx(expected, rel=1e-12)


def test_log_loss_is_the_mean_over_the_known_cells(answers):
    y_true, y_proba, _, weight = answers
    y_nan = with_unknown(y_true)
    known = ~np.isnan(y_nan)
    cell_weight = np.broadcast_to(weight[:, np.newaxis], known.shape)[known]
    expected = log_loss(y_true[known], y_proba[known], sample_weight=cell_weight)
    got = multilabel_log_loss(y_nan, y_proba, sample_weight=weight)
    assert got == pytest.approx(expected, rel=1e-12)


def test_average_precision_of_rows_leaves_unknown_labels_out(answers):
    y_true, y_proba, _, weight = answers
    y_nan = with_unknown(y_true)
    values, weights = [], []
    for truth, scores, w in zip(y_nan, y_proba, weight, strict=True):
        known = ~np.isnan(truth)
        if truth[known].any():
            values.append(average_precision_score(truth[known], scores[known]))
            weights.append(w)
    ours = partial(nan_average_precision_score, y_nan, average="samples")
    assert ours(y_proba) == pytest.approx(np.mean(values), rel=1e-12)
    assert ours(y_proba, sample_weight=weight) == pytest.approx(
        np.average(values, weights=weights), rel=1e-12
    )
    # Decision values of any size, down to the most negative ones, rank the same.
    assert ours(1e300 * (y_proba - 1)) == pytest.approx(np.mean(values), rel=1e-12)


def test_balanced_accuracy_leaves_out_labels_with_one_known_class():
    nan = np.nan
    y_true = np.array([[1, 1, 0, nan], [0, 1, nan, nan], [0, nan, 0, nan]])
    y_pred = np.array([[1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 1, 1]])
    assert nan_balanced_accuracy_score(y_true, y_pred) == 0.75
    weight = [1, 3, 1]
    weighted = nan_balanced_accuracy_score(y_true, y_pred, sample_weight=weight)
    assert weighted == (1 + 1 / 4) / 2


@pytest.mark.parametrize("score", [*ON_PRED, *ON_PROBA])
def test_a_weight_is_a_number_of_repetitions(answers, score):
    y_true, y_proba, y_pred, weight = answers
    answer = y_pred if score in ON_PRED else y_proba
    y_nan, times = with_unknown(y_true), weight.astype(int)
    repeated = score(np.repeat(y_nan, times, axis=0), np.repeat(answer, times, axis=0))
    assert np.isfinite(repeated)
    weighted = score(y_nan, answer, sample_weight=weight)
    assert weighted == pytest.approx(repeated, rel=1e-12)


def test_samples_f1_and_accuracy_look_at_the_known_cells_of_a_row():
    nan = np.nan
    y_true = np.array([[1, 0, nan], [nan, nan, nan], [0, nan, 1]])
    y_pred = np.array([[1, 0, 1], [1, 1, 1], [1, 0, 1]])
    # Row 0 is right, row 1 is unknown, row 2 has one hit and one false alarm.
    weight = [1, 5, 3]
    assert nan_accuracy_score(y_true, y_pred) == 0.5
    assert nan_accuracy_score(y_true, y_pred, sample_weight=weight) == 0.25
    samples = partial(nan_f1_score, y_true, y_pred, average="samples")
    assert samples() == pytest.approx((1 + 2 / 3) / 2)
    assert samples(sample_weight=weight) == pytest.approx((1 + 3 * 2 / 3) / 4)


@pytest.mark.parametrize("score", [*ON_PRED, *ON_PROBA])
def test_what_is_answered_where_nothing_is_known_does_not_matter(answers, score):
    y_true, y_proba, y_pred, _ = answers
    answer = (y_pred if score in ON_PRED else y_proba).astype(float)
    y_nan = with_unknown(y_true)
    changed = np.where(np.isnan(y_nan), np.nan, answer)
    assert score(y_nan, changed) == score(y_nan, answer)


@pytest.mark.parametrize("score", [*ON_PRED, *ON_PROBA])
def test_rows_of_weight_zero_are_as_good_as_absent(answers, score):
    y_true, y_proba, y_pred, weight = answers
    answer = y_pred if score in ON_PRED else y_proba
    # All positives of the last label weigh nothing: it must drop out, silently.
    weight = np.where(y_true[:, 4] == 1, 0.0, weight)
    present = weight > 0
    assert not present.all()
    expected = score(y_true[present], answer[present], sample_weight=weight[present])
    assert np.isfinite(expected)
    got = score(y_true, answer, sample_weight=weight)
    assert got == pytest.approx(expected, rel=1e-12)


# --- where a score is not defined ----------------------------------------------------


def test_labels_without_a_positive_or_a_negative_are_skipped():
    nan = np.nan
    # Label 0 has both classes, 1 positives only, 2 negatives only, 3 is unknown.
    y_true = np.array([[1, 1, 0, nan], [0, 1, 0, nan], [nan, 1, 0, nan]])
    scores = np.array([[0.2, 0.5, 0.5, 0.5], [0.6, 0.4, 0.3, 0.2], [1, 0, 0, 0]])
    precision = nan_average_precision_score(y_true, scores, average=None)
    np.testing.assert_array_equal(precision, [0.5, 1, nan, nan])
    assert nan_average_precision_score(y_true, scores) == 0.75
    auc = nan_roc_auc_score(y_true, scores, average=None)
    np.testing.assert_array_equal(auc, [0, nan, nan, nan])
    assert nan_roc_auc_score(y_true, scores) == 0


def test_f1_of_a_label_without_positives_is_0_and_of_an_unknown_one_nan():
    y_true = np.array([[1, 0, np.nan], [1, 0, np.nan]])
    y_pred = np.array([[1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(
        nan_f1_score(y_true, y_pred, average=None), [1, 0, np.nan]
    )
    assert nan_f1_score(y_true, y_pred) == 0.5
    assert nan_f1_score(y_true, y_pred, average="weighted") == 1
    assert nan_f1_score(1 - y_true[:, :1], y_pred[:, :1], average="weighted") == 0


@pytest.mark.parametrize(
    "score",
    [
        *(partial(nan_f1_score, average=average) for average in AVERAGES[:4]),
        *(partial(s, average=a) for s, _ in RANKING for a in AVERAGES[:2]),
        *(partial(s, average="weighted") for s, _ in RANKING),
        *ON_PRED,
        *ON_PROBA,
    ],
)
def test_nothing_known_scores_nan(score):
    unknown = np.full((3, 2), np.nan)
    value = score(unknown, np.zeros((3, 2)))
    assert isinstance(value, float)
    assert np.isnan(value)
    assert np.isnan(score(np.eye(3), np.eye(3), sample_weight=np.zeros(3)))


# --- input ---------------------------------------------------------------------------


@pytest.mark.parametrize("score", [*ON_PRED, *ON_PROBA])
def test_frames_sparse_matrices_and_lists_are_taken(answers, score):
    y_true, y_proba, y_pred, _ = answers
    answer = y_pred if score in ON_PRED else y_proba
    expected = score(y_true, answer)
    assert score(pd.DataFrame(y_true), pd.DataFrame(answer)) == expected
    assert score(sparse.csr_array(y_true), sparse.csr_array(answer)) == expected
    assert score(y_true.tolist(), answer.tolist()) == expected
    assert score(y_true.astype(bool), answer) == expected


@pytest.mark.parametrize("score", [*ON_PRED, *ON_PROBA])
def test_wrong_shapes_and_weights_are_refused(score):
    y = np.eye(3)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), y_true has \(3, 3\)"):
        score(y, y[:, :2])
    with pytest.raises(ValueError, match=r"y_true\[:, np.newaxis\]"):
        score([0, 1, 0], [0, 1, 0])
    with pytest.raises(ValueError, match="y must hold 0, 1 or NaN"):
        score(2 * y, y)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(2,\)"):
        score(y, y, sample_weight=[1, 1])
    for bad in (-1, np.nan):
        with pytest.raises(ValueError, match="finite and not negative"):
            score(y, y, sample_weight=[1, 1, bad])


@pytest.mark.parametrize("score", ON_PRED)
def test_predictions_that_are_not_0_or_1_are_refused(score):
    for bad in (0.5, 2, np.nan):
        with pytest.raises(ValueError, match="0 and 1 only"):
            score([[0, 1]], [[0, bad]])


@pytest.mark.parametrize("score", ON_PROBA)
def test_scores_that_are_not_finite_are_refused(score):
    for bad in (np.inf, np.nan):
        with pytest.raises(ValueError, match="NaN or infinity"):
            score([[0, 1]], [[0, bad]])


def test_log_loss_refuses_what_is_no_probability():
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            multilabel_log_loss([[0, 1]], [[0, bad]])
    # Decision values are fine for rankings.
    assert nan_roc_auc_score([[0], [1]], [[-3], [7]]) == 1


@pytest.mark.parametrize("score", PER_LABEL)
def test_unknown_averages_are_refused(score):
    with pytest.raises(ValueError, match=r"average must be .* got 'median'"):
        score(np.eye(2), np.eye(2), average="median")


def test_a_beta_that_is_no_finite_number_from_0_is_refused():
    for bad in (-1, np.inf, np.nan, "2"):
        with pytest.raises(ValueError, match="beta must be a finite number of at"):
            nan_fbeta_score(np.eye(2), np.eye(2), beta=bad)


@pytest.mark.parametrize("score", [nan_f1_score, nan_roc_auc_score])
def test_a_vector_answers_for_one_label_and_for_no_more(score):
    column = np.array([[1], [0], [1]])
    assert score(column, column[:, 0]) == 1
    with pytest.raises(ValueError, match=r"same. In a scorer, .*BinaryRelevance"):
        score(np.eye(2), [1, 0])
    with pytest.raises(ValueError, match="same.$"):
        score(np.eye(3), [1, 0, 1])


def test_make_scorer_takes_them_with_nan_in_y():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = (X > 0).astype(int)
    clf = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    score = make_scorer(nan_f1_score, average="micro")
    assert score(clf, X, with_unknown(y)) > 0.9

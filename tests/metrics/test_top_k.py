"""Tests of skbert.metrics.top_k."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from skbert.metrics import nan_ndcg_score, precision_at_k, recall_at_k

ALL = [precision_at_k, recall_at_k, nan_ndcg_score]


def rankings(scores):
    """Return every order of the labels in which no score rises."""
    return [
        list(order)
        for order in permutations(range(len(scores)))
        if np.all(np.diff(scores[list(order)]) <= 0)
    ]


def by_hand(score, truth, scores, k):
    """Return the mean of one row's score over its rankings, nan if undefined."""
    known = ~np.isnan(truth)
    truth, scores = truth[known], scores[known]
    if not known.any() or (score is recall_at_k and not truth.any()):
        return np.nan
    ranked = np.array([truth[order[:k]] for order in rankings(scores)])
    if score is precision_at_k:
        return ranked.mean()
    if score is recall_at_k:
        return ranked.sum(axis=1).mean() / truth.sum()
    discount = 1 / np.log2(np.arange(len(truth)) + 2)
    best = np.sort(truth)[::-1][:k] @ discount[:k]
    return (ranked @ discount[:k]).mean() / best if best else 0.0


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("seed", range(10))
def test_scores_are_means_over_all_ways_to_break_ties(score, seed):
    rng = np.random.default_rng(seed)
    y_true = (rng.random((12, 5)) < 0.4).astype(float)
    y_true[rng.random(y_true.shape) < 0.3] = np.nan
    y_score = rng.integers(0, 4, size=y_true.shape) / 4 - 0.5
    weight = rng.integers(0, 3, size=12).astype(float)
    weight[:3] = 1
    for k in (1, 2, 3, 5, 9):
        rows = [
            by_hand(score, *row, k=min(k, 5))
            for row in zip(y_true, y_score, strict=True)
        ]
        counts = ~np.isnan(rows)
        expected = np.average(np.array(rows)[counts], weights=weight[counts])
        got = score(y_true, y_score, k=k, sample_weight=weight)
        assert isinstance(got, float)
        assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [None, 1, 3])
def test_ndcg_is_that_of_scikit_learn(answers, k, weighted):
    y_true, y_proba, _, weight = answers
    weight = weight if weighted else None
    assert not y_true.any(axis=1).all()  # rows without positives count as 0
    assert nan_ndcg_score(y_true, y_proba, k=k, sample_weight=weight) == pytest.approx(
        ndcg_score(y_true, y_proba, k=k, sample_weight=weight), rel=1e-12
    )


@pytest.mark.parametrize("score", ALL)
def test_the_order_of_the_columns_does_not_matter(answers, score):
    y_true, y_proba, _, _ = answers
    y_proba = y_proba.round()  # many ties
    order = [3, 1, 4, 0, 2]
    expected = score(y_true, y_proba, k=2)
    assert score(y_true[:, order], y_proba[:, order], k=2) == pytest.approx(expected)


def test_a_row_with_fewer_known_labels_than_k_is_looked_at_whole():
    y_true = np.array([[1, 0, np.nan], [np.nan, 1, np.nan]])
    y_score = np.array([[0.1, 0.9, 0.5], [0.1, 0.2, 0.3]])
    assert precision_at_k(y_true, y_score, k=3) == (1 / 2 + 1) / 2
    assert recall_at_k(y_true, y_score, k=3) == 1


def test_rows_that_say_nothing_do_not_count():
    y_true = np.array([[1, 0], [0, 0], [np.nan, np.nan]])
    y_score = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    assert precision_at_k(y_true, y_score, k=1) == 0.5
    assert recall_at_k(y_true, y_score, k=1) == 1
    assert nan_ndcg_score(y_true, y_score, k=1) == 0.5
    assert np.isnan(recall_at_k(y_true[1:], y_score[1:], k=1))


@pytest.mark.parametrize("score", ALL)
def test_a_k_that_is_no_positive_integer_is_refused(score):
    for bad in (0, -1, 1.5, "2", True):
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            score(np.eye(2), np.eye(2), k=bad)
    assert score(np.eye(2), np.eye(2), k=np.int64(1)) == 1


def test_one_label_can_be_looked_at_but_not_ranked():
    column = np.array([[1], [0], [1]])
    assert precision_at_k(column, column, k=1) == pytest.approx(2 / 3)
    assert recall_at_k(column, column, k=1) == 1
    for score in (nan_ndcg_score, partial(nan_ndcg_score, k=1)):
        with pytest.raises(ValueError, match="one label.*average precision"):
            score(column, column)

"""Exact search against brute force, on small random problems of every kind."""

from itertools import product

import numpy as np
import pytest

from skbert.inputs.targets import encode_targets
from skbert.metrics import (
    nan_balanced_accuracy_score,
    nan_fbeta_score,
    nan_jaccard_score,
    nan_precision_score,
)
from skbert.thresholds.curves import Domain, full_curve, thresholds_at
from skbert.thresholds.exact import TuningData, best_per_label, best_shared
from skbert.thresholds.objectives import count, resolve_objective

N_PROBLEMS = 1000
UNBOUNDED = Domain(-np.inf, np.inf)

OBJECTIVES = {
    **{
        f"{family}_{average}": params
        for family, params in {
            "f1": None,
            "fbeta": {"beta": 2.0},
            "jaccard": None,
        }.items()
        for average in ("macro", "micro", "weighted")
    },
    "balanced_accuracy": None,
    "precision_at_recall": {"recall": 0.6},
    "recall_at_precision": {"precision": 0.7},
}


def random_problem(rng, n_most=7, n_labels_most=3):
    """A few rows and labels, with ties, constant and unknown labels, and weights."""
    n = rng.integers(2, n_most + 1)
    n_labels = rng.integers(1, n_labels_most + 1)
    levels = rng.choice([2, 5, 1000])
    scores = rng.integers(0, levels + 1, size=(n, n_labels)) / levels
    y = (rng.random((n, n_labels)) < rng.uniform(0.1, 0.9, n_labels)).astype(float)
    if rng.random() < 0.3:
        y[:, 0] = rng.integers(0, 2)
    if rng.random() < 0.4:
        y[rng.random(y.shape) < 0.3] = np.nan
    if rng.random() < 0.1:
        y[:, -1] = np.nan
    weight = rng.integers(1, 5, size=n) / 2 if rng.random() < 0.4 else None
    domain = UNBOUNDED if rng.random() < 0.3 else Domain()
    return TuningData(encode_targets(y), scores, weight, domain)


def candidates(scores, domain):
    """One threshold for every way to cut: each score, and above all of them."""
    above = [np.inf] if scores.max(initial=0) < domain.high else []
    return np.array([*np.unique(scores), *above])


def tables(data, chosen):
    """Hits, predictions, positives and all, per label; written anew for the test."""
    rows = np.ones(len(data.scores)) if data.weight is None else data.weight
    cells = rows[:, np.newaxis] * data.targets.known
    truth = data.targets.values
    return (
        (cells * truth * chosen).sum(0),
        (cells * chosen).sum(0),
        (cells * truth).sum(0),
        cells.sum(0),
    )


def divided(a, b):
    return np.where(b > 0, a / np.where(b > 0, b, 1), 0.0)


def brute_value(family, params, tp, predicted, positives, total):
    if family in ("f1", "fbeta"):
        b = params["beta"] ** 2 if params else 1.0
        return divided((1 + b) * tp, predicted + b * positives)
    if family == "jaccard":
        return divided(tp, predicted + positives - tp)
    if family == "balanced":
        negatives = total - positives
        tn = negatives - (predicted - tp)
        return (divided(tp, positives) + divided(tn, negatives)) / 2
    precision, recall = divided(tp, predicted), divided(tp, positives)
    if family == "precision":
        return np.where(recall >= params["recall"] - 1e-9, precision, -1.0)
    allowed = (predicted == 0) | (precision >= params["precision"] - 1e-9)
    return np.where(allowed, recall, -1.0)


def tunable(name, data):
    ok = data.targets.positives > 0
    if name == "balanced_accuracy":
        ok &= ~data.targets.constant
    return np.flatnonzero(ok)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if "micro" not in n])
def test_a_threshold_per_label_is_the_best_there_is(name):
    params, family = OBJECTIVES[name], name.split("_")[0]
    objective = resolve_objective(name, params)
    rng = np.random.default_rng(0)
    for _ in range(N_PROBLEMS):
        data = random_problem(rng)
        found = best_per_label(data, objective)
        labels = tunable(name, data)
        assert np.flatnonzero(~np.isnan(found)).tolist() == labels.tolist()
        for label in labels:
            known = data.targets.known[:, label]
            values = [
                brute_value(family, params, *tables(data, data.scores >= t))[label]
                for t in candidates(data.scores[known, label], data.domain)
            ]
            thresholds = np.full(data.scores.shape[1], found[label])
            counts = tables(data, data.scores >= thresholds)
            got = brute_value(family, params, *counts)[label]
            assert got == pytest.approx(max(values), abs=1e-12)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if "micro" in n])
def test_thresholds_for_a_micro_average_are_the_best_together(name):
    params, family = OBJECTIVES[name], name.split("_")[0]
    objective = resolve_objective(name, params)
    rng = np.random.default_rng(1)
    for _ in range(N_PROBLEMS):
        data = random_problem(rng, n_most=5)
        labels = tunable(name, data)
        found = best_per_label(data, objective)
        assert np.flatnonzero(~np.isnan(found)).tolist() == labels.tolist()
        if len(labels) == 0:
            continue
        choices = [
            candidates(data.scores[data.targets.known[:, label], label], data.domain)
            for label in labels
        ]
        parts = [
            np.array(
                [np.array(tables(data, data.scores >= t))[:, label] for t in of_label]
            )
            for label, of_label in zip(labels, choices, strict=True)
        ]
        sums = np.array([sum(rows) for rows in product(*parts)])
        best = brute_value(family, params, *sums.T).max()
        counts = np.array(tables(data, data.scores >= found))[:, labels].sum(1)
        got = brute_value(family, params, *counts)
        assert got == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("n_edges", [2, 512])
def test_one_threshold_for_all_is_the_best_there_is(name, n_edges, monkeypatch):
    # With two edges nearly every cut is left to the bounds.
    monkeypatch.setattr("skbert.thresholds.exact._N_EDGES", n_edges)
    params, family = OBJECTIVES[name], name.split("_")[0]
    objective = resolve_objective(name, params)
    is_pooled = "micro" in name or "_at_" in name
    rng = np.random.default_rng(2)
    for _ in range(N_PROBLEMS // 5):
        data = random_problem(rng, n_most=12)
        found = best_shared(data, objective)
        if not data.targets.positives.any():
            assert np.isnan(found)
            continue

        def value(threshold, data=data):
            counts = np.array(tables(data, data.scores >= threshold))
            if is_pooled:
                return float(brute_value(family, params, *counts.sum(1)))
            values = brute_value(family, params, *counts)
            weight = counts[3] > 0
            if name == "balanced_accuracy":
                weight &= (counts[2] > 0) & (counts[2] < counts[3])
            if "weighted" in name:
                weight = counts[2]
            return np.average(values, weights=weight) if weight.any() else 0.0

        every = candidates(data.scores[data.targets.known], data.domain)
        best = max(value(threshold) for threshold in every)
        assert value(found) == pytest.approx(best, abs=1e-12)


def test_a_threshold_lies_between_the_scores_that_it_parts():
    scores = np.array([np.inf, 0.75, 0.25])
    cuts = np.arange(3)
    assert thresholds_at(scores, cuts, Domain()).tolist() == [0.875, 0.5, 0.125]
    assert thresholds_at(scores, cuts, UNBOUNDED).tolist() == [0.875, 0.5, 0.125]
    neighbours = np.array([np.inf, np.nextafter(0.5, 1), 0.5])
    assert thresholds_at(neighbours, np.array([1]), Domain())[0] == neighbours[1]


def test_nothing_in_the_domain_is_above_a_probability_of_one():
    scores = np.array([np.inf, 1.0, 0.0])
    first, *_, last = thresholds_at(scores, np.arange(3), Domain())
    assert np.isnan(first)
    assert last == 0.0
    assert thresholds_at(scores, np.array([0]), UNBOUNDED)[0] > 1


def test_a_curve_counts_rows_from_the_highest_score_down():
    truth = np.array([1.0, 0, 1, 0, 1])
    scores = np.array([0.9, 0.7, 0.7, 0.2, 0.1])
    curve = full_curve(truth, scores)
    assert curve.scores.tolist() == [np.inf, 0.9, 0.7, 0.2, 0.1]
    assert curve.counts.tp.tolist() == [0, 1, 2, 2, 3]
    assert curve.counts.predicted.tolist() == [0, 1, 3, 4, 5]
    assert curve.gains.tolist() == [1, 2, 4]
    assert curve.corners.tolist() == [0, 1, 2, 4]
    assert curve.at(np.array([0.7, 0.5, 2.0])).tolist() == [2, 2, 0]


def test_repeating_a_row_is_the_same_as_its_weight():
    rng = np.random.default_rng(3)
    y = (rng.random((40, 3)) < 0.3).astype(float)
    scores = np.clip(0.4 * y + rng.random(y.shape), 0, 1).round(2)
    weight = rng.integers(1, 4, size=40)
    repeated = np.repeat(np.arange(40), weight)
    for name, params in OBJECTIVES.items():
        objective = resolve_objective(name, params)
        heavy = TuningData(encode_targets(y), scores, weight.astype(float))
        long = TuningData(encode_targets(y[repeated]), scores[repeated])
        for search in (best_per_label, best_shared):
            np.testing.assert_allclose(
                search(heavy, objective), search(long, objective), err_msg=name
            )


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_objectives_score_as_the_metrics_do(average):
    rng = np.random.default_rng(4)
    y = (rng.random((50, 4)) < 0.3).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    chosen = rng.random(y.shape) < 0.4
    weight = rng.random(50)
    counts = count(encode_targets(y), chosen, weight)
    for name, metric, params in (
        ("fbeta", nan_fbeta_score, {"beta": 0.5}),
        ("jaccard", nan_jaccard_score, {}),
    ):
        objective = resolve_objective(f"{name}_{average}", params)
        expected = metric(y, chosen, average=average, sample_weight=weight, **params)
        assert objective.score(counts) == pytest.approx(expected)


def test_objectives_of_labels_score_as_the_metrics_do():
    rng = np.random.default_rng(5)
    y = (rng.random((50, 4)) < 0.3).astype(float)
    y[:, 3] = 1
    chosen = rng.random(y.shape) < 0.4
    counts = count(encode_targets(y), chosen)
    balanced = resolve_objective("balanced_accuracy").score(counts)
    assert balanced == pytest.approx(nan_balanced_accuracy_score(y, chosen))
    precision = resolve_objective("precision_at_recall", {"recall": 0.1}).score(counts)
    assert precision == pytest.approx(nan_precision_score(y, chosen))


@pytest.mark.parametrize(
    ("scoring", "params", "message"),
    [
        ("f1_marco", None, "Did you mean 'f1_macro'"),
        ("accuracy", None, "method='optuna'"),
        (len, None, "method='optuna'"),
        ("fbeta_macro", {"beta": 0}, "between 1e-6 and 1e6"),
        ("fbeta_macro", {"beta": "2"}, "between 1e-6 and 1e6"),
        ("precision_at_recall", {"recall": 1.5}, "between 0 and 1"),
    ],
)
def test_an_unknown_objective_is_an_error_with_advice(scoring, params, message):
    with pytest.raises(ValueError, match=message):
        resolve_objective(scoring, params)


@pytest.mark.parametrize(
    ("scoring", "params"),
    [("f1_macro", {"beta": 2}), ("fbeta_micro", None), ("recall_at_precision", {})],
)
def test_parameters_must_fit_the_objective(scoring, params):
    with pytest.raises(TypeError, match=f"scoring='{scoring}' takes"):
        resolve_objective(scoring, params)

"""Exact search for the thresholds with the best score on given data.

Most of the time goes into sorting the n scores of each label: O(n log n) per label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skbert.inputs.targets import Targets
from skbert.thresholds.curves import Curve, Domain, full_curve, thresholds_at
from skbert.thresholds.objectives import Counts, Objective

__all__ = ["TuningData", "best_per_label", "best_shared", "tunable_labels"]


@dataclass(frozen=True)
class TuningData:
    """Labels and scores on which thresholds are tuned.

    Attributes
    ----------
    targets : Targets
    scores : ndarray of shape (n_samples, n_labels), float64
        Finite where the targets are known.
    weight : ndarray of shape (n_samples,), float64, or None
        Positive.
    domain : Domain
    """

    targets: Targets
    scores: np.ndarray
    weight: np.ndarray | None = None
    domain: Domain = Domain()

    def take(self, rows: np.ndarray) -> TuningData:
        """Return the data of some rows."""
        return replace(
            self,
            targets=self.targets.take(rows),
            scores=self.scores[rows],
            weight=None if self.weight is None else self.weight[rows],
        )

    @property
    def positives(self) -> np.ndarray:
        """Weighted number of positives of each label, shape (n_labels,)."""
        if self.weight is None:
            return self.targets.positives
        return self.weight @ self.targets.values

    @cached_property
    def curves(self) -> list[Curve]:
        """The curve of each label."""
        return [self._curve(label) for label in range(self.targets.n_labels)]

    def _curve(self, label: int) -> Curve:
        known = self.targets.known[:, label]
        rows = slice(None) if known.all() else known
        return full_curve(
            self.targets.values[rows, label],
            self.scores[rows, label],
            None if self.weight is None else self.weight[rows],
        )


# --- a threshold per label -----------------------------------------------------------


@dataclass(frozen=True)
class _Cuts:
    """Cuts of a label that can be the best."""

    thresholds: np.ndarray
    counts: Counts

    @classmethod
    def of(cls, curve: Curve, domain: Domain) -> _Cuts:
        cuts = curve.corners
        if np.isnan(thresholds_at(curve.scores, cuts[:1], domain)[0]):
            # No threshold exceeds a probability of 1, so the strictest cut predicts it.
            cuts = np.union1d(cuts[1:], [1])
        return cls(thresholds_at(curve.scores, cuts, domain), curve.counts.at(cuts))


def best_per_label(data: TuningData, objective: Objective) -> np.ndarray:
    """Return the threshold of each label.

    Parameters
    ----------
    data : TuningData
    objective : Objective

    Returns
    -------
    ndarray of shape (n_labels,), float64
        The strictest of the best thresholds. nan for labels without a known positive,
        and for labels whose score is undefined.
    """
    thresholds = np.full(data.targets.n_labels, np.nan)
    labels = tunable_labels(data, objective)
    cuts = [_Cuts.of(data.curves[label], data.domain) for label in labels]
    if objective.average == "micro":
        chosen = _best_micro(cuts, objective)
    else:
        chosen = [_best_cut(of_label.counts, objective) for of_label in cuts]
    for label, of_label, cut in zip(labels, cuts, chosen, strict=True):
        thresholds[label] = of_label.thresholds[cut]
    return thresholds


def tunable_labels(data: TuningData, objective: Objective) -> np.ndarray:
    """Return the labels whose threshold matters, shape (n_tunable,), int."""
    positives = data.targets.positives
    nothing = Counts(0.0, 0.0, positives, data.targets.support)
    return np.flatnonzero((positives > 0) & ~np.isnan(objective.value(nothing)))


def _best_cut(counts: Counts, objective: Objective) -> int:
    """Return the strictest of the best cuts that meet the requirement."""
    values = np.nan_to_num(objective.value(counts))
    if objective.allows is not None:
        # If no cut meets it, this gives the strictest one.
        values = np.where(objective.allows(counts), values, -np.inf)
    return int(np.argmax(values))


def _best_micro(cuts: list[_Cuts], objective: Objective) -> list[int]:
    """Return the cut of each label that together have the best micro-averaged score.

    The score is a ratio of two sums over the labels. Dinkelbach's method [1]_ finds its
    maximum in several rounds without ratios. In each round, every label by itself
    maximizes ``numerator - value * denominator``, where `value` is the best score so
    far. The score rises from round to round until it is the optimum. Micro-averaged
    Jaccard rises with F1 and has the same best cuts.

    References
    ----------
    .. [1] W. Dinkelbach, "On Nonlinear Fractional Programming", Management Science 13,
       1967.
    """
    square = objective.beta**2
    positives = sum(of_label.counts.positives for of_label in cuts)
    best, chosen = -1.0, [0] * len(cuts)
    while cuts:
        value = max(best, 0.0)
        proposed = [
            int(np.argmax((1 + square) * c.counts.tp - value * c.counts.predicted))
            for c in cuts
        ]
        pairs = list(zip(cuts, proposed, strict=True))
        tp = sum(of_label.counts.tp[cut] for of_label, cut in pairs)
        predicted = sum(of_label.counts.predicted[cut] for of_label, cut in pairs)
        reached = (1 + square) * tp / (predicted + square * positives)
        if not reached > best:  # also ends on nan
            break
        best, chosen = reached, proposed
    return chosen


# --- one threshold for all ------------------------------------------------------------

# The search first evaluates this many cuts. Between them, it evaluates only those
# stretches that can hold the best cut.
_N_EDGES = 512


def best_shared(data: TuningData, objective: Objective) -> float:
    """Return the threshold that is best if all labels share it.

    Between two cuts, no score is better than that of the more generous cut's true
    positives with the stricter cut's false positives. This bound rules out most
    stretches. In the others every cut is evaluated.

    Parameters
    ----------
    data : TuningData
    objective : Objective
        If it has a requirement ("precision_at_recall"), it is computed over all cells
        together.

    Returns
    -------
    float
        nan if no label can be tuned.
    """
    curves = [curve for curve in data.curves if len(curve.scores) > 1]
    if len(tunable_labels(data, objective)) == 0:
        return float("nan")
    highest = max(curve.scores[1] for curve in curves)
    gains = [curve.scores[curve.gains] for curve in curves]
    candidates = np.unique(np.concatenate([[highest], *gains]))[::-1]
    edges = np.unique(
        np.linspace(0, len(candidates) - 1, min(_N_EDGES, len(candidates))).astype(int)
    )
    counts = _counts_at(curves, candidates[edges])
    values = _shared_values(counts, objective)
    best, winner = values.max(), int(edges[values.argmax()])
    bounds = _shared_values(_bounds(counts), objective)
    for stretch in np.flatnonzero(bounds > best):
        cuts = np.arange(edges[stretch] + 1, edges[stretch + 1])
        if len(cuts) == 0 or bounds[stretch] <= best:
            continue
        values = _shared_values(_counts_at(curves, candidates[cuts]), objective)
        if values.max() > best:
            best, winner = values.max(), int(cuts[values.argmax()])
    nothing = _shared_values(_counts_at(curves, np.array([np.inf])), objective)[0]
    return _shared_threshold(curves, candidates[winner], nothing > best, data.domain)


def _counts_at(curves: list[Curve], scores: np.ndarray) -> Counts:
    """Return the counts of all labels, as arrays of shape (n_scores, n_labels)."""
    cuts = [curve.at(scores) for curve in curves]
    pairs = list(zip(curves, cuts, strict=True))
    return Counts(
        np.stack([curve.counts.tp[cut] for curve, cut in pairs], axis=1),
        np.stack([curve.counts.predicted[cut] for curve, cut in pairs], axis=1),
        np.array([curve.counts.positives for curve in curves]),
        np.array([curve.counts.total for curve in curves]),
    )


def _bounds(counts: Counts) -> Counts:
    """Return the best possible counts in each stretch between two cuts."""
    tp, false_alarms = counts.tp, counts.predicted - counts.tp
    return replace(counts, tp=tp[1:], predicted=false_alarms[:-1] + tp[1:])


def _shared_values(counts: Counts, objective: Objective) -> np.ndarray:
    """Return the score over all labels for each row of counts."""
    if objective.average != "micro" and objective.allows is None:
        weights = objective.label_weights(replace(counts, tp=0.0, predicted=0.0))
        return np.nan_to_num(objective.value(counts)) @ (weights / weights.sum())
    pooled = counts.sum()
    values = objective.value(pooled)
    if objective.allows is None:
        return values
    return np.where(objective.allows(pooled), values, -np.inf)


def _shared_threshold(
    curves: list[Curve], score: float, is_nothing: bool, domain: Domain
) -> float:
    """Return the middle between a score and the next lower score of any label."""
    highest = max(curve.scores[1] for curve in curves)
    lowest = min(curve.scores[-1] for curve in curves)
    if is_nothing:
        nothing = np.array([np.inf, highest, lowest])
        threshold = thresholds_at(nothing, np.array([0]), domain)[0]
        if not np.isnan(threshold):
            return float(threshold)
    lower = [curve.scores[curve.at(np.array([score]))[0] + 1 :][:1] for curve in curves]
    following = np.concatenate(lower)
    scores = np.concatenate(
        [[np.inf, score], [following.max()] if len(following) else []]
    )
    return float(thresholds_at(scores, np.array([1]), domain)[0])

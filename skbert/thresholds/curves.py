"""Counts of a label at every threshold that makes a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skbert.thresholds.objectives import Counts

__all__ = ["Curve", "Domain", "full_curve", "thresholds_at"]


@dataclass(frozen=True)
class Domain:
    """Range of the possible thresholds: [0, 1] for probabilities.

    Attributes
    ----------
    low, high : float
        Infinite for decision values.
    """

    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Curve:
    """Counts at each cut, from the strictest to the most generous.

    A cut predicts all scores down to its own, inclusive.

    Attributes
    ----------
    scores : ndarray of shape (n_cuts,), float64
        Lowest score that each cut predicts, descending. The first is inf: that cut
        predicts nothing.
    counts : Counts
        True positives and predictions have shape (n_cuts,). Positives and total are
        the same for all cuts and are numbers.
    gains : ndarray of shape (n_gains,), int
        Cuts whose lowest score is that of a positive. Every other cut has a stricter
        one with as many true positives and fewer false positives.
    corners : ndarray of shape (n_corners,), int
        The first cut, and those of `gains` whose next lower score is not that of
        positives only. The best cut is among them for every metric that rises with the
        true positives and falls with the false positives.
    """

    scores: np.ndarray
    counts: Counts
    gains: np.ndarray
    corners: np.ndarray

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Return the cuts that predict all scores down to each of these."""
        return np.searchsorted(-self.scores, -scores, side="right") - 1


def full_curve(
    truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None
) -> Curve:
    """Count true positives and predictions at each distinct score.

    Parameters
    ----------
    truth : ndarray of shape (n_samples,)
        0 or 1.
    scores : ndarray of shape (n_samples,), float64
        Finite.
    weight : ndarray of shape (n_samples,), default=None
        Positive.

    Returns
    -------
    Curve
        One cut for each distinct score, and one above all scores.
    """
    order = np.argsort(-scores)
    ranked, hits = scores[order], np.cumsum(truth[order], dtype=np.float64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0))
    if weight is None:
        tp, predicted = hits[last], last + 1.0
    else:
        tp = np.cumsum((weight * truth)[order])[last]
        predicted = np.cumsum(weight[order])[last]
    tp, predicted = np.insert(tp, 0, 0.0), np.insert(predicted, 0, 0.0)
    return Curve(
        np.insert(ranked[last], 0, np.inf),
        Counts(tp, predicted, tp[-1], predicted[-1]),
        # This compares numbers of rows, because sums of weights are rounded.
        *_corners(hits[last], last + 1),
    )


def _corners(hits: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gains and corners, given hits and rows down to each distinct score."""
    gained = np.diff(hits, prepend=0)
    gains = gained > 0
    next_is_pure = np.append((gained == np.diff(rows, prepend=0))[1:], False)
    corners = np.flatnonzero(gains & ~next_is_pure) + 1
    return np.flatnonzero(gains) + 1, np.insert(corners, 0, 0)


def thresholds_at(scores: np.ndarray, cuts: np.ndarray, domain: Domain) -> np.ndarray:
    """Return the thresholds of some cuts.

    Parameters
    ----------
    scores : ndarray of shape (n_cuts,), float64
        Scores of a :class:`Curve`: inf, then distinct scores in descending order.
    cuts : ndarray of shape (n_chosen,), int
    domain : Domain

    Returns
    -------
    ndarray of shape (n_chosen,), float64
        Middle between the lowest score that is predicted and the highest one that is
        not. For the cut that predicts nothing, it is nan if the domain ends at the
        highest score.
    """
    spread = (scores[1] - scores[-1]) / 2 or 1.0
    top = scores[1] + spread if np.isinf(domain.high) else domain.high
    bottom = scores[-1] - spread if np.isinf(domain.low) else domain.low
    is_last = cuts == len(scores) - 1
    upper = np.where(cuts == 0, top, scores[cuts])
    lower = np.where(is_last, bottom, scores[np.where(is_last, 0, cuts + 1)])
    middle = lower + (upper - lower) / 2
    # Between neighbouring floats there is no middle, so take the upper one.
    thresholds = np.where(middle > lower, middle, upper)
    return np.where((cuts == 0) & (scores[1] >= top), np.nan, thresholds)

"""Curves: what a label's scores count as at every cut that makes a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skbert.thresholds.objectives import Counts

__all__ = ["Curve", "Domain", "full_curve", "thresholds_at"]


@dataclass(frozen=True)
class Domain:
    """The numbers that may be thresholds: [0, 1] for probabilities.

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

    Attributes
    ----------
    scores : ndarray of shape (n_cuts,), float64
        The last score that is predicted, descending; inf for the cut, the first, that
        predicts nothing.
    counts : Counts
        Of arrays of shape (n_cuts,); what no cut changes is a number.
    gains : ndarray of shape (n_gains,), int
        The cuts whose last scores include a positive: any other has a stricter one
        with the same hits and fewer false alarms.
    corners : ndarray of shape (n_corners,), int
        The first cut, and those of `gains` whose next scores are not all positive. No
        score that rises with the hits and falls with the false alarms is better
        anywhere else.
    """

    scores: np.ndarray
    counts: Counts
    gains: np.ndarray
    corners: np.ndarray

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Return the cuts that predict what reaches the given scores."""
        return np.searchsorted(-self.scores, -scores, side="right") - 1


def full_curve(
    truth: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None
) -> Curve:
    """Count true positives and predictions at every distinct score.

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
        Of the distinct scores, and of the cut above them all.
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
        # Rows are counted here: sums of weights would round.
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
    """Return the threshold of some cuts.

    Parameters
    ----------
    scores : ndarray of shape (n_cuts,), float64
        Of a :class:`Curve`: inf, then distinct scores in descending order.
    cuts : ndarray of shape (n_chosen,), int
    domain : Domain

    Returns
    -------
    ndarray of shape (n_chosen,), float64
        In the middle between the last score that is predicted and the first that is
        not. For the cut that predicts nothing it is nan, if nothing in the domain is
        above all scores.
    """
    spread = (scores[1] - scores[-1]) / 2 or 1.0
    top = scores[1] + spread if np.isinf(domain.high) else domain.high
    bottom = scores[-1] - spread if np.isinf(domain.low) else domain.low
    is_last = cuts == len(scores) - 1
    upper = np.where(cuts == 0, top, scores[cuts])
    lower = np.where(is_last, bottom, scores[np.where(is_last, 0, cuts + 1)])
    middle = lower + (upper - lower) / 2
    # Between neighbouring floats there is no middle: the upper one serves.
    thresholds = np.where(middle > lower, middle, upper)
    return np.where((cuts == 0) & (scores[1] >= top), np.nan, thresholds)

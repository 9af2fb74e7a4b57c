"""Curves: what every possible cut would make of one label's scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, precision_recall_curve

__all__ = ["f1_at", "f1_curve", "operating_point", "recall_curve"]


def f1_curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 at every score that occurs.

    Parameters
    ----------
    truth : ndarray of shape (n,)
        0 or 1.
    scores : ndarray of shape (n,), float64

    Returns
    -------
    cuts : ndarray of shape (n_cuts,), float64
        The distinct scores, ascending; empty if there is no positive.
    f1 : ndarray of shape (n_cuts,), float64
        F1 where each of them is the threshold, from the precision and recall of
        :func:`sklearn.metrics.precision_recall_curve`.
    """
    if not truth.any():
        return np.empty(0), np.empty(0)
    precision, recall, cuts = precision_recall_curve(truth, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last predicts nothing
    total = np.where(recall == 0, 1.0, precision + recall)
    return cuts, 2 * precision * recall / total


def f1_at(cuts: np.ndarray, f1: np.ndarray, threshold: ArrayLike) -> np.ndarray:
    """Look thresholds up in a curve of :func:`f1_curve`.

    Returns
    -------
    ndarray of the shape of `threshold`, float64
        nan for an empty curve.
    """
    if len(cuts) == 0:
        return np.full(np.shape(threshold), np.nan)
    # A score of at least the threshold is predicted; above all scores none is.
    steps = np.append(f1, 0.0)
    return steps[np.searchsorted(cuts, threshold, side="left")]


def recall_curve(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return precision, recall and average precision, as scikit-learn has them.

    Returns
    -------
    precision, recall : ndarray of shape (n_cuts + 1,), float64
        Empty if there is no positive.
    average_precision : float
        nan if there is no positive.
    """
    if not truth.any():
        return np.empty(0), np.empty(0), float("nan")
    precision, recall, _ = precision_recall_curve(truth, scores)
    return precision, recall, float(average_precision_score(truth, scores))


def operating_point(
    truth: np.ndarray, scores: np.ndarray, cut: float
) -> tuple[float, float]:
    """Return recall and precision at a threshold, nan where one is not defined."""
    chosen = scores >= cut
    if not chosen.any() or not truth.any():
        return float("nan"), float("nan")
    hits = float(truth[chosen].sum())
    return hits / float(truth.sum()), hits / float(chosen.sum())

"""Checks of sample weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skbert.inputs.targets import Targets

__all__ = ["check_classes_have_weight", "check_sample_weight", "rows_with_weight"]


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, name: str
) -> np.ndarray | None:
    """Return the weights as an array, or None.

    Returns
    -------
    ndarray of shape (n_samples,), float64, or None

    Raises
    ------
    ValueError
        If they are not ``n_samples`` finite numbers >= 0, some of them > 0.
    """
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if weight.ndim != 1:
        raise ValueError(
            f"{name} has {weight.ndim} dimensions. Sample weights must be 1D array: "
            f"one number for each of the {n_samples} texts."
        )
    if len(weight) != n_samples:
        raise ValueError(
            f"{name}.shape == {weight.shape}, expected {(n_samples,)}: one number "
            "per text."
        )
    if isinstance(sample_weight, np.ma.MaskedArray) and np.ma.is_masked(sample_weight):
        row = int(np.argmax(np.ma.getmaskarray(sample_weight)))
        raise ValueError(
            f"{name} must hold a number for each text, but row {row} is masked."
        )
    wrong = ~np.isfinite(weight) | (weight < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{name} must hold finite numbers >= 0, but row {row} is {weight[row]:g}."
        )
    if not weight.any():
        raise ValueError(
            f"{name}: every weight is zero; there is nothing to learn from."
        )
    return weight


def rows_with_weight(weight: np.ndarray | None) -> np.ndarray | None:
    """Return the numbers of the rows whose weight is not 0.

    Returns
    -------
    ndarray of int, or None
        None means all rows.
    """
    if weight is None or weight.all():
        return None
    return np.flatnonzero(weight)


def check_classes_have_weight(targets: Targets) -> None:
    """Check that the rows with a weight hold both classes of a one-dimensional y.

    Parameters
    ----------
    targets : Targets
        Targets of these rows.

    Raises
    ------
    ValueError
        If a class is missing.
    """
    if targets.classes is not None and targets.constant[0]:
        raise ValueError(
            "y holds only 1 class where sample_weight is not zero; two are needed."
        )

"""Checks of parameters against each other, the data and the model."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from skbert.base.outputs import check_thresholds
from skbert.inputs.targets import Targets
from skbert.metrics.scorers import resolve_scoring
from skbert.models.checkpoint import Checkpoint
from skbert.runtime.quiet import quiet_warnings
from skbert.tokens.windows import Windows, window_params
from skbert.training.losses import LOSSES

__all__ = [
    "check_against_checkpoint",
    "check_label_parameters",
    "check_long_text_params",
    "check_parameters",
    "check_same_length",
    "check_scoring",
]


def check_parameters(estimator, *, has_validation: bool) -> None:
    """Check the parameters that depend on each other.

    Raises
    ------
    TypeError
        If ``loss_params`` has a key that the loss does not take, or
        ``long_text_params`` one that ``long_text`` does not take.
    ValueError
        If one of their values is out of range, ``scoring`` is unknown, or
        ``n_iter_no_change`` lacks validation data.
    """
    options = [
        name
        for name, parameter in signature(LOSSES[estimator.loss]).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    ]
    loss_params = estimator.loss_params or {}
    _check_keys("loss", estimator.loss, loss_params, options)
    for name, value in loss_params.items():
        _check_loss_param(name, value)
    check_long_text_params(estimator.long_text, estimator.long_text_params)
    resolve_scoring(estimator.scoring)
    if estimator.n_iter_no_change is not None and not has_validation:
        raise ValueError(
            "n_iter_no_change stops on a validation score, but there is no validation "
            "data: set validation_fraction=0.1, or pass X_val and y_val to fit."
        )


def check_long_text_params(long_text: str, params: dict | None) -> None:
    """Check ``long_text_params``.

    Raises
    ------
    TypeError
        If a key is unknown.
    ValueError
        If a value is out of range.
    """
    options = window_params() if long_text == "windows" else []
    _check_keys("long_text", long_text, params or {}, options)
    Windows(**(params or {}))


def _check_keys(parameter: str, choice: str, params: dict, options: list[str]) -> None:
    """Check that a choice knows the options in ``{parameter}_params``."""
    for name in params:
        if name not in options:
            takes = f"it takes {', '.join(options)}" if options else "it takes none"
            raise TypeError(
                f"{parameter}_params has the key {name!r}, which "
                f"{parameter}={choice!r} does not know; {takes}."
            )


def check_scoring(scoring: str | Callable, targets: Targets) -> None:
    """Try a named score on the validation targets before the first epoch.

    Raises
    ------
    ValueError
        If the score does not take such targets.
    """
    if not isinstance(scoring, str):
        return  # it may count its calls
    guess = np.full(targets.values.shape, 0.5)
    with quiet_warnings():  # such as those of labels without positives
        try:
            resolve_scoring(scoring)(targets.with_nan(), guess, guess >= 0.5)
        except Exception as error:
            raise ValueError(
                f"scoring={scoring!r} does not work on the validation data: {error}"
            ) from error


def check_label_parameters(estimator, n_labels: int) -> None:
    """Check the parameters that have one value for each label.

    Raises
    ------
    ValueError
        If ``pos_weight`` or ``threshold`` has another length than the labels, or a
        value that is out of range.
    """
    if estimator.pos_weight is not None and not isinstance(estimator.pos_weight, str):
        weight = _per_label("pos_weight", estimator.pos_weight, n_labels)
        if not (np.isfinite(weight).all() and (weight > 0).all()):
            raise ValueError("pos_weight must hold positive, finite numbers.")
    check_thresholds(estimator.threshold, n_labels, "threshold")


def _per_label(name: str, value: ArrayLike, n_labels: int) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    if array.shape != (n_labels,):
        raise ValueError(
            f"{name} has shape {array.shape}, but y has {n_labels} label(s): it must "
            f"have shape ({n_labels},)."
        )
    return array


def check_against_checkpoint(estimator, checkpoint: Checkpoint) -> None:
    """Check the parameters that the model limits.

    Raises
    ------
    ValueError
        If ``max_length`` or ``trainable_layers`` is too large for the model.
    """
    limit = checkpoint.max_length
    if limit is not None and estimator.max_length > limit:
        raise ValueError(
            f"max_length={estimator.max_length} is beyond the {limit} tokens that "
            f"{estimator.model!r} can read; use {limit} or less, with long_text="
            "'head_tail' to keep both ends of long texts, or 'windows' to read on."
        )
    if estimator.trainable_layers is None:
        return
    n_layers = checkpoint.structure.n_layers
    if n_layers == 0 and estimator.trainable_layers > 0:
        raise ValueError(
            f"trainable_layers={estimator.trainable_layers}, but the layers of "
            f"{type(checkpoint.config).__name__.removesuffix('Config')} cannot be told "
            "apart: they share weights, or are not one list of modules. Use "
            "trainable_layers=None or 0."
        )
    if estimator.trainable_layers > n_layers > 0:
        raise ValueError(
            f"trainable_layers={estimator.trainable_layers}, but {estimator.model!r} "
            f"has {n_layers} layers; use a number up to that, or None for all of it."
        )


def _check_loss_param(name: str, value: float | None) -> None:
    if value is None and name == "alpha":
        return
    most = 1.0 if name in ("alpha", "clip") else np.inf
    if not isinstance(value, Real) or not 0 <= value <= most or np.isinf(value):
        upper = " to 1" if most == 1.0 else " or more"
        raise ValueError(f"loss_params[{name!r}] is {value!r}; it must be 0{upper}.")


def check_same_length(texts: list, targets, name: str) -> None:
    """Check that there are as many texts as rows of labels.

    Raises
    ------
    ValueError
        If their numbers differ.
    """
    if len(texts) != len(targets):
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"X{name} has {len(texts)} texts, y{name} has {len(targets)} rows."
        )

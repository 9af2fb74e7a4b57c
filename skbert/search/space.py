"""The search space of a study: distributions by the path of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from sklearn.pipeline import Pipeline

from skbert.classifier import TransformerMultiLabelClassifier

__all__ = ["check_space", "most_epochs", "split_steps", "suggest_params"]

# The most epochs that max_epochs="auto" can mean.
_AUTO_EPOCHS = 20


def check_space(space: Mapping[str, BaseDistribution], estimator: Any) -> None:
    """Check that every path exists and has a distribution.

    Parameters
    ----------
    space : mapping of str to BaseDistribution
    estimator : estimator

    Raises
    ------
    TypeError, ValueError
        If a path is unknown, or its value is not a distribution of Optuna.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(
            "space must be a dict of parameter path -> Optuna distribution, with at "
            f"least one entry; got {space!r}."
        )
    known = list(estimator.get_params(deep=True))
    for path, distribution in space.items():
        if path not in known:
            close = _closest(str(path), known)
            hint = f" Did you mean {close!r}?" if close else ""
            raise ValueError(
                f"space has the path {path!r}, but {type(estimator).__name__} has no "
                f"such parameter.{hint} estimator.get_params() lists them all."
            )
        if not isinstance(
            distribution, (FloatDistribution, IntDistribution, CategoricalDistribution)
        ):
            raise TypeError(
                f"space[{path!r}] is {distribution!r}; it must be a distribution of "
                "optuna.distributions, for instance FloatDistribution(1e-5, 1e-3, "
                "log=True)."
            )


def _closest(path: str, known: list[str]) -> str | None:
    # What is usually wrong is the way to a parameter, not its own name.
    name = path.rpartition("__")[-1]
    same_name = [other for other in known if other.rpartition("__")[-1] == name]
    close = get_close_matches(path, same_name or known, 1, 0.0 if same_name else 0.6)
    return close[0] if close else None


def suggest_params(
    trial: optuna.Trial, space: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Return the values that a trial is to try, by path."""
    return {name: _suggest(trial, name, space[name]) for name in space}


def _suggest(trial: optuna.Trial, name: str, distribution: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, IntDistribution):
        step = distribution.step
        return trial.suggest_int(name, low, high, step=step, log=log)
    return trial.suggest_float(name, low, high, step=distribution.step, log=log)


def split_steps(model: Any) -> tuple[Pipeline | None, Any]:
    """Return a Pipeline's steps before the last, and the last."""
    if not isinstance(model, Pipeline):
        return None, model
    return (model[:-1] if len(model.steps) > 1 else None), model.steps[-1][1]


def most_epochs(estimator: Any, space: Mapping[str, BaseDistribution]) -> int:
    """Return how many steps a fold may report, in any trial."""
    _, last = split_steps(estimator)
    if not isinstance(last, TransformerMultiLabelClassifier):
        return 1
    prefix = f"{estimator.steps[-1][0]}__" if last is not estimator else ""
    distribution = space.get(f"{prefix}max_epochs")
    if isinstance(distribution, CategoricalDistribution):
        values: list[Any] = list(distribution.choices)
    elif isinstance(distribution, (IntDistribution, FloatDistribution)):
        values = [int(distribution.high)]
    else:
        values = [last.max_epochs]
    return max(_AUTO_EPOCHS if value == "auto" else int(value) for value in values)

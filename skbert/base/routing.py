"""Metadata routing: what a meta-estimator's fit passes to its parts."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter

__all__ = ["route_fit_params"]


def route_fit_params(
    router: Any, estimator: Any, sample_weight: ArrayLike | None, fit_params: dict
) -> Bunch:
    """Return the keyword arguments for the sub-estimator's fit and for the splitter.

    Parameters
    ----------
    router : estimator
        The meta-estimator. Its `get_metadata_routing` names its parts "estimator" and,
        if there is one, "splitter".
    estimator : estimator
        The sub-estimator.
    sample_weight : array-like of shape (n_samples,) or None
    fit_params : dict
        All other metadata.

    Returns
    -------
    Bunch
        With the dicts `estimator` and `splitter`.

    Raises
    ------
    ValueError
        Without metadata routing: if there is other metadata, or the sub-estimator
        does not take sample weights.
    """
    if sample_weight is not None:
        fit_params = {**fit_params, "sample_weight": sample_weight}
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(router, "fit", **fit_params)
        splitter = routed.splitter.split if "splitter" in routed else {}
        return Bunch(estimator=routed.estimator.fit, splitter=splitter)
    strangers = sorted(set(fit_params) - {"sample_weight"})
    if strangers:
        raise ValueError(
            f"fit got {strangers}: metadata other than sample_weight is passed on "
            "with sklearn.set_config(enable_metadata_routing=True) only."
        )
    if fit_params and not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"The fit of {type(estimator).__name__} does not take sample_weight. "
            "(For a Pipeline, use sklearn.set_config(enable_metadata_routing=True) "
            "and set_fit_request on its steps.)"
        )
    return Bunch(estimator=fit_params, splitter={})

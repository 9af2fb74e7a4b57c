"""A fit from its plan to a trained net, and a net for weights that are trained."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral

import numpy as np
import torch

from skbert.models.module import MultiLabelModule, build_module
from skbert.runtime.device import resolve_precision
from skbert.runtime.quiet import quiet_transformers
from skbert.runtime.randomness import isolated_random_state
from skbert.runtime.threads import survive_forks
from skbert.runtime.warn import warn_user
from skbert.tokens.padding import Padding
from skbert.training.fit_checkpoints import open_states
from skbert.training.fit_plan import FitPlan
from skbert.training.losses import MultiLabelLoss, balanced_pos_weight
from skbert.training.net import MultiLabelNet

__all__ = ["prediction_net", "train"]


def train(estimator, plan: FitPlan, previous: MultiLabelNet | None) -> MultiLabelNet:
    """Load the weights and train them according to the plan.

    Parameters
    ----------
    estimator : TransformerMultiLabelClassifier
    plan : FitPlan
    previous : MultiLabelNet or None
        The net of a warm start, whose weights are trained further. It is not changed.

    Returns
    -------
    MultiLabelNet
    """
    survive_forks()
    settings = plan.settings
    with (
        torch.inference_mode(False),  # whatever the caller has set
        torch.enable_grad(),
        isolated_random_state(plan.seed, settings.device),
    ):
        module, optimizer_state = _starting_point(estimator, plan, previous)
        net = MultiLabelNet(
            module,
            _criterion(estimator, plan),
            lr=settings.learning_rate,
            head_lr=settings.head_learning_rate,
            weight_decay=estimator.weight_decay,
            warmup=estimator.warmup,
            max_grad_norm=estimator.max_grad_norm,
            accumulation=estimator.gradient_accumulation_steps,
            trainable_layers=estimator.trainable_layers,
            freeze_embeddings=estimator.freeze_embeddings,
            precision=settings.precision,
            asked_precision=estimator.precision,
            scoring=estimator.scoring,
            threshold=estimator.threshold,
            n_iter_no_change=estimator.n_iter_no_change,
            padding=plan.checkpoint.padding(estimator.max_length),
            seed=plan.seed,
            max_epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            device=str(settings.device),
            callbacks=deepcopy(estimator.net_callbacks),
            verbose=estimator.verbose,
        )
        # Longformer prints a note about its padding while it runs.
        with (
            quiet_transformers(),
            open_states(estimator, plan, module, optimizer_state) as states,
        ):
            net.fit_sets(
                plan.sets,
                optimizer_state,
                keep_optimizer=bool(estimator.warm_start),
                states=states,
            )
            # The moments of an earlier fit may have changed constant labels.
            net.module_.pin(plan.constant, plan.prior_logits)
            kept = states.newest if states else None
            if states and not net.interrupted_:
                states.remove()
    if net.interrupted_:
        continues = kept is not None and _is_repeated(estimator)
        later = f" The same fit continues after epoch {kept}." if continues else ""
        warn_user(
            f"The fit was interrupted in epoch {len(net.history)}; its weights are "
            "those of the best epoch before, or the latest without validation data."
            + later,
        )
    return net


def _is_repeated(estimator) -> bool:
    """Return whether another call of `fit` with the same data is the same fit."""
    # After a warm start the weights differ, and a RandomState draws another seed.
    is_seed = isinstance(estimator.random_state, Integral)
    return is_seed and not estimator.warm_start


def _starting_point(
    estimator, plan: FitPlan, previous: MultiLabelNet | None
) -> tuple[MultiLabelModule, dict | None]:
    """Return the module from which training starts, and the optimizer's state."""
    constant, priors = plan.constant, plan.prior_logits
    if previous is not None:
        module = deepcopy(previous.module_)
        module.pin(constant, priors)
        optimizer = getattr(previous, "optimizer_", None)  # none after a cold start
        return module, None if optimizer is None else optimizer.state_dict()
    assert plan.checkpoint.folder is not None  # only a warm start has none
    named = list((plan.checkpoint.config.id2label or {}).values())
    module, has_head = build_module(
        plan.checkpoint.folder,
        plan.checkpoint.config,
        n_labels=len(plan.label_names),
        pooling=plan.checkpoint.pooling,
        dropout=estimator.dropout,
    )
    # A head that was trained for these very labels is a better start than the priors.
    if not (has_head and named == list(plan.label_names)):
        module.start_at_priors(priors)
    module.pin(constant, priors)
    return module, None


def _criterion(estimator, plan: FitPlan) -> MultiLabelLoss:
    weight = estimator.pos_weight
    if isinstance(weight, str):
        known = plan.sets.train.targets
        weight = balanced_pos_weight(known.positives, known.support)
    if weight is not None:
        weight = torch.as_tensor(np.asarray(weight, dtype=np.float32))
    return MultiLabelLoss(estimator.loss, weight, **(estimator.loss_params or {}))


def prediction_net(
    module: MultiLabelModule, *, padding: Padding, precision: str, device: torch.device
) -> MultiLabelNet:
    """Return a net around trained weights.

    Parameters
    ----------
    module : MultiLabelModule
    padding : Padding
    precision : {"auto", "fp32", "bf16", "fp16"}
    device : torch.device
    """
    net = MultiLabelNet(
        module,
        MultiLabelLoss(),
        padding=padding,
        precision=resolve_precision(precision, device),
        asked_precision=precision,
        device=str(device),
    )
    return net.initialize_for_prediction()

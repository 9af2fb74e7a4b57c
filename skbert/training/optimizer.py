"""AdamW over the trainable parameters, its learning rates, and its continuation."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import partial

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from skbert.models.module import MultiLabelModule

__all__ = [
    "continue_optimizer",
    "linear_schedule",
    "make_optimizer",
    "parameter_groups",
]


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    head: set[str],
    *,
    learning_rate: float,
    head_learning_rate: float,
    weight_decay: float,
) -> list[dict]:
    """Sort the trainable parameters into the optimizer's groups.

    Biases and the weights of norms, which have one dimension, are excluded from weight
    decay, as in BERT's own fine-tuning code.

    Parameters
    ----------
    named_parameters : iterable of (str, Parameter)
    head : set of str
        Names of the parameters with the head's learning rate.
    learning_rate, head_learning_rate, weight_decay : float

    Returns
    -------
    list of dict
        Groups for an optimizer of torch, none of them empty.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            key = (name in head, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": head_learning_rate if in_head else learning_rate,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_head, decays), parameters in groups.items()
    ]


def _linear_factor(step: int, *, n_steps: int, n_warmup: int) -> float:
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))


def linear_schedule(
    optimizer: Optimizer, n_steps: int, warmup: float, n_done: int = 0
) -> LambdaLR:
    """Return a schedule that rises linearly and then falls linearly to zero.

    Parameters
    ----------
    optimizer : Optimizer
    n_steps : int
        Number of optimizer steps of the whole fit.
    warmup : float
        Fraction of ``n_steps`` in which the learning rates rise.
    n_done : int, default=0
        Number of steps that are done already.
    """
    for group in optimizer.param_groups:
        # torch requires it if a schedule does not start at step 0.
        group.setdefault("initial_lr", group["lr"])
    factor = partial(_linear_factor, n_steps=n_steps, n_warmup=round(warmup * n_steps))
    return LambdaLR(optimizer, factor, last_epoch=n_done - 1)


def make_optimizer(
    module: MultiLabelModule,
    *,
    learning_rate: float,
    head_learning_rate: float,
    weight_decay: float,
    device: torch.device,
    recorded: bool = False,
) -> AdamW:
    """Create AdamW (Loshchilov and Hutter 2019) over the trainable parameters.

    Parameters
    ----------
    module : MultiLabelModule
        A module on ``device``.
    learning_rate, head_learning_rate, weight_decay : float
    device : torch.device
    recorded : bool, default=False
        Whether its updates may become part of a CUDA graph.
    """
    optimizer = AdamW(
        parameter_groups(
            module.named_parameters(),
            {name for name, _ in module.head_parameters()},
            learning_rate=learning_rate,
            head_learning_rate=head_learning_rate,
            weight_decay=weight_decay,
        ),
        # A fused optimizer updates all parameters with one kernel.
        fused=device.type in ("cpu", "cuda"),
        capturable=recorded,
    )
    if recorded:
        _move_rates(optimizer, device)
    return optimizer


def _move_rates(optimizer: Optimizer, device: torch.device) -> None:
    """Move the learning rates to tensors, which a recorded update reads every time.

    The schedule computes with plain numbers and fills the tensors, so that nothing is
    read back from the device.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)


def continue_optimizer(optimizer: Optimizer, state: dict) -> None:
    """Take over the moments of an earlier fit if they belong to the same parameters.

    Parameters
    ----------
    optimizer : Optimizer
        An optimizer that keeps its own learning rates and options.
    state : dict
        State of the earlier optimizer.
    """
    shapes = [len(group["params"]) for group in optimizer.param_groups]
    if shapes != [len(group["params"]) for group in state["param_groups"]]:
        return  # other layers are trainable now
    fresh = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(deepcopy(state))
    for group, options in zip(optimizer.param_groups, fresh, strict=True):
        group.pop("initial_lr", None)
        group.update(options)

"""Optimizer: AdamW over what is trainable, and how one fit goes on from another's."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch.optim import AdamW, Optimizer

from skbert.models.module import MultiLabelModule
from skbert.training.step import parameter_groups

__all__ = ["continue_optimizer", "make_optimizer"]


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
        On ``device``.
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
        # One kernel for all parameters.
        fused=device.type in ("cpu", "cuda"),
        capturable=recorded,
    )
    if recorded:
        _move_rates(optimizer, device)
    return optimizer


def _move_rates(optimizer: Optimizer, device: torch.device) -> None:
    """Move the learning rates to where a recorded update reads them anew.

    A schedule goes on from the plain numbers: it fills the tensors, and nothing is
    read back from the device.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)


def continue_optimizer(optimizer: Optimizer, state: dict) -> None:
    """Take over an earlier fit's moments, where they are of the same parameters.

    Parameters
    ----------
    optimizer : Optimizer
        It keeps its own rates and options.
    state : dict
        The earlier optimizer's.
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

"""Time a training step by the way in which attention is computed.

    python benchmarks/attention.py

On the default model, for texts of several lengths: torch's attention with dropout (as
checkpoints have it), without it by torch's flash kernel and by its plain products, and
skbert's own products. `skbert.models.attention` and the default of `dropout` rest on
it. The ways take turns, so that a slow moment of the machine hits all of them. The
script prints the best and the median time in milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from skbert.models.architecture import freeze
from skbert.models.checkpoint import open_checkpoint
from skbert.models.configuration import load_config
from skbert.models.hub import DEFAULT_MODEL
from skbert.models.module import build_module
from skbert.tokens.batching import Batch
from skbert.training.losses import MultiLabelLoss
from skbert.training.step import TrainingStep, linear_schedule, parameter_groups

N_LABELS = 28

# Batch size, tokens, repetitions.
SHAPES = [(32, 20, 12), (16, 64, 8), (16, 128, 6), (16, 256, 4), (8, 512, 3)]

# Name -> implementation, dropout of attention, the context that chooses the kernel.
WAYS: dict[str, tuple[str, float, Callable]] = {
    "dropout": ("sdpa", 0.1, nullcontext),
    "flash": ("sdpa", 0.0, lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION)),
    "math": ("sdpa", 0.0, lambda: sdpa_kernel(SDPBackend.MATH)),
    "skbert": ("skbert", 0.0, nullcontext),
}


def make_step(implementation: str, attention_dropout: float) -> TrainingStep:
    """Return a step of the default recipe."""
    folder = open_checkpoint(DEFAULT_MODEL).folder
    config = load_config(folder)
    with mock.patch("skbert.models.module.set_dropout"):  # this script sets it
        config.attention_probs_dropout_prob = attention_dropout
        module, _ = build_module(folder, config, n_labels=N_LABELS, pooling="mean")
    module.encoder.set_attn_implementation(implementation)
    freeze(module, module.encoder, trainable_layers=None, embeddings=True)
    groups = parameter_groups(
        module.named_parameters(),
        {name for name, _ in module.head_parameters()},
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        weight_decay=0.01,
    )
    optimizer = torch.optim.AdamW(groups, fused=True)
    return TrainingStep(
        module.train(),
        MultiLabelLoss(),
        optimizer,
        linear_schedule(optimizer, 10_000, 0.1),
        device=torch.device("cpu"),
        precision="bf16",
        max_grad_norm=1.0,
    )


def make_batch(batch_size: int, length: int) -> Batch:
    """Return a batch of random tokens, one text a little shorter than the others."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(batch_size, length, dtype=torch.int64)
    mask[0, -3:] = 0
    shape = batch_size, N_LABELS
    return Batch(
        torch.randint(1000, 20_000, (batch_size, length), generator=generator),
        mask,
        (torch.rand(shape, generator=generator) < 0.05).float(),
        torch.full(shape, 1 / (batch_size * N_LABELS)),
    )


def main() -> None:
    """Print the table."""
    steps = {name: make_step(*choice) for name, (*choice, _) in WAYS.items()}
    print(
        "batch  tokens " + "".join(f"{name:>16}" for name in WAYS) + "   (best/median)"
    )
    # At any length, so that the limit can be chosen.
    with mock.patch("skbert.models.attention._LONGEST_PLAIN", 10**6):
        for batch_size, length, repetitions in SHAPES:
            batch = make_batch(batch_size, length)
            times: dict[str, list[float]] = {name: [] for name in WAYS}
            for _ in range(repetitions):
                for name, (*_, kernel) in WAYS.items():
                    start = time.perf_counter()
                    with kernel():
                        steps[name](batch)
                    times[name].append(1000 * (time.perf_counter() - start))
            cells = [f"{min(t):.0f}/{np.median(t):.0f}" for t in times.values()]
            row = "".join(f"{cell:>16}" for cell in cells)
            print(f"{batch_size:5d} {length:7d} {row}", flush=True)


if __name__ == "__main__":
    main()

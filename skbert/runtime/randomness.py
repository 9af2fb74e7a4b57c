"""One seed for each fit, which leaves the caller's random generators alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

__all__ = [
    "draw_seed",
    "isolated_random_state",
    "random_states",
    "set_random_states",
]

# torch has one generator per device for all threads of a process. Two fits at the same
# time would share its numbers, and the last one would restore a state that was never
# the caller's. The lock is reentrant because a fit may open further blocks.
_ONE_THREAD = threading.RLock()


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed of one fit.

    An int is the seed itself. A RandomState draws its next number, as in scikit-learn.
    None draws from the operating system, so that NumPy's global state is left alone.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    return int(random_state)


@contextmanager
def isolated_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and of ``device``; restore them afterwards.

    `torch.manual_seed` would seed the generators of all devices. Other threads that
    enter such a block wait until this one ends.
    """
    kind = device.type
    others = [device] if kind in ("cuda", "mps") else []
    with (
        _ONE_THREAD,
        torch.random.fork_rng(others, device_type=kind if others else "cuda"),
    ):
        torch.default_generator.manual_seed(seed)
        if kind == "cuda":  # pragma: gpu
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif kind == "mps":  # pragma: gpu
            torch.mps.manual_seed(seed)
        yield


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators of the CPU and of ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":  # pragma: gpu
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":  # pragma: gpu
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(device: torch.device, states: dict[str, Tensor]) -> None:
    """Restore the result of `random_states`, on a device of the same type."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":  # pragma: gpu
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":  # pragma: gpu
        torch.mps.set_rng_state(states["mps"])

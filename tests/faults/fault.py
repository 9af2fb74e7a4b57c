"""Fault: one way to do harm, how often it is tried, and what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One way to do harm.

    Attributes
    ----------
    name : str
    inject : callable
        Takes a seed, does the harm and checks what is left; it raises where
        something is lost. Set-up that injections can share is cached in its module.
    quick, usual, long : int
        Times in `make test`, `make test-faults` and `make bench-faults`.
    """

    name: str
    inject: Callable[[int], None]
    quick: int
    usual: int
    long: int


@dataclass
class Tally:
    """What came of one fault.

    Attributes
    ----------
    name : str
    injected, survived : int
    losses : list of str
        The seed of each injection that was not survived, and why.
    seconds : float
    """

    name: str
    injected: int = 0
    survived: int = 0
    losses: list[str] = field(default_factory=list)
    seconds: float = 0.0


def tally(fault: Fault, times: int) -> Tally:
    """Inject a fault with the seeds 0 to `times`, and count."""
    result = Tally(fault.name)
    start = time.perf_counter()
    for seed in range(times):
        result.injected += 1
        try:
            fault.inject(seed)
        except Exception:
            result.losses.append(f"seed {seed}: {traceback.format_exc()}")
        else:
            result.survived += 1
    result.seconds = time.perf_counter() - start
    return result

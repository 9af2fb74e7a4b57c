"""Ctrl-C at any moment of a fit."""

from __future__ import annotations

import time

import numpy as np

from tests.faults.fault import Fault
from tests.faults.fitting import VARIANTS, Fit, assert_same
from tests.faults.kills import checkpoint_dir, duration


def at_any_moment(seed: int) -> None:
    """Press Ctrl-C at any moment of a fit, then call it again."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    with checkpoint_dir() as place:
        with Fit(number, place, again=True) as interrupted:
            interrupted.wait_for_start()
            time.sleep(rng.uniform(0.02, 0.9) * duration(number))
            interrupted.interrupt()
            found, said = interrupted.result()
        assert_same(found, number)
        # The fit may have been over.
        assert _was_heard(said) or len(said) == 1, said
        assert list(place.iterdir()) == []


def _was_heard(said: list[str]) -> bool:
    told = any("was interrupted in epoch" in text for text in said)
    # Before there is anything to keep, and while the end is made, it is raised.
    return told and "fitted" in said or "raised" in said


INTERRUPTS = (Fault("Ctrl-C in a fit", at_any_moment, 1, 8, 40),)

"""Interrupts: Ctrl-C in a fit, whenever and wherever it comes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from tests.faults.fault import Fault
from tests.faults.fitting import VARIANTS, Fit, assert_same
from tests.faults.kills import checkpoint_dir, duration

# Python's own libraries take locks in ways that a signal can leave them taken.
_LEFT_OUT = (
    *("/logging/", "/threading.py", "/concurrent/", "importlib", "/queue.py"),
    "/faults/",
)


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


def at_any_line(seed: int) -> None:
    """Press Ctrl-C before some line of Python that a fit runs, then call it again."""
    rng = np.random.default_rng(seed)
    number = seed % len(VARIANTS)
    n = int(rng.integers(1, _n_lines(number)))
    with checkpoint_dir() as place:
        with Fit(number, place, _press_at_line, (n,), again=True) as interrupted:
            found, said = interrupted.result()
        assert_same(found, number)
        assert _was_heard(said), said
        assert list(place.iterdir()) == []


def _was_heard(said: list[str]) -> bool:
    told = any("was interrupted in epoch" in text for text in said)
    # Before there is anything to keep, and while the end is made, it is raised.
    return told and "fitted" in said or "raised" in said


def _press_at_line(countdown: int) -> None:
    """Let this process press Ctrl-C before a line of its main thread."""

    def press():
        nonlocal countdown
        countdown -= 1
        if not countdown:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)

    def press_again(unraisable):
        # Python drops what is raised in a __del__, or as a weak reference dies.
        nonlocal countdown
        if unraisable.exc_type is KeyboardInterrupt:
            countdown = 1
            _before_lines(press)

    sys.unraisablehook = press_again
    _before_lines(press)


@cache
def _n_lines(number: int) -> int:
    """Return how many lines of Python a fit runs."""
    with checkpoint_dir() as place:
        path = place / "lines"
        with Fit(number, place, _count_lines, (path,)) as undisturbed:
            undisturbed.result()
        return 1_000 * path.stat().st_size


def _count_lines(path: Path) -> None:
    """Let this process write a byte for each thousand lines that it runs."""
    n_lines, file = 0, open(path, "ab", buffering=0)

    def count():
        nonlocal n_lines
        n_lines += 1
        if n_lines % 1_000 == 0:
            file.write(b".")

    _before_lines(count)


def _before_lines(act: Callable[[], None]) -> None:
    def trace_lines(frame, event, arg):
        if event == "line":
            act()
        return trace_lines

    def trace(frame, event, arg):
        name = frame.f_code.co_filename
        return None if any(file in name for file in _LEFT_OUT) else trace_lines

    sys.settrace(trace)


INTERRUPTS = (
    Fault("Ctrl-C in a fit", at_any_moment, 1, 8, 40),
    Fault("Ctrl-C at any line", at_any_line, 2, 20, 200),
)

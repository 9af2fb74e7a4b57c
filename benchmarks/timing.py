"""Timing: ways that take turns on a quiet machine, its ceilings, and their tables.

What the other scripts of this folder share. A "way" is a function that does the work
once and returns the seconds that it took: most are made by `timed`, those that must
leave something out (the loading of a model) read the clock themselves.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

# A tiny operation that takes so many times its best time means a busy machine.
_BUSY = 1.5
_PAUSE = 0.5  # seconds between two looks

# Sides of the square products that the ceilings are the best of, and bytes copied.
_SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
_COPIED = {"cpu": 2**28, "cuda": 2**30}
_CEILING_REPEATS = 8

# The columns of a table of ratios; a script puts its own before and after them.
RATIO_COLUMNS = {
    "per s best": "12.1f",
    "per s median": "14.1f",
    "ratio best": "12.2f",
    "ratio median": "14.2f",
    "GFLOP/s": "9.1f",
    "of bf16": "9.3f",
    "waits": "7d",
}

Clock = Callable[[], float]
Way = Callable[[], float]


# --- command line --------------------------------------------------------------------


def make_parser(
    description: str | None, repeats: int | None, model: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have.

    ``repeats=None`` leaves that one out, ``model=None`` the choice of a model.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if repeats is not None:
        parser.add_argument("--repeats", type=int, default=repeats, metavar="N")
    if model is not None:
        parser.add_argument(
            "--model-config",
            default=model,
            metavar="MODEL",
            help="minilm, bert-base or tiny (both with random weights), or a folder",
        )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="time of the processor, not of the clock: for a machine that is shared",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="longest wait for a quiet machine before a row is timed all the same",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="append the rows here")
    return parser


# --- clocks --------------------------------------------------------------------------


def make_clock(device: torch.device, processor_time: bool = False) -> Clock:
    """Return a clock that waits for a GPU's work to be done before it is read."""
    read = time.process_time if processor_time else time.perf_counter
    if device.type != "cuda":
        return read

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return read()

    return synchronised


def timed(action: Callable[[], object], clock: Clock = time.perf_counter) -> Way:
    """Return the way that does all of ``action`` by the clock."""

    def way() -> float:
        start = clock()
        action()
        return clock() - start

    return way


# --- turns ---------------------------------------------------------------------------


class QuietMachine:
    """Waits until a tiny operation is about as fast as it was at best.

    Parameters
    ----------
    patience : float
        Seconds after which it gives up.
    """

    def __init__(self, patience: float = 20.0) -> None:
        self.patience = patience
        self.matrix = torch.randn(256, 256)
        self.best = min(self._time() for _ in range(50))

    def _time(self) -> float:
        start = time.perf_counter()
        for _ in range(10):
            self.matrix @ self.matrix
        return time.perf_counter() - start

    def wait(self) -> int:
        """Return 1 if the machine was still busy when patience ended, otherwise 0."""
        deadline = time.perf_counter() + self.patience
        while True:
            now = min(self._time() for _ in range(3))
            self.best = min(self.best, now)
            if now < _BUSY * self.best:
                return 0
            if time.perf_counter() >= deadline:
                return 1
            time.sleep(_PAUSE)


@dataclass(frozen=True)
class Turns:
    """What `take_turns` measured: seconds, and how often the machine stayed busy."""

    seconds: dict[str, list[float]]
    waits: dict[str, int]


def take_turns(ways: dict[str, Way], repeats: int, machine: QuietMachine) -> Turns:
    """Run every way ``repeats`` times, in another random order each time."""
    rng = np.random.default_rng(0)
    turns = Turns({name: [] for name in ways}, dict.fromkeys(ways, 0))
    for _ in range(repeats):
        for name in rng.permutation(list(ways)):
            turns.waits[name] += machine.wait()
            turns.seconds[name].append(ways[name]())
    return turns


def ratio_rows(
    turns: Turns, n: int, flops: float, ceilings: Ceilings, own: str = "skbert"
) -> Iterable[tuple[str, dict[str, float]]]:
    """Yield each way's name and its cells of RATIO_COLUMNS.

    A ratio says how many times as fast as this way the way called ``own`` is: best
    time against best, and median against median.

    Parameters
    ----------
    turns : Turns
    n : int
        Texts of one turn.
    flops : float
        Useful floating-point operations of one turn.
    ceilings : Ceilings
    own : str
    """
    best = {name: min(seconds) for name, seconds in turns.seconds.items()}
    median = {name: float(np.median(times)) for name, times in turns.seconds.items()}
    for name in turns.seconds:
        yield (
            name,
            {
                "per s best": n / best[name],
                "per s median": n / median[name],
                "ratio best": best[name] / best[own],
                "ratio median": median[name] / median[own],
                "GFLOP/s": flops / best[name] / 1e9,
                "of bf16": flops / best[name] / 1e9 / ceilings.bf16,
                "waits": turns.waits[name],
            },
        )


# --- ceilings ------------------------------------------------------------------------


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do at most.

    Attributes
    ----------
    bf16, fp32 : float
        GFLOP/s of a large product of matrices.
    copy : float
        GB/s of a large copy in memory: bytes read and bytes written.
    """

    bf16: float
    fp32: float
    copy: float

    def share(self, seconds: float, flops: float, n_bytes: float = 0.0) -> float:
        """Return which part of the seconds the work takes at these ceilings."""
        return (flops / self.bf16 + n_bytes / self.copy) / 1e9 / seconds


def measure_ceilings(
    device: torch.device, clock: Clock = time.perf_counter
) -> Ceilings:
    """Measure the ceilings, each the best of several runs after one to warm up."""

    def product(side: int, dtype: torch.dtype) -> float:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        return 2 * side**3 / _best(lambda: a @ b, clock) / 1e9

    kind = "cuda" if device.type == "cuda" else "cpu"
    source = torch.ones(_COPIED[kind], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copying = _best(lambda: target.copy_(source), clock)
    return Ceilings(
        bf16=max(product(side, torch.bfloat16) for side in _SIDES[kind]),
        fp32=max(product(side, torch.float32) for side in _SIDES[kind]),
        copy=2 * source.numel() / copying / 1e9,
    )


def _best(action: Callable[[], object], clock: Clock) -> float:
    way = timed(action, clock)
    way()
    return min(way() for _ in range(_CEILING_REPEATS))


# --- tables --------------------------------------------------------------------------


def set_up(
    device: torch.device, args: argparse.Namespace
) -> tuple[Clock, QuietMachine, Ceilings]:
    """Return what every script times with; the ceilings wait for a quiet moment."""
    clock = make_clock(device, args.processor_time)
    machine = QuietMachine(args.patience)
    machine.wait()
    return clock, machine, measure_ceilings(device, clock)


def machine_cells(device: torch.device, ceilings: Ceilings) -> dict[str, Any]:
    """Return what every row of a file says of the machine; printed once."""
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else "cpu"
    cells = {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "bf16 GFLOP/s": round(ceilings.bf16, 1),
        "fp32 GFLOP/s": round(ceilings.fp32, 1),
        "copy GB/s": round(ceilings.copy, 2),
    }
    print(", ".join(f"{key} {value}" for key, value in cells.items()), flush=True)
    return cells


class Table:
    """Prints rows at once, and appends them to a file.

    Parameters
    ----------
    columns : dict
        Column -> format of its cells, which begins with the width.
    file : Path or None
    constant : dict, optional
        Cells that are written into every row of the file, and not printed.
    """

    def __init__(
        self,
        columns: dict[str, str],
        file: Path | None,
        constant: dict[str, Any] | None = None,
    ) -> None:
        self.columns = columns
        self.file = file
        self.constant = constant or {}
        print("".join(f"{name:>{_width(form)}}" for name, form in columns.items()))

    def add(self, row: dict[str, Any]) -> None:
        """Print a row and append it to the file."""
        cells = [f"{row[name]:>{form}}" for name, form in self.columns.items()]
        print("".join(cells), flush=True)
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.file.exists()
        with self.file.open("a", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, [*self.columns, *self.constant])
            if is_new:
                writer.writeheader()
            # Seven digits are more than any clock is worth.
            row = {key: _short(row[key]) for key in self.columns}
            writer.writerow(row | self.constant)


def _short(cell: Any) -> Any:
    return f"{cell:.7g}" if isinstance(cell, float) else cell


def _width(form: str) -> int:
    return int(form.rstrip("sdfe").split(".")[0])

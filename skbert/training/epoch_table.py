"""Epoch table: the rows that a fit prints, one per epoch."""

from __future__ import annotations

import re
import sys

__all__ = ["discard", "print_row"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def discard(row: str) -> None:
    """Print nothing."""


def print_row(row: str) -> None:
    """Print a row, in plain text where it does not go to a terminal."""
    print(row if sys.stdout.isatty() else _ANSI.sub("", row))

"""All faults: the list that the command and the quick test go through."""

from __future__ import annotations

from faults.fault import Fault
from faults.memory import MEMORY_FAULTS

FAULTS: tuple[Fault, ...] = (*MEMORY_FAULTS,)

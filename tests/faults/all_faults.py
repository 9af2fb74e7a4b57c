"""All faults: the list that the command and the quick test go through."""

from __future__ import annotations

from faults.fault import Fault
from faults.folders import FOLDERS
from faults.interrupts import INTERRUPTS
from faults.kills import KILLS
from faults.load import LOAD_FAULTS
from faults.memory import MEMORY_FAULTS

FAULTS: tuple[Fault, ...] = (
    *KILLS,
    *INTERRUPTS,
    *FOLDERS,
    *LOAD_FAULTS,
    *MEMORY_FAULTS,
)

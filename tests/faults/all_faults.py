"""All faults: the list that the command and the quick test go through."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.folders import FOLDERS
from tests.faults.interrupts import INTERRUPTS
from tests.faults.kills import KILLS
from tests.faults.load import LOAD_FAULTS
from tests.faults.memory import MEMORY_FAULTS

FAULTS: tuple[Fault, ...] = (
    *KILLS,
    *INTERRUPTS,
    *FOLDERS,
    *LOAD_FAULTS,
    *MEMORY_FAULTS,
)

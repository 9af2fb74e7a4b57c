"""All faults: the list that the command and the quick test go through."""

from __future__ import annotations

from faults.fault import Fault
from faults.load import LOAD_FAULTS

FAULTS: tuple[Fault, ...] = (*LOAD_FAULTS,)

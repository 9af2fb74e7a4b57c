"""All faults: the list that the command and the quick test go through."""

from __future__ import annotations

from faults.fault import Fault
from faults.folders import FOLDERS

FAULTS: tuple[Fault, ...] = (*FOLDERS,)

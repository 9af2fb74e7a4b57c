"""A few of the faults that `make test-faults` injects by the hundred."""

import pytest

from faults.all_faults import FAULTS
from faults.fault import tally

QUICK = [fault for fault in FAULTS if fault.quick]


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_every_fault_is_survived(fault):
    assert tally(fault, fault.quick).losses == []

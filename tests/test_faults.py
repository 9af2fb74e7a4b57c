"""A few of the faults that `make test-faults` injects by the hundred."""

import pytest

from faults.all_faults import FAULTS
from faults.fault import tally


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_survived(fault):
    assert tally(fault, fault.quick).losses == []

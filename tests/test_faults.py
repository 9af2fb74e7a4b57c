"""A few of the faults that `make test-faults` injects by the hundred."""

import re
from pathlib import Path

import pytest

from tests.faults.all_faults import FAULTS
from tests.faults.fault import tally

TESTS = Path(__file__).resolve().parent
QUICK = [fault for fault in FAULTS if fault.quick]


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_every_fault_is_survived(fault):
    assert tally(fault, fault.quick).losses == []


def test_every_promise_stands_beside_a_test_or_fault_that_is_there():
    page = (TESTS.parent / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (?!promise|---)([^|]+) \| ([^|]+) \|$", page, re.M)
    assert len(rows) > 20
    names = [fault.name for fault in FAULTS]
    for promise, evidence in rows:
        tests = re.findall(r"`([\w/]*test_\w+\.py)::(\w+)`", evidence)
        faults = re.findall(r'"([^"]+)"', evidence)
        assert tests or faults, promise
        for module, name in tests:
            assert f"def {name}(" in (TESTS / module).read_text(), f"{module}::{name}"
        for fault in faults:
            start = fault.removesuffix("...")
            assert any(name.startswith(start) for name in names), fault

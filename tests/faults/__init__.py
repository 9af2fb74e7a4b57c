"""Faults that are injected for real, each with what must survive it.

    export PYTHONPATH=tests/support
    python -m tests.faults           # as `make test-faults`, minutes
    python -m tests.faults --long    # as `make bench-faults`

`make test` injects a few of each, through test_faults.py.
"""

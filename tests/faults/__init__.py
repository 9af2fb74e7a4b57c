"""Faults that are injected for real, each with what must survive it.

    PYTHONPATH=tests python -m faults           # as `make test-faults`, minutes
    PYTHONPATH=tests python -m faults --long    # as `make bench-faults`

`make test` injects a few of each, through test_faults.py.
"""

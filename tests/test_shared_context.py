from contextlib import contextmanager

import pytest

from skbert.shared_context import SharedContext


def test_the_first_enters_and_the_last_leaves():
    events = []

    @contextmanager
    def setting():
        events.append("set")
        yield
        events.append("reset")

    shared = SharedContext(setting)
    # Two threads overlap like this; nested blocks of one thread do as well.
    shared.__enter__()
    shared.__enter__()
    shared.__exit__(None, None, None)
    assert events == ["set"]
    shared.__exit__(None, None, None)
    assert events == ["set", "reset"]
    with pytest.raises(KeyError), shared:
        raise KeyError
    assert events == ["set", "reset"] * 2

from contextlib import contextmanager

import pytest

from skbert.runtime.shared_context import SharedContext


@pytest.fixture
def events():
    return []


@pytest.fixture
def shared(events):
    @contextmanager
    def setting():
        events.append("set")
        yield
        events.append("reset")

    return SharedContext(setting)


def test_the_first_enters_and_the_last_leaves(shared, events):
    # Two threads overlap like this; nested blocks of one thread do as well.
    first, second = shared.used(), shared.used()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert events == ["set"]
    second.__exit__(None, None, None)
    assert events == ["set", "reset"]
    with pytest.raises(KeyError), shared.used():
        raise KeyError
    assert events == ["set", "reset"] * 2


def test_a_use_that_never_ends_ends_when_it_is_forgotten(shared, events):
    abandoned = shared.used()
    abandoned.__enter__()
    with shared.used():
        del abandoned
        assert events == ["set"]
    assert events == ["set", "reset"]
    shared.used()  # and forgotten at once
    assert events == ["set", "reset"]

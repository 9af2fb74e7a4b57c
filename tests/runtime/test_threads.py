import os
import threading
from functools import partial

import joblib
import pytest
import torch

from daemon_threads import in_threads
from skbert.runtime.threads import in_shared_thread, survive_forks

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def from_a_thread(function, *args):
    """Return what a thread other than the main one gets."""
    (result,) = in_threads([partial(function, *args)])
    return result


def where():
    return threading.current_thread().name


def test_the_main_thread_computes_by_itself():
    assert in_shared_thread(where) == threading.main_thread().name


def test_many_threads_share_no_more_workers_than_there_are_cores():
    n_threads = 3 * joblib.cpu_count()
    names = set(in_threads([partial(in_shared_thread, where)] * n_threads))
    assert all(name.startswith("skbert-predict") for name in names)
    assert len(names) <= max(1, joblib.cpu_count() // torch.get_num_threads())


def test_a_worker_does_not_wait_for_itself():
    def twice():
        return where(), in_shared_thread(where)

    outer, inner = from_a_thread(in_shared_thread, twice)
    assert outer == inner


def test_a_worker_has_the_modes_of_the_caller():
    def modes():
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    @torch.inference_mode()
    def in_inference_mode():
        return in_shared_thread(modes)

    assert from_a_thread(in_inference_mode) == (True, False)


def test_errors_reach_the_caller():
    def fail():
        raise KeyError("whatever it is")

    def caught():
        with pytest.raises(KeyError, match="whatever it is"):
            in_shared_thread(fail)
        return True

    assert from_a_thread(caught)


def result_of_a_child(function):
    child = os.fork()
    if child == 0:
        os._exit(function())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
def test_a_forked_child_has_workers_of_its_own():
    survive_forks()
    from_a_thread(in_shared_thread, where)  # starts the parent's pool
    seven = partial(from_a_thread, in_shared_thread, lambda: 7)
    assert result_of_a_child(seven) == 7


@needs_fork
def test_a_forked_child_computes_with_one_thread_and_its_parent_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        survive_forks()
        assert result_of_a_child(torch.get_num_threads) == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

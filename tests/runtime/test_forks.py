import os

import pytest
import torch

from skbert.runtime.forks import _use_one_thread, survive_forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_of_a_child():
    child = os.fork()
    if child == 0:
        os._exit(torch.get_num_threads())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_computes_with_one_thread_and_its_parent_as_before(three_threads):
    survive_forks()
    survive_forks()
    assert threads_of_a_child() == 1
    assert torch.get_num_threads() == 3


def test_one_thread_is_left_to_whoever_had_several(three_threads):
    _use_one_thread()
    assert torch.get_num_threads() == 1

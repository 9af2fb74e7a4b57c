import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
import torch

from skbert.shared_threads import in_shared_thread


def from_a_thread(function, *args):
    """Return what a thread other than the main one gets."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(timeout=60)


def where():
    return threading.current_thread().name


def test_the_main_thread_computes_itself():
    assert in_shared_thread(where) == threading.main_thread().name


def test_many_threads_share_no_more_than_there_are_cores():
    n_threads = 3 * joblib.cpu_count()
    together = threading.Barrier(n_threads)

    def predict():
        together.wait(timeout=60)
        return in_shared_thread(where)

    with ThreadPoolExecutor(n_threads) as pool:
        names = {f.result() for f in [pool.submit(predict) for _ in range(n_threads)]}
    assert all(name.startswith("skbert-shared") for name in names)
    assert len(names) <= joblib.cpu_count() // torch.get_num_threads()


def test_a_shared_thread_does_not_wait_for_itself():
    def twice():
        return where(), in_shared_thread(where)

    outer, inner = from_a_thread(in_shared_thread, twice)
    assert outer == inner


def test_the_modes_of_the_caller_hold():
    def modes():
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    @torch.inference_mode()
    def in_inference_mode():
        return in_shared_thread(modes)

    assert from_a_thread(in_inference_mode) == (True, False)
    assert from_a_thread(torch.no_grad()(in_shared_thread), modes) == (False, False)
    assert from_a_thread(in_shared_thread, modes) == (False, True)


def test_errors_reach_the_caller():
    with pytest.raises(ZeroDivisionError):
        from_a_thread(in_shared_thread, lambda: 1 / 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    code = """
import os, threading
from concurrent.futures import ThreadPoolExecutor
from skbert.shared_threads import in_shared_thread

def from_a_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_shared_thread, lambda: 7).result(timeout=30)

assert from_a_thread() == 7
child = os.fork()
if child == 0:
    os._exit(0 if from_a_thread() == 7 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_thread_that_outlives_the_main_one_goes_on():
    code = """
import threading
from skbert.shared_threads import in_shared_thread

def go_on():
    threading.main_thread().join()
    print(in_shared_thread(lambda: 7))

threading.Thread(target=go_on).start()
"""
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True
    )
    assert out.stdout.split() == [b"7"]

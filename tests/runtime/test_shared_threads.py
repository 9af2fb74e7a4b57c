import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from functools import partial

import joblib
import pytest
import torch

from daemon_threads import in_threads
from skbert.runtime import shared_threads
from skbert.runtime.shared_threads import in_shared_thread


class Model:
    """What a call is made with."""


def from_a_thread(function, *args):
    """Return what a thread other than the main one gets."""
    (result,) = in_threads([partial(function, *args)])
    return result


def where():
    return threading.current_thread().name


def test_the_main_thread_computes_itself():
    assert in_shared_thread(where) == threading.main_thread().name


def test_many_threads_share_no_more_than_there_are_cores():
    n_threads = 3 * joblib.cpu_count()
    names = set(in_threads([partial(in_shared_thread, where)] * n_threads))
    assert all(name.startswith("skbert-shared") for name in names)
    assert len(names) <= max(1, joblib.cpu_count() // torch.get_num_threads())


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


def test_an_error_holds_no_arguments_once_it_is_handled():
    model = Model()
    is_alive = weakref.ref(model)

    def fail(model):
        raise MemoryError

    def predict(model):
        try:
            in_shared_thread(fail, model)
        except MemoryError:
            return "handled"

    gc.disable()  # which would find a circle, but who knows when
    try:
        assert from_a_thread(predict, model) == "handled"
        del model
        end = time.monotonic() + 60  # the shared thread may still be tidying up
        while is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        assert not is_alive()
    finally:
        gc.enable()


# --- where no thread can start --------------------------------------------------------


@pytest.fixture
def refuse(monkeypatch):
    """Give what lets no shared thread start any more, once something was done."""
    monkeypatch.setattr(shared_threads, "_pools", {})  # none has started yet
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2 * torch.get_num_threads())
    start = threading.Thread.start

    def refuse(patch, first=lambda: None):
        def start_others(thread):
            if thread.name.startswith("skbert-shared"):
                first()
                raise RuntimeError("can't start new thread")
            start(thread)

        patch.setattr(threading.Thread, "start", start_others)

    return refuse


def test_a_call_that_no_thread_can_start_for_is_made_once(refuse, monkeypatch):
    made = []
    model = Model()
    is_alive = weakref.ref(model)
    with monkeypatch.context() as patch:
        refuse(patch)
        from_a_thread(in_shared_thread, lambda model: made.append(where()), model)
        del model
        assert not is_alive()
    # Threads can start again: what they find in the queue first has been done.
    assert from_a_thread(in_shared_thread, where).startswith("skbert-shared")
    assert len(made) == 1
    assert not made[0].startswith("skbert-shared")


def test_a_call_that_a_busy_thread_has_taken_is_not_made_again(refuse, monkeypatch):
    is_busy, may_go_on, has_begun = (threading.Event() for _ in range(3))
    made = []

    def be_busy():
        is_busy.set()
        assert may_go_on.wait(60)

    def predict():
        made.append(where())
        has_begun.set()
        return 7

    def let_it_be_taken():
        may_go_on.set()
        assert has_begun.wait(60)

    def start_another():
        assert is_busy.wait(60)
        with monkeypatch.context() as patch:
            refuse(patch, let_it_be_taken)
            return in_shared_thread(predict)

    assert in_threads([partial(in_shared_thread, be_busy), start_another]) == [None, 7]
    assert len(made) == 1
    assert made[0].startswith("skbert-shared")


# --- forks and the end ----------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    code = """
import os, signal, threading
from concurrent.futures import ThreadPoolExecutor
from skbert.runtime.shared_threads import in_shared_thread

def from_a_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_shared_thread, lambda: 7).result(timeout=30)

assert from_a_thread() == 7
child = os.fork()
if child == 0:
    signal.alarm(60)  # where it hangs it must not outlive the test
    os._exit(0 if from_a_thread() == 7 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_thread_that_outlives_the_main_one_goes_on():
    code = """
import threading
from skbert.runtime.shared_threads import in_shared_thread

def go_on():
    threading.main_thread().join()
    print(in_shared_thread(lambda: 7))

threading.Thread(target=go_on).start()
"""
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True
    )
    assert out.stdout.split() == [b"7"]

import threading

import pytest
import torch

from skbert.runtime.cuda_graphs import CudaRecorder, give_back_memory

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


def test_without_a_gpu_there_is_no_memory_to_give_back():
    give_back_memory()


@needs_cuda
def test_a_replay_does_again_what_was_recorded():
    x, calls = torch.zeros(3, device="cuda"), []

    def function():
        calls.append("function")
        x.add_(1)

    replay = CudaRecorder(torch.device("cuda"))(function, lambda: calls.append("warm"))
    assert x.tolist() == [0, 0, 0]
    for _ in range(3):
        replay()
    assert x.tolist() == [3, 3, 3]
    assert calls == ["warm", "warm", "function"]


@needs_cuda
def test_other_threads_use_the_device_meanwhile():
    stop, errors = threading.Event(), []

    def work():
        try:
            while not stop.is_set():
                torch.empty(2**20, device="cuda").sum().item()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        x = torch.zeros(3, device="cuda")
        record = CudaRecorder(torch.device("cuda"))
        for _ in range(5):
            record(lambda: x.add_(1), lambda: None)()
    finally:
        stop.set()
        thread.join()
    assert errors == []
    assert x.tolist() == [5, 5, 5]

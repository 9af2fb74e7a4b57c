"""Recorder: what a function launches on a GPU, recorded to be launched at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

__all__ = ["CudaRecorder", "Recorder", "RecordingError", "give_back_memory"]

# Called with a function and with another that warms up for it; returns what does again
# what the function does. The function need not run before that.
Recorder = Callable[[Callable[[], object], Callable[[], object]], Callable[[], object]]

# Graphs whose recording failed. torch's allocator keeps a pointer to such a graph, and
# believes for good that it is being recorded: it gives no memory back any more.
_broken: list = []


class RecordingError(RuntimeError):
    """A function runs, but cannot be recorded."""


class CudaRecorder:
    """Records what a function launches on a GPU, as a CUDA graph.

    The graphs share their memory, so no two of them may run at the same time.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:  # pragma: gpu
        index = torch.cuda.current_device() if device.index is None else device.index
        self._device = index
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(
        self, function: Callable[[], object], warm_up: Callable[[], object]
    ) -> Callable[[], object]:  # pragma: gpu
        """Record ``function``; return what replays it."""
        if _broken:
            raise RecordingError("an earlier recording failed in this process")
        stream = _recording_stream(self._device)
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            # On the stream of the recording: libraries take their workspaces now, and
            # these stay when the graphs' memory is given back.
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                for _ in range(2):
                    warm_up()
            current.wait_stream(stream)
            # Where recording fails, torch leaves the stream current.
            with torch.cuda.stream(current):
                return self._record(function, stream)

    def _record(
        self, function: Callable[[], object], stream: torch.cuda.Stream
    ) -> Callable[[], object]:  # pragma: gpu
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self._device]
        spare = generator.clone_state()
        try:
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=stream,
                capture_error_mode="thread_local",  # others may use the device
            ):
                function()
        except BaseException as error:
            # Up to torch 2.9 a generator believes for good that it is being recorded,
            # and eager dropout fails.
            generator.graphsafe_set_state(spare)
            _broken.append(graph)
            if isinstance(error, Exception):
                raise RecordingError(str(error)) from error
            raise
        return graph.replay


@cache
def _recording_stream(device: int) -> torch.cuda.Stream:  # pragma: gpu
    # One for good: libraries keep megabytes of workspace for every stream they saw.
    return torch.cuda.Stream(device)


def give_back_memory() -> None:
    """Let others use the memory of graphs that are gone."""
    if torch.cuda.is_initialized() and not _broken:  # pragma: gpu
        torch.cuda.empty_cache()

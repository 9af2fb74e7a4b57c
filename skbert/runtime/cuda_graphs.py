"""CUDA graphs: what a function launches on a GPU, recorded and replayed as one launch.

An eager step of a small batch launches a thousand kernels, and each is done before the
next one is launched. A CUDA graph launches all of them at once. It reads and writes the
same memory every time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from functools import cache
from typing import Generic, TypeVar

import torch

from skbert.runtime.warn import warn_user

__all__ = [
    "ONE_RECORDING",
    "CudaRecorder",
    "RecordedShapes",
    "Recorder",
    "RecordingError",
    "first_paragraph",
    "give_back_memory",
]

Recorded = TypeVar("Recorded")

# A process makes one recording at a time and replays nothing meanwhile, because all
# threads share torch's random number generator, which refuses both. The lock is
# reentrant because a hook of the model may predict.
ONE_RECORDING = threading.RLock()

# A recorder gets a function and another one that warms up for it. It returns a function
# that replays the first. The first need not run before that.
Recorder = Callable[[Callable[[], object], Callable[[], object]], Callable[[], object]]

# Graphs whose recording failed. torch's allocator keeps a pointer to such a graph and
# believes that it is still being recorded, so that it never frees memory again.
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
            # Warm up on the stream of the recording, so that libraries allocate their
            # workspaces now. They stay when the memory of the graphs is freed.
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                for _ in range(2):
                    warm_up()
            current.wait_stream(stream)
            # If recording fails, torch leaves the stream current.
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
            # Up to torch 2.9 the generator believes that it is still being recorded,
            # and eager dropout fails.
            generator.graphsafe_set_state(spare)
            _broken.append(graph)
            if isinstance(error, Exception):
                raise RecordingError(str(error)) from error
            raise
        return graph.replay


@cache
def _recording_stream(device: int) -> torch.cuda.Stream:  # pragma: gpu
    # There is only one, because libraries keep megabytes of workspace per stream.
    return torch.cuda.Stream(device)


def give_back_memory() -> None:
    """Free the memory of graphs that are gone."""
    if torch.cuda.is_initialized() and not _broken:  # pragma: gpu
        torch.cuda.empty_cache()


class RecordedShapes(Generic[Recorded]):
    """The recordings of a function, one for each shape of its input.

    Parameters
    ----------
    n_eager : int
        How often a shape is seen before it is recorded.
    what : str
        What continues without recordings after a failure, for the warning.
    """

    def __init__(self, n_eager: int, what: str) -> None:
        self._n_eager = n_eager
        self._what = what
        self._seen: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, Recorded] = {}
        self._works = True

    def __len__(self) -> int:
        return len(self._recorded)

    def get(self, shape: Hashable, record: Callable[[], Recorded]) -> Recorded | None:
        """Return the recording of a shape; None if it runs eagerly."""
        if shape in self._recorded:
            return self._recorded[shape]
        self._seen[shape] += 1
        if not self._works or self._seen[shape] <= self._n_eager:
            return None
        try:
            self._recorded[shape] = record()
        except Exception as error:
            # An architecture may do anything that cannot be recorded. If the function
            # itself is wrong, it fails again when it runs eagerly.
            self.clear()
            self._works = False
            warn_user(
                f"No CUDA graph can be made of this model ({first_paragraph(error)}). "
                f"{self._what} continues without, with the same results but slower.",
            )
            return None
        return self._recorded[shape]

    def clear(self) -> None:
        """Discard all recordings and free their memory."""
        self._seen.clear()
        if self._recorded:
            self._recorded.clear()
            give_back_memory()


def first_paragraph(error: Exception) -> str:
    """Return what an error says, without the advice for developers that torch adds."""
    return " ".join(str(error).split("\n\n")[0].split())

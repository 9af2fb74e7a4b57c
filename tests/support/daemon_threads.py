"""Daemon threads: one that hangs is an error, and not a run that never ends."""

import threading
import time
from concurrent.futures import Future


def in_threads(actions, seconds=120):
    """Run all actions at once, each in its thread; return their results.

    Not by an executor: its exit waits for a thread that hangs, and so does Python's.
    """
    start = threading.Barrier(len(actions))
    futures = [Future() for _ in actions]

    def run(action, future):
        try:
            start.wait(seconds)
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    threads = [
        threading.Thread(target=run, args=pair, daemon=True)
        for pair in zip(actions, futures, strict=True)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    hung = sum(thread.is_alive() for thread in threads)
    if hung:
        raise TimeoutError(f"{hung} of {len(threads)} threads hang")
    return [future.result() for future in futures]

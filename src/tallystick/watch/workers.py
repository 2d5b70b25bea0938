"""A few threads that work; another one waits for what comes of it on a descriptor, which signal handlers may use.

>>> workers = Workers[str](1)
>>> workers.do(("sum",), lambda: 1 + 1)
>>> workers.wait(5.0)
>>> workers.done()
[(('sum',), 2)]
>>> workers.end(1.0)
True
"""

import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

__all__ = ["Workers"]

T = TypeVar("T")


class Workers(Generic[T]):
    """Threads that work.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._work: queue.SimpleQueue[tuple[tuple[T, ...], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._done: deque[tuple[tuple[T, ...], Any]] = deque()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.finished = time.monotonic()
        self.running = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"tallystick look {number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> int:
        """How many threads are without work."""
        return max(0, len(self._threads) - self.running)

    def do(self, those: tuple[T, ...], work: Callable[[], Any]) -> None:
        """Let a thread work, on those."""
        self.running += 1
        self._work.put((those, work))

    def done(self) -> list[tuple[tuple[T, ...], Any]]:
        """Return what came of work since; what failed gives its exception."""
        found = []
        while self._done:
            found.append(self._done.popleft())
        if found:
            self.running -= len(found)
            self.finished = time.monotonic()
        return found

    def wake(self) -> None:
        """End a wait; signal handlers may call it, and any thread."""
        with suppress(BlockingIOError, OSError):
            os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> None:
        """Wait until something was done or somebody woke, at most so long."""
        select.select([self._reader], [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def end(self, seconds: float) -> bool:
        """End the threads, once their work is done; did they end in this time?"""
        for _ in self._threads:
            self._work.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended:
            os.close(self._reader)
            os.close(self._writer)
            self._writer = -1
        return ended

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            those, work = job
            try:
                result = work()
            except BaseException as error:  # the thread that schedules decides what it means
                result = error
            self._done.append((those, result))
            self.wake()

"""One thread to which everything comes that is read from the store or written to it: many jobs share a transaction.

A job runs within the transaction, and gives what is done once that is durable: nothing is signed before.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from tallystick.errors import explain
from tallystick.witness.errors import BusyError, StoreError
from tallystick.witness.store import Store

__all__ = ["Desk", "Job"]

T = TypeVar("T")
Job = Callable[[Store, int], Callable[[], T]]
"""Takes the store and the time, ms since 1970; returns what is done after the commit."""

_WAITING = 2048  # jobs
_TOGETHER = 256  # jobs in one transaction

_Waiting = tuple[Job[Any], "Future[Any]"]


class Desk:
    """The thread.

    Args:
        store: The store, which nobody else touches as long as this runs.
        say: Takes a line about what happened, for people.
        clock: Gives the time, ms since 1970.
    """

    def __init__(
        self,
        store: Store,
        say: Callable[[str], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store, self._say, self._clock = store, say, clock
        self._jobs: queue.Queue[_Waiting | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="tallystick witness store")
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """What was wrong with the store at the last transaction; None if nothing."""
        return self._trouble

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """End, once all that waits is done."""
        self._jobs.put(None)
        self._thread.join()

    def submit(self, job: Job[T]) -> "Future[T]":
        """Let a job be done.

        Raises:
            BusyError: Too much waits.
        """
        done: Future[T] = Future()
        try:
            self._jobs.put_nowait((job, done))
        except queue.Full:
            raise BusyError("too much waits to be done", hint="ask again later") from None
        return done

    def _run(self) -> None:
        over = False
        while not over:
            batch = [self._jobs.get()]
            while len(batch) < _TOGETHER and not self._jobs.empty():
                batch.append(self._jobs.get())
            over = None in batch
            wanted = [one for one in batch if one is not None and one[1].set_running_or_notify_cancel()]
            if wanted and not self._done(wanted) and len(wanted) > 1:
                # One of them failed, by a mistake of ours: the others must not suffer from it.
                for one in wanted:
                    self._done([one])

    def _done(self, batch: list[_Waiting]) -> bool:
        """Do jobs in one transaction; return whether they have their results."""
        try:
            now = self._store.begin(self._clock())
            finish = [job(self._store, now) for job, _ in batch]
            self._store.database.commit()
        except Exception as error:
            self._store.database.rollback()
            if not isinstance(error, StoreError) and len(batch) > 1:
                return False
            if isinstance(error, StoreError):
                self._note(explain(error))
            for _, done in batch:
                done.set_exception(error)
            return True
        self._note(None)
        for (_, done), last in zip(batch, finish, strict=True):
            try:
                done.set_result(last())
            except Exception as error:
                done.set_exception(error)
        return True

    def _note(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._say(f"the store fails: {trouble}" if trouble else "the store works again")
        self._trouble = trouble

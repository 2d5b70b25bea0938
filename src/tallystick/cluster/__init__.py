"""An engine for `verify`: a cluster of Dask scans objects, each share of them on a worker, and several at a time.

Without an address there is a cluster on this machine for as long as it takes. Keys of single chains go to workers, and
never V: encrypted for the worker that asks, over connections that are encrypted or do not leave the machine.

>>> is_safe("tls://example.org:8786"), is_safe("tcp://example.org:8786"), is_safe("tcp://127.0.0.1:8786")
(True, False, True)
"""

import contextlib
import itertools
import queue
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tallystick.cluster import worker
from tallystick.errors import ReportError
from tallystick.verify.job import Batch, Engine, Job

__all__ = ["WITHOUT_WORKER", "dask", "is_safe"]

WITHOUT_WORKER = 300.0
"""Seconds for which a cluster may have no worker: one that is made when there is work comes after minutes."""

_ANSWERS = 8  # at a time
_AHEAD = 32  # shares for each thread of a worker that are submitted: by these a cluster sees how many workers it needs
_MORE = 4  # threads that may come
_TRIES = 2  # of a share that raised something
_CONNECT = 20.0  # seconds within which the scheduler must answer
_PAUSE = 0.02  # seconds between looks whether a share is done
_COUNTED = 1.0  # seconds for which a number of threads counts

Say = Callable[[str], None]


def dask(address: str | None = None, *, say: Say = lambda _: None) -> Engine:
    """Return an engine that has shares carried out by a cluster of Dask.

    Args:
        address: Of its scheduler, as `tls://HOST:PORT`; certificates are those of Dask's own configuration. None for a
            cluster on this machine.
        say: Called with what somebody who waits should know.

    Raises:
        ReportError: The connection is not encrypted, or the package is not installed.
    """
    if address is not None and not is_safe(address):
        raise ReportError(
            f"the connection to {address} is not encrypted",
            hint="let the cluster use TLS, and name it as tls://HOST:PORT (docs/archive.md)",
        )
    try:
        import distributed  # noqa: F401 - it is seen early whether it is there
    except ImportError as error:
        raise ReportError(
            f"the cluster needs the package {error.name}, which is not installed",
            hint="pip install 'tallystick[dask]'",
        ) from error

    def engine(job: Job, batches: Sequence[Batch]) -> None:
        with _connected(address) as client:
            _Run(client, job, say).carry_out(batches)
        for why, count in sorted(job.troubles.items()):
            say(f"{count} piece{'' if count == 1 else 's'} of objects must be read here: {why}")

    return engine


def is_safe(address: str) -> bool:
    """Is a connection encrypted, or does it stay on this machine?"""
    return re.match(r"tls://|(?:tcp://)?(?:127\.0\.0\.1|localhost|\[::1\]):|inproc://", address) is not None


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Give a client of the cluster."""
    from tallystick.cluster.local import local_cluster

    if address is None:
        with local_cluster() as (scheduler, security), _client(scheduler, security=security) as client:
            yield client
        return
    try:
        client = _client(address)
    except (OSError, TypeError, ValueError) as error:
        raise ReportError(
            f"{address}: the scheduler does not answer ({type(error).__name__})",
            hint="check its address, and the certificates in Dask's configuration",
        ) from error
    with client:
        yield client


def _client(address: str, **options: Any) -> Any:
    from distributed import Client

    return Client(address, timeout=_CONNECT, set_as_default=False, **options)  # type: ignore[no-untyped-call]


class _Run:
    """One job on a cluster."""

    def __init__(self, client: Any, job: Job, say: Say) -> None:
        self._client, self._job, self._say = client, job, say
        # By their names the shares belong together: so those that no worker is free for wait at the scheduler, and not
        # at a worker that may end.
        self._name, self._numbers = f"tallystick-{uuid.uuid4()}", itertools.count()
        self._found, self._looked = 0, -_COUNTED  # threads of all workers, and when they were counted
        self._asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def carry_out(self, batches: Sequence[Batch]) -> None:
        """Have all shares carried out, and what must be done once more."""
        desk = threading.Thread(target=self._answer_all, name="tallystick keys", daemon=True)
        self._client.subscribe_topic(self._name, lambda event: self._asked.put(event[1]))
        desk.start()
        try:
            while batches:
                self._all(batches)
                batches = self._job.late()
        finally:
            self._client.unsubscribe_topic(self._name)
            self._asked.put(None)
            desk.join(10)

    def _all(self, batches: Sequence[Batch]) -> None:
        from distributed import as_completed

        waiting, out = deque(batches), dict[tuple[str, int], Batch]()
        done: Any = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)  # type: ignore[no-untyped-call]
        while waiting or out:
            while waiting and len(out) < self._room():
                batch = waiting.popleft()
                key = (self._name, next(self._numbers))
                future = self._client.submit(
                    worker.carry_out, self._name, self._job.plan, batch, key=key, pure=False, retries=_TRIES
                )
                out[key] = batch
                done.add(future)
            future, result = self._next(done)
            share = result if future.status == "finished" else None
            waiting.extendleft(self._job.take(out.pop(future.key), share))
            del future, result, share

    def _room(self) -> int:
        """Return how many shares are under way at a time: workers come and go."""
        return _AHEAD * (self._threads() + _MORE)

    def _threads(self) -> int:
        """Return how many threads the workers have."""
        if time.monotonic() > self._looked + _COUNTED:
            self._found, self._looked = sum(self._client.nthreads().values()), time.monotonic()
        return self._found

    def _next(self, done: Any) -> tuple[Any, Any]:
        """Return a share that is done, and its result, once there is one."""
        while not done.has_ready():
            if not self._threads():
                self._wait_for_worker()
            time.sleep(_PAUSE)
        future, result = next(done)
        return future, result

    def _wait_for_worker(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WITHOUT_WORKER)
        except TimeoutError as error:
            raise ReportError("the cluster has no worker", hint="start one, and run this again") from error

    def _answer_all(self) -> None:
        with ThreadPoolExecutor(_ANSWERS, thread_name_prefix="tallystick key") as pool:
            while (asked := self._asked.get()) is not None:
                pool.submit(self._answer, asked)

    def _answer(self, asked: dict[str, Any]) -> None:
        """Answer a worker that asks for keys; one that asks what nobody should is not answered."""
        address = asked["worker"]
        if not is_safe(address):
            self._say(f"the connection to the worker {address} is not encrypted: it gets no keys")
            return
        wanted = [(int(log), int(chain)) for log, chain in asked["wanted"]]
        message = self._job.answer(bytes(asked["reader"]), wanted, [bytes(line) for line in asked["lines"]])
        self._client.run(worker.deliver, asked["token"], message, workers=[address], on_error="ignore")

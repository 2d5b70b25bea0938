"""An engine for `verify`: a cluster of Dask scans objects, each share of them on a worker, and several at a time.

Without an address there is a cluster on this machine for as long as it takes. Keys of single chains go to workers, and
never V: encrypted for the worker that asks, over connections that are encrypted or do not leave the machine.

>>> is_safe("tls://example.org:8786"), is_safe("tcp://example.org:8786"), is_safe("tcp://127.0.0.1:8786")
(True, False, True)
"""

import contextlib
import queue
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tallystick.cluster import worker
from tallystick.errors import ReportError
from tallystick.verify.job import Batch, Engine, Job

__all__ = ["dask", "is_safe"]

_ANSWERS = 8  # at a time
_AHEAD = 3  # shares for each thread of a worker that are submitted
_TRIES = 2  # of a share that raised something
_CONNECT = 20.0  # seconds within which the scheduler must answer
_WAIT = 60.0  # seconds within which the first worker must be there

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
        self._topic = f"tallystick-{uuid.uuid4()}"
        self._asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def carry_out(self, batches: Sequence[Batch]) -> None:
        """Have all shares carried out, and what must be done once more."""
        self._meet_workers()
        desk = threading.Thread(target=self._answer_all, name="tallystick keys", daemon=True)
        self._client.subscribe_topic(self._topic, lambda event: self._asked.put(event[1]))
        desk.start()
        try:
            while batches:
                self._all(batches)
                batches = self._job.late()
        finally:
            self._client.unsubscribe_topic(self._topic)
            self._asked.put(None)
            desk.join(10)

    def _meet_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_WAIT)
        except TimeoutError as error:
            raise ReportError("the cluster has no worker", hint="start one, and run this again") from error

    def _all(self, batches: Sequence[Batch]) -> None:
        from distributed import as_completed

        waiting, out = deque(batches), dict[str, Batch]()
        done: Any = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)  # type: ignore[no-untyped-call]
        while waiting or out:
            while waiting and len(out) < self._room():
                batch = waiting.popleft()
                future = self._client.submit(
                    worker.carry_out, self._topic, self._job.plan, batch, pure=False, retries=_TRIES
                )
                out[future.key] = batch
                done.add(future)
            future, result = next(done)
            share = result if future.status == "finished" else None
            waiting.extendleft(self._job.take(out.pop(future.key), share))
            del future, result, share

    def _room(self) -> int:
        """Return how many shares are under way at a time: workers come and go."""
        threads: int = sum(self._client.nthreads().values())
        return _AHEAD * max(1, threads) + 1

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

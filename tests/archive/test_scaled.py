"""A cluster of Dask whose own scaler starts workers and ends them: `verify` finds what it finds without a cluster.

Scheduler, scaler and workers are Dask's; the workers are threads of this process, which come in no time.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tallystick import cluster
from tallystick.errors import ReportError
from tallystick.verify import job
from tests.archive.conftest import Answer, Bucket
from tests.archive.test_cluster import PATIENCE, until
from tests.doctoring import Sealed

LAST = "0011.log"


@pytest.fixture
def scaled(tmp_path: Path) -> Iterator[Any]:
    """Start a cluster without a worker."""
    from distributed import LocalCluster

    here = {"host": "127.0.0.1", "protocol": "tcp", "dashboard_address": ":0", "local_directory": str(tmp_path)}
    own = {"n_workers": 0, "threads_per_worker": 1, "processes": False, "memory_limit": 0}
    with LocalCluster(**own, **here) as made:
        yield made


def test_a_cluster_that_grows_from_nothing_and_shrinks_while_it_works_finds_the_same(
    scaled: Any, bucket: Bucket, log: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "LEAST_SHARE", 1)
    bucket.fill(log, 12)
    expected, said = bucket.verify(digests=True), list[str]()
    grown, shrunk = threading.Event(), threading.Event()

    def hold(method: str, path: str, _: dict[str, str]) -> Answer | None:
        if method == "GET" and "?" not in path:
            (shrunk if path.endswith(LAST) else grown).wait(PATIENCE)
        return None

    bucket.between.trouble = hold
    scaled.adapt(minimum=0, maximum=2, interval="50ms", wait_count=1, target_duration="100ms")
    engine = cluster.dask(scaled.scheduler_address, say=said.append)
    with ThreadPoolExecutor(1) as pool:
        verifying = pool.submit(bucket.verify, digests=True, engine=engine)
        try:
            until(lambda: len(scaled.workers) == 2 or verifying.done())
            grown.set()
            until(lambda: len(scaled.workers) == 1 or verifying.done())
            assert not verifying.done()
        finally:
            grown.set()
            shrunk.set()
        assert verifying.result(PATIENCE) == expected
    assert not said, "nothing was left to be read here"
    until(lambda: not scaled.workers)


def test_a_cluster_that_gets_no_worker_is_given_up(
    scaled: Any, bucket: Bucket, log: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WITHOUT_WORKER", 0.2)
    bucket.fill(log, 1)
    with pytest.raises(ReportError, match="the cluster has no worker"):
        bucket.verify(engine=cluster.dask(scaled.scheduler_address))

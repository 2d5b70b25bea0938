"""A real cluster of Dask on this machine, as `verify --engine dask` starts it, and what its processes hold.

The bucket holds back what the workers ask for until a test lets them go on: so their number and their memory can be
looked at in the middle of their work. The cluster takes some seconds of a processor, so one run of it serves several
promises; how often a worker is killed says TALLYSTICK_CLUSTER_KILLS.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tallystick.cluster import is_safe
from tests.archive.conftest import Answer, Bucket
from tests.doctoring import Sealed

KILLS = int(os.environ.get("TALLYSTICK_CLUSTER_KILLS", "0"))
PATIENCE = 120.0  # seconds, on a machine that does other things, too


class Gate:
    """Lets requests for objects through, or holds them."""

    def __init__(self, bucket: Bucket) -> None:
        self.came, self.open = threading.Event(), threading.Event()
        bucket.between.trouble = self.pass_by

    def pass_by(self, method: str, path: str, _: dict[str, str]) -> Answer | None:
        if method == "GET" and "?" not in path:
            self.came.set()
            self.open.wait(PATIENCE)
        return None


def descendants(pid: int) -> dict[int, str]:
    """Return the processes that a process started, and those that these did, with their command lines."""
    parents, lines = {}, {}
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                parents[int(one.name)] = int(re.findall(r"^PPid:\s+(\d+)", (one / "status").read_text(), re.M)[0])
                lines[int(one.name)] = (one / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, IndexError):
                continue
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return {one: lines[one] for one in found if one in lines}


def holds(pid: int, forms: list[bytes]) -> bool:
    """Is one of some byte strings in the memory of a process?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, rights = re.findall(r"^(\w+)-(\w+) (\S+)", line)[0]
            if "r" not in rights or "w" not in rights:
                continue
            try:
                memory.seek(int(start, 16))
                data = memory.read(int(end, 16) - int(start, 16))
            except (OSError, ValueError, OverflowError):
                continue
            if any(form in data for form in forms):
                return True
    return False


def until(done: Callable[[], bool]) -> None:
    """Wait for something, but not for ever."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def running(bucket: Bucket, log: Sealed, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Gate]]:
    """Start a verification by a cluster; it waits for the first object that a worker reads."""
    bucket.fill(log, 12)
    gate = Gate(bucket)
    one = [] if KILLS else ["taskset", "-c", str(min(os.sched_getaffinity(0)))]  # a worker for each processor
    command = [*one, sys.executable, "-m", "tallystick", "verify", f"{bucket.url}/logs/", "--engine", "dask"]
    command += ["--key", str(tmp_path / "log.key"), "--head", str(tmp_path / "log.head"), "--pins", "none"]
    with open(tmp_path / "said", "wb") as said, open(tmp_path / "report.json", "wb") as report:
        process = subprocess.Popen([*command, "--format", "json"], stdout=report, stderr=said)
    try:
        yield process, gate
    finally:
        gate.open.set()
        started = descendants(process.pid)
        process.kill()
        process.wait(PATIENCE)
        until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and descendants(pid) for pid in started))


def test_a_cluster_finds_what_one_process_finds_and_none_of_its_processes_holds_v(
    running: tuple["subprocess.Popen[bytes]", Gate], bucket: Bucket, log: Sealed, tmp_path: Path
) -> None:
    process, gate = running
    for _ in range(KILLS):
        until(lambda: gate.came.is_set() or process.poll() is not None)
        workers = [pid for pid, line in descendants(process.pid).items() if "spawn_main" in line]
        gate.came.clear()
        os.kill(workers[0], signal.SIGKILL)
    until(lambda: gate.came.is_set() or process.poll() is not None)
    v = log.secrets[0]
    forms = [v, v.hex().encode(), log.key.encode()[60:90]]
    others = descendants(process.pid)
    nodes = {pid for pid, line in others.items() if "tallystick.cluster.node" in line or "spawn_main" in line}
    assert len(nodes) >= (5 if KILLS else 3), others
    assert not [others[pid] for pid in nodes if holds(pid, forms)]
    assert holds(process.pid, forms), "the search finds it where it is"
    assert not any(form.decode("latin-1") in line for form in forms for line in others.values())
    gate.open.set()
    assert process.wait(PATIENCE) == 0, (tmp_path / "said").read_text()
    report = json.loads((tmp_path / "report.json").read_text())
    own = json.loads(json.dumps(bucket.verify(digests=True).to_dict()))
    differing = ("time", "seconds", "command", "keys", "files")
    assert {k: v for k, v in report.items() if k not in differing} == {
        k: v for k, v in own.items() if k not in differing
    }
    assert "must be read here" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("tls://scheduler.example:8786", True),
        ("tcp://127.0.0.1:8786", True),
        ("[::1]:8786", True),
        ("tcp://127.0.0.1.example:8786", False),
        ("tcp://localhost.example:8786", False),
        ("tcp://10.0.0.1:8786", False),
        ("ws://127.0.0.1:8786", False),
        ("scheduler.example:8786", False),
    ],
)
def test_only_a_connection_that_is_encrypted_or_stays_here_is_safe(address: str, safe: bool) -> None:
    assert is_safe(address) is safe


def test_an_address_without_tls_is_refused_before_anything_is_read(bucket: Bucket, log: Sealed) -> None:
    from click.testing import CliRunner

    from tallystick.cli import cli

    bucket.fill(log, 1)
    options = ["verify", f"{bucket.url}/", "--key", str(bucket.directory / "log.key"), "--engine"]
    done = CliRunner().invoke(cli, [*options, "dask:tcp://10.0.0.1:8786"])
    assert "is not encrypted" in done.stderr + str(done.exception)
    assert "there is dask" in CliRunner().invoke(cli, [*options, "spark"]).stderr
    assert not bucket.between.reads()

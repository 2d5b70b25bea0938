"""An archive is the same to one process, to several with partial results, and to a cluster whose worker is killed.

TALLYSTICK_ARCHIVE is how many objects of 5,000 lines there are; with 1,000 of them each process is held to its memory,
and the time of a cluster to that of one process. It takes minutes; smaller ones are in test_partial and test_cluster.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.archive.conftest import Bucket
from tests.archive.test_cluster import descendants, until
from tests.processes import Started
from tests.servers import Moto
from tests.verify.test_constructed import Writer

OBJECTS = int(os.environ.get("TALLYSTICK_ARCHIVE", "0"))
LINES = 5000  # of each
SHARES = 4
MEMORY = 400  # MiB of each process
LIMIT = 3600.0  # seconds

Said = dict[str, Any]


class Watched:
    """What the processes of a run took.

    Attributes:
        peaks: The most memory that each had, MiB, by its number.
        spent: Processor time of each, s.
    """

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self.spent: dict[int, float] = {}

    def look(self, process: "subprocess.Popen[Any]") -> dict[int, str]:
        """Look at a process and those that it started; return their command lines."""
        found = descendants(process.pid)
        for pid in (process.pid, *found):
            try:
                held = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if held:
                self.peaks[pid] = max(self.peaks.get(pid, 0), int(held[1]) // 1024)
                self.spent[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found


@contextmanager
def watched(process: "subprocess.Popen[Any]") -> Iterator[Watched]:
    """Look at a process again and again."""
    over, seen = threading.Event(), Watched()

    def look() -> None:
        while not over.wait(0.1):
            seen.look(process)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


class Archive:
    """The archive, and what verifies it."""

    def __init__(self, bucket: Bucket, directory: Path, environment: dict[str, str]) -> None:
        self.url, self.directory = bucket.url, directory
        self.environment = os.environ | environment
        self.names: list[str] = []
        self._fill(bucket)

    def _fill(self, bucket: Bucket) -> None:
        """Put a log there whose chains and epochs go across the borders of objects, and do it some harm."""
        writer, rest = Writer(), b""
        with ThreadPoolExecutor(4) as pool:
            done = []
            for number in range(OBJECTS):
                if number % 10 == 0:
                    writer.open()
                assert writer.sealer is not None
                for line in range(LINES):
                    writer.take(writer.sealer.seal(b"object=%d line=%d what=%s" % (number, line, bytes([97] * 60)), 0))
                if number % 10 == 9 or number == OBJECTS - 1:
                    writer.counted().close()
                data = rest + b"".join(line + b"\n" for line in writer.lines)
                writer.lines.clear()
                end = (
                    len(data) if number == OBJECTS - 1 else data.rindex(b"\n", 0, len(data) - 30 * (number % 7) - 1) + 1
                )
                data, rest = data[:end], data[end:]
                if number == 3:
                    data = data.replace(b"line=7 ", b"line=8 ", 1)
                if number == 5:
                    data = data[: data.index(b"\n") + 1] + data
                self.names.append(f"logs/{number:04}.log")
                if number != 8:
                    done.append(pool.submit(bucket.put, self.names[-1], data))
            for each in done:
                each.result()
        writer.key(self.directory)
        (self.directory / "head").write_bytes(writer.head)

    def start(self, name: str, words: list[str]) -> "subprocess.Popen[bytes]":
        """Start a command; what it says goes into a file."""
        options = ["--key", str(self.directory / "app.key"), "--head", str(self.directory / "head"), "--format", "json"]
        command = [sys.executable, "-m", "tallystick", *words, *options, "--pins", "none", "-o"]
        with open(self.directory / f"{name}.said", "wb") as said:
            return Started(
                [*command, str(self.directory / f"{name}.json")], env=self.environment, stdout=said, stderr=said
            )

    def run(self, name: str, *words: str, kill: Callable[..., None] = lambda *_: None) -> tuple[Said, Watched]:
        """Run a command to its end; return its report, and what its processes took."""
        (self.directory / f"{name}.json").unlink(missing_ok=True)
        with self.start(name, list(words)) as process, watched(process) as seen:
            kill(process, seen)
            process.wait(LIMIT)
        said = (self.directory / f"{name}.said").read_text()
        assert "must be read here" not in said
        print(name, dict(seen.peaks), round(sum(seen.spent.values()), 1), "s", said.strip()[-300:])
        report = json.loads((self.directory / f"{name}.json").read_text())
        assert isinstance(report, dict)
        return {key: report[key] for key in ("verdict", "findings", "logs", "files", "lines", "size")}, seen


@pytest.fixture
def archive(bucket: Bucket, moto_server: Moto, environment: dict[str, str], tmp_path: Path) -> Archive:
    """Fill a bucket; runs reach the service without anything between."""
    return Archive(bucket, tmp_path, environment | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{moto_server.port}"})


def partials(archive: Archive) -> Said:
    """Verify shares side by side, each in a process, and merge them."""
    shares = [[name for at, name in enumerate(archive.names) if at % SHARES == share] for share in range(SHARES)]

    def verify(share: int) -> str:
        made = str(archive.directory / f"{share}.partial")
        words = [f"{archive.url}/{name}" for name in shares[share]]
        _, seen = archive.run(f"share-{share}", "verify", *words, "--partial", made, "--jobs", "1")
        assert max(seen.peaks.values()) < MEMORY
        return made

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(verify, range(SHARES)))
    return archive.run("merged", "merge", *made)[0]


def killing(process: "subprocess.Popen[Any]", seen: Watched) -> None:
    """Kill the worker that has worked the most, twice."""
    killed = set[int]()
    for _ in range(2):

        def busy() -> bool:
            workers = [pid for pid, line in seen.look(process).items() if "spawn_main" in line and pid not in killed]
            return process.poll() is not None or any(seen.spent.get(pid, 0) > 3 for pid in workers)

        until(busy)
        assert process.poll() is None, "it ended before"
        workers = [pid for pid, line in descendants(process.pid).items() if "spawn_main" in line and pid not in killed]
        worker = max(workers, key=lambda pid: seen.spent.get(pid, 0))
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)


@pytest.mark.skipif(not OBJECTS, reason="takes minutes; say with TALLYSTICK_ARCHIVE how many objects there are")
def test_an_archive_is_the_same_to_one_process_to_several_and_to_a_cluster(archive: Archive) -> None:
    everything = f"{archive.url}/logs/"
    began = time.monotonic()
    one, seen = archive.run("one", "verify", everything)
    took = time.monotonic() - began
    assert one["verdict"] == "failed"
    assert {"altered", "duplicate", "missing"} <= {each["kind"] for each in one["findings"]}
    assert max(seen.peaks.values()) < MEMORY
    merged = partials(archive)
    lacking = {each["kind"] for each in merged["findings"]} - {each["kind"] for each in one["findings"]}
    assert lacking <= {"unreadable"}, "the object that is gone was named there"
    assert [each for each in merged["findings"] if each["kind"] not in lacking] == one["findings"]
    assert (merged["lines"], merged["size"], merged["files"]) == (one["lines"], one["size"], one["files"])
    assert archive.run("cluster", "verify", everything, "--engine", "dask", kill=killing)[0] == one
    began = time.monotonic()
    archive.run("start", "verify", f"{everything}0001.log", "--engine", "dask")
    start = time.monotonic() - began
    began = time.monotonic()
    found, many = archive.run("cluster", "verify", everything, "--engine", "dask")
    cluster = time.monotonic() - began - start
    assert found == one
    print(
        f"{took:.1f} s by one process, {cluster:.1f} s by a cluster, which took {start:.1f} s to start", os.getloadavg()
    )
    assert max(many.peaks.values()) < MEMORY
    assert cluster < 1.25 * took

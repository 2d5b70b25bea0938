"""Measures `tallystick watch`: start, idle cost, and whether it keeps up, on many logs; as a page's section.

    python bench/watch.py [--logs N] [--seconds N] [--rate N] [--history N]

Logs are sealed in this process by the core, without custody: what is measured is the watcher, as a whole process. Its
cost is processor time, so that other work on the machine does not count.
"""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import COMMAND, plain_line

from tallystick import _core
from tallystick.keystore.file import FileKeyStore

_TICKS = os.sysconf("SC_CLK_TCK")
_PORT = 18_416
_EPOCH = 1000  # lines


class Writer:
    """A log with its file, its key and its head."""

    def __init__(self, place: Path, number: int) -> None:
        self.name = f"log{number}"
        directory = place / "logs" / self.name
        directory.mkdir(parents=True)
        self.live, self.key = directory / "app.log", place / "keys" / f"{self.name}.key"
        self._head = place / "store" / self.name / "head"
        setup = _core.setup(self.name)
        self.key.parent.mkdir(exist_ok=True)
        with self.key.open("wb") as file:
            setup.write_key(file.fileno())
        self.key.chmod(0o600)
        FileKeyStore(place / "store").create(self.name, b"state", setup.head())
        self._file = os.open(self.live, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._sealer = setup.state().open_chain(setup.head(), now())
        self._sealer.configure("plain", _EPOCH)
        self.lines = 0
        self._put(self._sealer.start)
        self.checkpoint()

    def write(self, lines: int) -> None:
        """Append lines to the file."""
        data = b"".join(plain_line(self.lines + number) for number in range(lines))
        self.lines += lines
        at, time = 0, now()
        while at < len(data):  # once more after the end of an epoch
            output = _core.Output()
            used, _ = self._sealer.write_lines(data, at, output, time)
            os.write(self._file, output.peek())
            at += used
        if self.lines % _EPOCH < lines:
            self.checkpoint()

    def checkpoint(self) -> None:
        """End an epoch, and put the head into the store, as a writer does."""
        self._put(self._sealer.checkpoint, now())
        if (head := self._sealer.head()) is not None:
            new = self._head.with_name(".new")
            new.touch(0o600)
            new.write_bytes(head)
            new.rename(self._head)

    def _put(self, seal: Callable[..., object], *arguments: int) -> None:
        output = _core.Output()
        seal(output, *arguments)
        os.write(self._file, output.peek())


def now() -> int:
    """Return the time, ms since 1970."""
    return time.time_ns() // 1_000_000


class Watcher:
    """The command as a process, and what it takes."""

    def __init__(self, place: Path, names: list[str], *, jobs: int = 2) -> None:
        lines = [f'state = "{place}/watch"', f"jobs = {jobs}", "[web]", f'listen = "127.0.0.1:{_PORT}"', "[alerts]"]
        lines += ["[[alerts.command]]", f'arguments = ["/bin/sh", "-c", "cat >> {place}/alerts"]']
        for name in names:
            lines += ["[[log]]", f'name = "{name}"', f'paths = ["{place}/logs/{name}"]']
            lines += [f'keys = ["{place}/keys/{name}.key"]', f'store = "file:{place}/store"']
        config = place / "watch.toml"
        config.write_text("\n".join(lines))
        self._out = (place / "out").open("ab")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(f"{place}/notify{len(list(place.glob('notify*')))}")
        self._process = subprocess.Popen(
            [COMMAND, "watch", "--config", config], stdout=self._out, stderr=self._out,
            env=os.environ | {"NOTIFY_SOCKET": self._manager.getsockname()},
        )  # fmt: skip

    def wait(self) -> float:
        """Wait until each log was looked at; return how many seconds of the clock that took."""
        began = time.monotonic()
        self._manager.settimeout(600)
        while b"READY=1" not in self._manager.recv(4096):
            pass
        return time.monotonic() - began

    def states(self) -> dict[str, int]:
        """Return how many logs are in each state."""
        with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/api/v1/logs") as answer:
            found: dict[str, int] = {}
            for log in json.load(answer)["logs"]:
                found[log["state"]] = found.get(log["state"], 0) + 1
            return found

    def spent(self) -> float:
        """Return the seconds of a processor that it has taken."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Return the most memory that it had, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    def end(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._out.close()
        self._manager.close()


@contextmanager
def watching(place: Path, names: list[str]) -> Iterator[Watcher]:
    """Watch until the block ends."""
    watcher = Watcher(place, names)
    try:
        yield watcher
    finally:
        watcher.end()


def many(place: Path, logs: int, seconds: int, rate: int) -> list[str]:
    """Measure many logs: the start, quiet ones, and ones that are written to."""
    writers = [Writer(place, number) for number in range(logs)]
    for writer in writers:
        writer.write(200)
    names = [writer.name for writer in writers]
    rows = ["| what | seconds | processor, seconds | memory |", "| --- | --- | --- | --- |"]
    for what in ("first start, nothing remembered", "start again"):
        with watching(place, names) as watcher:
            took = watcher.wait()
            rows.append(f"| {what} | {took:.1f} | {watcher.spent():.1f} | {watcher.memory() / 1e6:.0f} MB |")
            if what == "start again":
                time.sleep(20)
                before = watcher.spent()
                time.sleep(seconds)
                idle = (watcher.spent() - before) / seconds
                rows.append(f"| quiet, a share of a core: {idle:.1%} | {seconds} | | {watcher.memory() / 1e6:.0f} MB |")
                before, began, said = watcher.spent(), time.monotonic(), set[str]()
                turn = 0
                while time.monotonic() - began < seconds:
                    for number in range(turn % 10, logs, 10):  # each log twice a second, half of its lines at a time
                        writers[number].write(max(1, rate // 2))
                    turn += 1
                    said |= set(watcher.states()) if turn % 25 == 0 else set()
                    time.sleep(max(0.0, began + turn * 0.05 - time.monotonic()))
                took = time.monotonic() - began
                busy = (watcher.spent() - before) / took
                wrote = turn / 10 * logs * max(1, rate // 2) / took
                rows.append(
                    f"| {wrote:,.0f} lines/s in all, a share of a core: {busy:.0%}; states: {', '.join(sorted(said))} "
                    f"| {took:.0f} | | {watcher.memory() / 1e6:.0f} MB |"
                )
    return rows


def detection(place: Path, history: int, rounds: int) -> list[str]:
    """Measure how long it takes until a change of an old line is alerted, behind so many lines."""
    writer = Writer(place, 0)
    for _ in range(0, history, _EPOCH):
        writer.write(_EPOCH)
    times: list[float] = []
    rng = random.Random(1)
    with watching(place, [writer.name]) as watcher:
        watcher.wait()
        alerts, size = place / "alerts", writer.live.stat().st_size
        for _ in range(rounds):
            at = rng.randrange(size)
            began = time.monotonic()
            old = flip(writer.live, at)
            wait(lambda: alerts.exists() and alerts.read_bytes().count(b'"after":"failed"') > len(times))
            times.append(time.monotonic() - began)
            flip(writer.live, at, old)
            wait(lambda: alerts.read_bytes().count(b'"after":"ok"') >= len(times))
        spent = watcher.spent()
    times.sort()
    text = (
        f"A byte of one of {history:,} lines ({size / 1e9:.1f} GB) changed, {rounds} times: alerted after "
        f"{statistics.median(times):.2f} s (median), {times[-1]:.2f} s (the longest); "
        f"{spent:.0f} s of a processor in all."
    )
    return [text]


def flip(path: Path, at: int, byte: bytes | None = None) -> bytes:
    """Change a byte of a file in its place; return what it was."""
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(byte or (b"#" if old != b"#" else b"+"))
    return old


def wait(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not condition():
        time.sleep(0.01)


def watch_section(logs: int, seconds: int, rate: int, history: int, rounds: int) -> list[str]:
    """Measure, and return the section of the page."""
    text = ["## Watching", "", f"`tallystick watch` on {logs:,} logs, looked at each second where they change.", ""]
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        text += many(Path(name), logs, seconds, rate) if logs else []
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        text += ["", *detection(Path(name), history, rounds)] if history else []
    return [*text, ""]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=20, help="lines a second of each log")
    parser.add_argument("--history", type=int, default=20_000_000, help="lines of the log that is changed")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    sys.stdout.write("\n".join(watch_section(**vars(options))) + "\n")


if __name__ == "__main__":
    main()

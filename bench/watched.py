"""What benchmarks of `tallystick watch` share: logs that are sealed in this process, and the command as a process."""

import json
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from measure import COMMAND, plain_line

from tallystick import _core
from tallystick.keystore.file import FileKeyStore

_TICKS = os.sysconf("SC_CLK_TCK")
_EPOCH = 1000  # lines
_STORE = 100  # logs in one key store


class Writer:
    """A log with its file, its key and its head.

    Args:
        place: Where logs, keys and key stores are.
        number: Of this log.
    """

    def __init__(self, place: Path, number: int) -> None:
        self.name = f"log{number}"
        self.directory, self.key = place / "logs" / self.name, place / "keys" / f"{self.name}.key"
        self.store = place / f"store{number // _STORE}"
        for directory in (self.directory, self.key.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self.live, self._head = self.directory / "app.log", self.store / self.name / "head"
        setup = _core.setup(self.name)
        with self.key.open("wb") as file:
            setup.write_key(file.fileno())
        self.key.chmod(0o600)
        FileKeyStore(self.store).create(self.name, b"state", setup.head())
        self._sealer = setup.state().open_chain(setup.head(), now())
        self._sealer.configure("plain", _EPOCH)
        self.lines = 0
        self._file = os.open(self.live, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._put(self._sealer.start)
        self.checkpoint()

    def write(self, lines: int) -> None:
        """Append lines to the file, which holds one chain: some 200,000 are the most."""
        data = b"".join(plain_line(self.lines + number) for number in range(lines))
        self.lines += lines
        output = _core.Output()
        self._sealer.write_lines(data, 0, output, now())
        os.write(self._file, output.peek())
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


class Watched(Protocol):
    """What is watched: its files, its key, and its key store."""

    name: str
    directory: Path
    key: Path
    store: Path


class Watcher:
    """The command as a process, and what it takes.

    Args:
        place: Where its state and its alerts are.
        writers: The logs.
        interval: Seconds between looks.
    """

    def __init__(self, place: Path, writers: Sequence[Watched], interval: float = 1.0) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.alerts = place / "alerts"
        lines = [f'state = "{place}/watch"', f'interval = "{interval}s"', "[web]"]
        lines += [f'listen = "127.0.0.1:{self._port}"', "[[alerts.command]]"]
        lines += [f'arguments = ["/bin/sh", "-c", "cat >> {self.alerts}"]']
        for one in writers:
            lines += ["[[log]]", f'name = "{one.name}"', f'paths = ["{one.directory}"]']
            lines += [f'keys = ["{one.key}"]', f'store = "file:{one.store}"']
        config = place / "watch.toml"
        config.write_text("\n".join(lines))
        self.alerts.touch()
        self._out = (place / "out").open("ab")
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = place / "notify"
        address.unlink(missing_ok=True)
        self._manager.bind(str(address))
        self._process = subprocess.Popen(
            [COMMAND, "watch", "--config", config], stdout=self._out, stderr=self._out,
            env=os.environ | {"NOTIFY_SOCKET": str(address)},
        )  # fmt: skip

    def wait(self) -> float:
        """Wait until each log was looked at; return how many seconds of the clock that took."""
        began = time.monotonic()
        self._manager.settimeout(1800)
        while b"READY=1" not in self._manager.recv(4096):
            pass
        return time.monotonic() - began

    def logs(self) -> list[dict[str, Any]]:
        """Return how each log stands, as the API says it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/logs") as answer:
            found: list[dict[str, Any]] = json.load(answer)["logs"]
            return found

    def alerted(self, count: int) -> list[dict[str, Any]]:
        """Return the alerts after so many."""
        lines = self.alerts.read_bytes().splitlines(keepends=True)[count:]
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

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
        self._process.wait(120)
        self._out.close()
        self._manager.close()


@contextmanager
def watching(place: Path, writers: Sequence[Watched], interval: float = 1.0) -> Iterator[Watcher]:
    """Watch until the block ends."""
    watcher = Watcher(place, writers, interval)
    try:
        yield watcher
    finally:
        watcher.end()


def wait(condition: Callable[[], bool], seconds: float = 600.0, pause: float = 0.01) -> None:
    """Wait until something holds; each time that it is asked may cost the service something."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"this did not come to be within {seconds} seconds")
        time.sleep(pause)


def machine() -> str:
    """Return what this was measured on."""
    info = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    extra = "with" if "sha_ni" in info else "without"
    load = os.getloadavg()[2]
    return (
        f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} processors, {extra} SHA instructions; "
        f"Linux {platform.release()}; load average {load:.0f}"
    )

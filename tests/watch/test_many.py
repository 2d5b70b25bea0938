"""Among many logs that go on, each trouble is one alert, and nothing else is any.

TALLYSTICK_WATCHED_LOGS says how many logs.
"""

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.keystore.file import FileKeyStore
from tallystick.verify.run import Request
from tallystick.watch import track
from tallystick.watch.config import Config, Entry
from tallystick.watch.standing import State
from tests.servers import until
from tests.watch.playing import Watching

LOGS = int(os.environ.get("TALLYSTICK_WATCHED_LOGS", "40"))
PACE = max(0.5, LOGS / 400)  # seconds after which a line comes to each log
SILENCE = 10 * PACE + 5
STORES = 100  # logs in a key store


class Written:
    """A log that the core seals in this process: thousands of them take no process each."""

    def __init__(self, path: Path, number: int) -> None:
        self.name, self._path = f"log{number}", path
        self._store = path / f"store{number // STORES}"
        self.live, self._head = path / self.name / "app.log", self._store / self.name / "head"
        self._seeds = (os.urandom(32), os.urandom(32))
        set_up = _core.setup(self.name, self._seeds)
        self.key = path / f"{self.name}.key"
        with self.key.open("wb") as file:
            set_up.write_key(file.fileno())
        self.key.chmod(0o600)
        FileKeyStore(self._store).create(self.name, b"state", set_up.head())

    def start(self, host: str) -> None:
        """Begin the first chain, on a host; on another one, it is a clone that does."""
        self.live.parent.mkdir(exist_ok=True)
        set_up = _core.setup(self.name, self._seeds)
        self._sealer = set_up.state().open_chain(set_up.head(), time.time_ns() // 1_000_000)
        self._line = f"host={host} user=7 action=login\n".encode()
        self._sealer.configure("plain", 1000)
        self._put(self._sealer.start)
        self.write(5)

    def write(self, count: int = 1) -> None:
        """Append lines, and end the epoch."""
        output, at = _core.Output(), time.time_ns() // 1_000_000
        self._sealer.write_lines(self._line * count, 0, output, at)
        self._append(output)
        self._put(self._sealer.checkpoint, at)
        if (head := self._sealer.head()) is not None:
            self.put_head(bytes(head))

    def head(self) -> bytes:
        """Return the head in the key store."""
        return self._head.read_bytes()

    def put_head(self, head: bytes) -> None:
        """Put another one in its place."""
        new = self._head.with_name(".new")
        new.touch(0o600)
        new.write_bytes(head)
        new.rename(self._head)

    def entry(self) -> Entry:
        """Return the entry of the log."""
        request = Request(paths=(self.live.parent,), keys=(self.key,), store=f"file:{self._store}")
        return Entry(self.name, request, silence=SILENCE)

    def _put(self, seal: "_core.Sealer.start", *arguments: int) -> None:  # type: ignore[valid-type, name-defined]
        output = _core.Output()
        seal(output, *arguments)
        self._append(output)

    def _append(self, output: _core.Output) -> None:
        with self.live.open("ab") as file:
            file.write(output.peek())


class Going:
    """Logs that go on in a thread until the block ends; those that are held do not."""

    def __init__(self, logs: list[Written]) -> None:
        self._logs, self.held = logs, set[str]()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Going":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, *logs: Written) -> None:
        """Let no more lines come to some logs; from the return on none does."""
        with self._lock:
            self.held |= {one.name for one in logs}

    def _write(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            for one in self._logs:
                with self._lock:
                    if one.name not in self.held:
                        one.write()
            self._stop.wait(max(0.0, began + PACE - time.monotonic()))


def test_one_silenced_one_cloned_one_set_back_and_one_never_started_are_four_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "GRACE", 3 * PACE)
    logs = [Written(tmp_path, number) for number in range(LOGS)]
    *started, never = logs
    for one in started:
        one.start("db1")
    silenced, cloned, back = started[LOGS // 4], started[LOGS // 2], started[3 * LOGS // 4]
    old, old_head = back.live.read_bytes(), back.head()
    back.write(10)
    config = Config(tuple(one.entry() for one in logs), tmp_path / "watch", interval=1.0, stale_after=60.0)
    with Going(started) as going, Watching(config) as service:
        assert service.wait_for_all(600)
        going.hold(silenced, cloned, back)
        cloned.start("db2")
        back.put_head(old_head)
        back.live.write_bytes(old)
        wanted = {
            silenced.name: State.SILENT, cloned.name: State.FAILED, back.name: State.FAILED, never.name: State.NEVER
        }  # fmt: skip
        until(lambda: {one.entry for one in service.events} >= wanted.keys(), "four alerts")
        count = len(service.events)
        time.sleep(5 * PACE)  # and no others come
        going.hold(*started)
        changes = [(one.entry, one.after) for one in service.events if one.reason.value == "change"]
        assert Counter(changes) == Counter(wanted.items()), [one.to_line() for one in service.events]
        assert len(service.events) - count <= 1
        standing = [service.board.count(state) for state in (State.OK, State.STALE, State.INCOMPLETE)]
        assert standing == [LOGS - 4, 0, 0]

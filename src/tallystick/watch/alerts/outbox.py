"""Events that wait for one receiver: a file for each, durable, bounded, in order, remembered once they are delivered.

A file comes into its directory whole or not at all. Its name holds its place in the order and a digest of the event's
id; once the event is delivered the file is renamed and emptied, and its name remembers the id. So a process that is
killed at any instant loses no event, and an event that is put twice is delivered once, but for one that was on its
way at that instant. An event for which the disk has no room waits in memory.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     box = Outbox(f"{d}/box")
...     event = {"id": "7", "entry": "app", "reason": "change", "after": "failed"}
...     stored = box.put(event), box.put(event), len(box)
...     (waiting,) = box.heads()
...     box.read(waiting), box.done(waiting), box.put(event), len(box)
({'id': '7', 'entry': 'app', 'reason': 'change', 'after': 'failed'}, None, True, 0)
"""

import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tallystick import securefile
from tallystick.errors import TallystickError
from tallystick.watch.alerts.form import as_line

__all__ = ["Bounds", "Outbox", "Waiting"]

_NAME = re.compile(r"(\d{16})-([0-9a-f]{32})\.(json|done)")
_LARGEST = 1 << 17  # bytes of an event; `form` keeps it under half of that
_DROPPED = "dropped"  # the file with the number of those that were dropped since the last delivery


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much waits for a receiver, and how much is remembered.

    Args:
        events: Events at most.
        size: Bytes at most.
        remembered: Delivered events whose ids are remembered.
    """

    events: int = 10_000
    size: int = 64 << 20
    remembered: int = 4096


@dataclass(slots=True, eq=False)
class Waiting:
    """An event that waits.

    Args:
        stem: Name of its file without the suffix.
        entry: Name of its entry.
        rank: The higher, the later it is dropped if there is no room.
        size: Its bytes.
        since: When it came, seconds since 1970.
        held: Its bytes, as long as they could not be stored.
    """

    stem: str
    entry: str
    rank: int
    size: int
    since: float
    held: bytes | None = None


class Outbox:
    """The events that wait for one receiver. Its caller holds a lock around each call.

    Args:
        path: Its directory; made if it is not there.
        bounds: How much it takes.
        say: Is given what happened to the queue itself, in words.

    Raises:
        TallystickError: The directory cannot be used.
    """

    def __init__(self, path: str, bounds: Bounds | None = None, say: Callable[[str], None] = print) -> None:
        self._path, self._bounds, self._say = path, bounds or Bounds(), say
        self._lanes: dict[str, deque[Waiting]] = {}  # of each entry, the oldest first
        self._count = self._size = self._next = 0
        self._seen: dict[str, str] = {}  # digest of an id -> stem
        self._delivered: deque[str] = deque()  # stems
        self.dropped_in_all = 0
        self.dropped = 0
        """Events that were dropped, as far as no delivered event has said so."""
        with securefile.reporting(TallystickError, path):
            securefile.make_directories(path)
            self._directory = securefile.open_directory(path)
            self._load()

    def __len__(self) -> int:
        """Return how many events wait."""
        return self._count

    @property
    def oldest(self) -> float | None:
        """When the event came that waits the longest, seconds since 1970; None if there is none."""
        return min((lane[0].since for lane in self._lanes.values()), default=None)

    def put(self, plain: dict[str, Any], busy: Waiting | None = None) -> bool:
        """Take an event; one whose id it knows already is not taken twice.

        Args:
            plain: The event as plain values.
            busy: The one that is being delivered, which stays.

        Returns:
            Whether it is on the disk, or needs to be no more. If not, it waits in memory: the disk is full.
        """
        self._store_held()
        digest = hashlib.sha256(plain["id"].encode()).hexdigest()[:32]
        if digest in self._seen:
            return not any(one.stem == self._seen[digest] and one.held for one in self._all())
        data = as_line(plain)
        one = Waiting(f"{self._next:016d}-{digest}", plain["entry"], _rank(plain), len(data), time.time(), data)
        for repeat in [each for each in self._lanes.get(one.entry, ()) if each.rank == 0 and each is not busy]:
            self._forget(repeat)  # what is newer says more
        self._make_room(len(data), busy)
        self._add(one, digest)
        self._store_held()
        return one.held is None

    def heads(self) -> list[Waiting]:
        """Return of each entry the event that is next."""
        return [lane[0] for lane in self._lanes.values()]

    def read(self, one: Waiting) -> dict[str, Any] | None:
        """Return an event; None if it is not there any more or damaged, and then it is dropped."""
        try:
            found = one.held or securefile.read_file(f"{one.stem}.json", self._directory, bytearray, limit=_LARGEST)
            return _checked(bytes(found))
        except (OSError, ValueError, securefile.RefusedError):
            delivered = f"{one.stem}.done" in securefile.names(self._directory)
            self._forget(one)
            if not delivered:  # by those before us, while a new configuration was taken
                self._say(f"an alert in {self._path} is damaged: it is not delivered")
                self._count_dropped(1)
            return None

    def done(self, one: Waiting, dropped: int = 0) -> None:
        """Remember that an event was delivered, and that it said how many had been dropped before it."""
        self._forget(one)
        if dropped:
            self._count_dropped(-dropped)

    def close(self) -> None:
        """Let go of the directory; what is put from now on stays in memory."""
        self._store_held()
        fd, self._directory = self._directory, -1
        if fd >= 0:
            os.close(fd)

    def _load(self) -> None:
        with suppress(OSError, ValueError, securefile.RefusedError):
            self.dropped = int(securefile.read_file(_DROPPED, self._directory, bytearray, limit=32))
        damaged = 0
        for name in sorted(securefile.names(self._directory)):
            match = _NAME.fullmatch(name)
            if match is None:
                if name != _DROPPED:  # of a process that was killed
                    with suppress(OSError):
                        os.unlink(name, dir_fd=self._directory)
                continue
            self._next = max(self._next, int(match[1]) + 1)
            stem, digest = name.rpartition(".")[0], match[2]
            if match[3] == "done":
                self._seen[digest] = stem
                self._delivered.append(stem)
                continue
            try:
                data = bytes(securefile.read_file(name, self._directory, bytearray, limit=_LARGEST))
                plain = _checked(data)
                if hashlib.sha256(plain["id"].encode()).hexdigest()[:32] != digest:
                    raise ValueError("the name is that of another one")
            except (OSError, ValueError, securefile.RefusedError):
                damaged += 1
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._directory)
                continue
            since = os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mtime
            self._add(Waiting(stem, plain["entry"], _rank(plain), len(data), since), digest)
        self._trim()
        if damaged:
            self._say(f"{damaged} alerts in {self._path} were damaged: they are not delivered")
            self._count_dropped(damaged)

    def _all(self) -> Iterator[Waiting]:
        return (one for lane in self._lanes.values() for one in lane)

    def _add(self, one: Waiting, digest: str) -> None:
        self._lanes.setdefault(one.entry, deque()).append(one)
        self._seen[digest] = one.stem
        self._count += 1
        self._size += one.size
        self._next = max(self._next, int(one.stem[:16]) + 1)

    def _store_held(self) -> None:
        """Write down what waits in memory only, in order, as far as there is room."""
        try:
            for one in sorted((each for each in self._all() if each.held), key=lambda each: each.stem):
                securefile.exchange_file(f"{one.stem}.json", one.held or b"", self._directory)
                os.fsync(self._directory)
                one.held = None
        except OSError:
            return  # again with the next one

    def _make_room(self, size: int, busy: Waiting | None) -> None:
        dropped = 0
        while self._count and (self._count >= self._bounds.events or self._size + size > self._bounds.size):
            one = self._least(busy)
            if one is None:
                break
            self._forget(one)
            dropped += 1
        if dropped and not self.dropped:
            self._say(f"the queue of alerts in {self._path} is full: the least grave ones are dropped")
        self._count_dropped(dropped)

    def _least(self, busy: Waiting | None) -> Waiting | None:
        """Return the event that is missed the least: of the lowest rank, and of the entry that has the most.

        Of changes the newest of an entry stays: it says how the entry stands. So does the oldest, as far as it can.
        """
        best: tuple[tuple[int, int, str], Waiting] | None = None
        for lane in self._lanes.values():
            for place, one in enumerate(lane):
                if one is busy or (one.rank >= 2 and place == len(lane) - 1):
                    continue
                ends = one.rank >= 2 and place == 0
                key = (one.rank * 2 + ends, -len(lane) if one.rank else 0, one.stem)
                if best is None or key < best[0]:
                    best = key, one
        return best[1] if best else None

    def _forget(self, one: Waiting) -> None:
        """Take an event out, and remember its id."""
        lane = self._lanes[one.entry]
        lane.remove(one)
        if not lane:
            del self._lanes[one.entry]
        self._count -= 1
        self._size -= one.size
        self._delivered.append(one.stem)
        with suppress(OSError, securefile.RefusedError):  # then it is delivered again by the next process
            if one.held:
                securefile.create_file(f"{one.stem}.done", b"", self._directory)
            else:
                done = f"{one.stem}.done"
                os.rename(f"{one.stem}.json", done, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                fd = securefile.open_file(done, self._directory, os.O_WRONLY)
                try:
                    os.ftruncate(fd, 0)
                finally:
                    os.close(fd)
        self._trim()

    def _trim(self) -> None:
        while len(self._delivered) > self._bounds.remembered:
            stem = self._delivered.popleft()
            self._seen.pop(stem[17:], None)
            with suppress(OSError):
                os.unlink(f"{stem}.done", dir_fd=self._directory)

    def _count_dropped(self, more: int) -> None:
        if more:
            self.dropped_in_all += max(more, 0)
            self.dropped = max(self.dropped + more, 0)
            with suppress(OSError, securefile.RefusedError):  # then it is known to this process only
                securefile.put_file(_DROPPED, str(self.dropped).encode(), self._directory)


def _rank(plain: dict[str, Any]) -> int:
    if plain["reason"] == "repeat":
        return 0
    if plain["reason"] == "finding":
        return 1
    return 3 if plain["after"] == "failed" else 2


def _checked(data: bytes) -> dict[str, Any]:
    """Return an event as it was stored.

    Raises:
        ValueError: It is none.
    """
    plain: Any = json.loads(data)
    fields = ("id", "entry", "reason", "after")
    if not isinstance(plain, dict) or not all(isinstance(plain.get(field), str) for field in fields):
        raise ValueError("no event")
    return plain

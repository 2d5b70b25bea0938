"""Locks are taken in their order, and nobody waits while holding the turn."""

import os
import threading
import time
from dataclasses import fields

import pytest

import tallystick
from tallystick.writer import lifecycle
from tallystick.writer.locks import Locks
from tests.log.test_log import Place, in_a_child

ORDER = ["key set-up", *(each.name for each in fields(Locks))]


class Watch:
    """Which locks each thread holds, and what was done in the wrong order."""

    def __init__(self):
        self.held, self.wrong, self.taken = threading.local(), [], set()

    def names(self):
        return self.held.__dict__.setdefault("names", [])

    def takes(self, name):
        later = [each for each in self.names() if ORDER.index(each) > ORDER.index(name)]
        if later and name not in self.names():
            self.wrong.append(f"{name} after {later}")

    def waits(self, how):
        if "turn" in self.names():
            self.wrong.append(f"{how} while holding the turn")


class Watched:
    """A lock that reports to a watch. It is what a condition wants of a lock, too."""

    def __init__(self, watch, name, lock):
        self.watch, self.name, self.lock = watch, name, lock

    def acquire(self, blocking=True, timeout=-1):
        self.watch.takes(self.name)
        got = self.lock.acquire(blocking, timeout)
        if got:
            self.watch.names().append(self.name)
            self.watch.taken.add(self.name)
        return got

    def release(self):
        self.watch.names().remove(self.name)
        self.lock.release()

    def hold(self, seconds):
        return self.acquire(timeout=seconds)

    def renew(self):
        self.__init__(self.watch, self.name, threading.RLock())

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()

    def _is_owned(self):
        return self.name in self.watch.names()

    def _release_save(self):
        count = self.watch.names().count(self.name)
        for _ in range(count):
            self.release()
        return count

    def _acquire_restore(self, count):
        for _ in range(count):
            self.acquire()


@pytest.fixture
def watch(monkeypatch):
    watch = Watch()

    def locks():
        kinds = {name: threading.RLock() if name == "turn" else threading.Lock() for name in ORDER[1:]}
        return Locks(**{name: Watched(watch, name, lock) for name, lock in kinds.items()})

    monkeypatch.setattr("tallystick.writer.log.Locks", locks)
    monkeypatch.setattr(lifecycle, "KEY_SETUP", Watched(watch, "key set-up", threading.RLock()))
    for owner, name in ((threading.Thread, "join"), (time, "sleep")):
        call = getattr(owner, name)

        def waiting(*given, name=name, call=call, **more):
            watch.waits(name)
            return call(*given, **more)

        monkeypatch.setattr(owner, name, waiting)
    return watch


def test_the_watch_sees_what_is_wrong(watch):
    first, second = (Watched(watch, name, threading.Lock()) for name in ("turn", "group"))
    with first, second:
        time.sleep(0)
    assert watch.wrong == ["group after ['turn']", "sleep while holding the turn"]


@pytest.mark.parametrize("durability", ["flush", "sync", "sync-each"])
def test_a_writer_with_all_that_it_can_do_takes_locks_in_their_order(tmp_path, watch, durability):
    place = Place(tmp_path)
    rotation = tallystick.Rotation(size=20_000, keep=2, compress="gz")
    options = {"epoch_lines": 1, "heartbeat": 0.05, "epoch_age": 0.05, "rotation": rotation, "durability": durability}

    def write():
        for number in range(90):
            log.write(f"{number} " + "x" * 50)

    with place.open(**options, on_trouble=lambda _: None) as log:
        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        log.write_lines(b"one\ntwo\n" * 50)
        assert in_a_child(lambda: 0) == 0
        os.rename(place.output, tmp_path / "moved")
        log.reopen()
        log.checkpoint()
        for thread in threads:
            thread.join()
        time.sleep(0.6)  # a head is stored in the background
    assert watch.wrong == []
    assert watch.taken >= {"key set-up", "turn", "head", "lease"}
    assert ("group" in watch.taken) == (durability == "sync-each")


@pytest.mark.parametrize("end", ["give up", "close"])
def test_a_writer_that_waits_for_room_holds_nothing(tmp_path, watch, end):
    place, refusing = Place(tmp_path), threading.Event()

    def take(_):
        if refusing.is_set():
            raise ConnectionError("away")

    log = place.open(output=take, on_full="block", on_trouble=lambda _: None)
    log.write("one")
    refusing.set()
    errors = []

    def write():
        try:
            log.write("two")
        except tallystick.TallystickError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert log.position  # which needs the turn
    assert in_a_child(lambda: 0) == 0
    if end == "give up":
        log.give_up()
    with pytest.raises(tallystick.TallystickError, match="sealed lines that were not written"):
        log.close()
    for thread in threads:
        thread.join()
    assert all("was asked not to wait any longer" in error for error in errors)
    assert (len(errors), watch.wrong) == (3, [])

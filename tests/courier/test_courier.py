"""The process that does all work on sealing states: what it gives, and what becomes of it in trouble."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

import tallystick
from tallystick import _core, courier, keystore
from tallystick.courier import Courier
from tallystick.errors import CustodyError, KeyStoreError, LeaseLostError, SealError
from tests.processes import Started
from tests.servers import until


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A directory for programs that take the place of systemd-creds."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def put(script):
        (directory / "systemd-creds").write_text(f"#!/bin/sh\n{script}\n")
        (directory / "systemd-creds").chmod(0o755)

    return put


class Place:
    """A key store with a log, and its custody."""

    def __init__(self, directory, custody=None):
        self.directory = directory
        self.store = f"file:{directory}/store"
        self.custody = custody or f"master-key:{directory}/master.key"

    def create(self, name="payments"):
        key = self.directory / f"{name}.key"
        return tallystick.create(name, store=self.store, custody=self.custody, key_file=key)

    def lease(self):
        return keystore.connect(self.store).lease("payments")

    def open(self):
        return tallystick.open("payments", output=self.directory / "audit.log", store=self.store)

    def state(self):
        return keystore.connect(self.store).load("payments").state


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.create()
    return made


def children():
    """The processes that this one has started and that still run."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return {int(pid) for pid in found if Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"}


# What it gives


def test_a_fetched_state_is_that_of_the_store_and_a_put_one_takes_its_place(place):
    with place.lease() as lease:
        with Courier(lease, None) as carrier:
            state = carrier.fetch()
            assert (state.name, state.next_chain) == ("payments", 1)
            assert state.public_key == _core.read_state(place.state()).public_key
            state.fetch_early()
            carrier.put(state)
        with Courier(lease, None) as carrier:
            assert carrier.fetch().next_chain == 2


def test_the_writer_gets_no_wrapped_key_and_no_text_of_a_state(place):
    before, asked = place.state(), []
    with place.lease() as lease, Courier(lease, None) as carrier:
        start, carrier_hears = courier.Child.hear, []

        def hear(child):
            carrier_hears.append(start(child))
            return carrier_hears[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(courier.Child, "hear", hear)
            carrier.fetch()
        asked = str(carrier_hears).encode()
    for line in before.split(b"\n"):
        field, _, value = line.partition(b" ")
        if field in (b"wrapped", b"secret"):
            assert len(value) > 20
            assert value not in asked
    assert b"tallystick-state" not in asked


def test_a_state_that_was_fetched_and_not_put_changes_nothing(place):
    before = place.state()
    with place.lease() as lease, Courier(lease, None) as carrier:
        carrier.fetch()
    assert place.state() == before


def test_it_works_under_the_lease_of_the_writer_and_releases_nothing(place):
    with place.lease() as lease:
        with Courier(lease, None) as carrier:
            carrier.fetch()
        with pytest.raises(KeyStoreError, match="is being written by"):
            place.lease()
        lease.confirm()


def test_a_store_that_was_moved_away_is_noticed_before_anything_is_replaced(place):
    with place.lease() as lease, Courier(lease, None) as carrier:
        state = carrier.fetch()
        state.fetch_early()
        (place.directory / "store" / "payments").rename(place.directory / "away")
        with pytest.raises(LeaseLostError, match="was moved, removed or unlocked"):
            carrier.put(state)


def test_a_log_that_has_ended_is_not_fetched_and_its_end_may_be_asked_for_again(place):
    with place.lease() as lease:
        courier.end(lease, None)
        with pytest.raises(SealError, match="has ended"), Courier(lease, None) as carrier:
            carrier.fetch()
        with pytest.raises(SealError, match="has ended"):
            courier.end(lease, None)


# Trouble


def test_no_process_is_left_whatever_happens(place):
    before = children()
    with place.open() as log:
        log.write("one")
    (place.directory / "master.key").unlink()
    with pytest.raises(CustodyError, match=r"master\.key is not there"):
        place.open()
    until(lambda: not children() - before, "the end of all children", 5)


def test_one_that_hangs_is_ended_with_what_it_started(programs, tmp_path):
    programs(f"kill -STOP $PPID; echo $$ > {tmp_path}/pid; exec sleep 60")
    began = time.monotonic()
    with pytest.raises(CustodyError, match=r"systemd-creds:\?timeout=0\.5 did not answer within 0\.5 seconds"):
        Place(tmp_path, "systemd-creds:?timeout=0.5").create()
    assert time.monotonic() - began < 30
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    until(lambda: not stat.exists() or stat.read_text().split(") ")[1][0] == "Z", "its end", 5)
    assert not list(tmp_path.glob("store/*"))


def test_one_that_is_killed_is_reported(programs, tmp_path):
    programs("kill -KILL $PPID")
    with pytest.raises(CustodyError, match="was ended before it had answered\nhint: try again"):
        Place(tmp_path, "systemd-creds:").create()


def test_it_ends_with_its_writer(programs, tmp_path):
    programs(f"echo $PPID > {tmp_path}/pid; sleep 60")
    script = (
        "import tallystick\n"
        f"tallystick.create('payments', store='file:{tmp_path}/store', custody='systemd-creds:', "
        f"key_file='{tmp_path}/payments.key')"
    )
    writer = Started([sys.executable, "-c", script])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the courier")
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    until(lambda: not stat.exists() or stat.read_text().split(") ")[1][0] == "Z", "its end", 5)


def test_where_it_cannot_be_started_that_is_reported(place, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    with pytest.raises(KeyStoreError, match=r"cannot be started \(/nowhere/python3\): no such file"):
        place.open()


def test_a_place_that_anybody_may_write_to_lends_it_no_modules(place, tmp_path, monkeypatch):
    """It runs where the writer does, and that may be anywhere."""
    (tmp_path / "json.py").write_text("raise SystemExit('loaded')\n")
    monkeypatch.chdir(tmp_path)
    with place.open() as log:
        log.write("one")


def test_a_signal_handler_of_the_writer_that_reaps_all_children_does_no_harm(place):
    def reap(*_):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, reap)
    try:
        with place.open() as log:
            log.write("one")
    finally:
        signal.signal(signal.SIGCHLD, before)

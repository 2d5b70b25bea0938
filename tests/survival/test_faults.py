"""Outputs and key stores that fail for a while, under each --on-full: nothing is lost silently (spec section 6)."""

import errno
import itertools
import os
import resource
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest

from tests.cases import some
from tests.places import COMMAND, mounted
from tests.processes import Started
from tests.sealed import entries
from tests.survival.remains import Remains
from tests.survival.writing import account, assert_verifies, files, until, writer

MODES = ["block", "drop", "stop"]


def fill(disk):
    """Leave no room on a disk."""
    with open(disk / "ballast", "ab", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    assert os.statvfs(disk).f_bavail == 0


class FullDisk:
    """No room on the disk."""

    options, output, says = (), "disk/audit.log", "disk/audit.log: no space left on device; make room there"

    @contextmanager
    def on(self, request, site):
        self._disk = request.getfixturevalue("small_disk")
        yield {}

    def begin(self, one):
        fill(self._disk)

    def end(self, one):
        (self._disk / "ballast").unlink()


class Limit:
    """A limit of the size of files."""

    options, output = (), "audit.log"
    says = "audit.log: file too large; raise the limit of the size of files (ulimit -f)"

    @contextmanager
    def on(self, request, site):
        yield {}

    def begin(self, one):
        _, self._most = resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE)
        size = one.output.stat().st_size + 4000
        resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (size, self._most))

    def end(self, one):
        if one.process.poll() is None:
            resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (self._most, self._most))


class Rules:
    """Calls that fail as faults.c is told."""

    def __init__(self, rules, says, *options):
        self._rules, self.says, self.options, self.output = rules, says, options, "audit.log"

    @contextmanager
    def on(self, request, site):
        self._control = site.path / "faults"
        self._control.touch()
        yield request.getfixturevalue("preload")("faults", FAULTS=self._control)

    def begin(self, one):
        self._control.write_text(self._rules)

    def end(self, one):
        self._control.write_text("")


AWAY = f"open {errno.EIO} 0 -1 /store/payments"
CHAINS = ("--epoch-lines", "1")  # a chain has 256 epochs, so the next one is due all the time

TROUBLE = {
    "full disk": FullDisk,
    "limit": Limit,
    "write: EIO": lambda: Rules(
        f"write {errno.EIO} 0 -1 /audit.log\n", "audit.log: input/output error; look into the system's log"
    ),
    "write: short, then EDQUOT": lambda: Rules(
        f"write short 0 1 /audit.log\nwrite {errno.EDQUOT} 0 -1 /audit.log\n",
        "audit.log: disk quota exceeded; make room there",
    ),
    "store at a new chain: no state": lambda: Rules(f"{AWAY}/state.new\n", "state.new: input/output error", *CHAINS),
    "store at a new chain: no head": lambda: Rules(f"{AWAY}/head.new\n", "head.new: input/output error", *CHAINS),
    "store at a new file": lambda: Rules(
        f"{AWAY}/\n", "input/output error", *CHAINS, "--rotate-size", "15kB", "--compress", "gz"
    ),
}
WORDS = {"block": "log payments waits", "drop": "log payments drops lines until it goes on"}


# What fails is met in one place for all modes; a mode has its own way with an output, and with a key store.
MET = [(each, "block") for each in TROUBLE]
MET += [(each, mode) for each in ("full disk", "store at a new chain: no state") for mode in ("drop", "stop")]


@pytest.mark.parametrize(("trouble", "mode"), some(itertools.product(TROUBLE, MODES), MET))
def test_trouble_that_passes(site, request, trouble, mode):
    fault = TROUBLE[trouble]()
    with (
        fault.on(request, site) as env,
        writer(site, "--on-full", mode, *fault.options, output=fault.output, env=env) as one,
    ):
        fault.begin(one)
        until(lambda: fault.says in one.said and WORDS.get(mode, "was stopped at") in one.said)
        if mode == "stop":
            assert one.done() == 4
            fault.end(one)
            assert_stopped(one)
            return
        if mode == "drop":
            one.more()  # nobody waits
        else:
            time.sleep(0.3)
        fault.end(one)
        until(lambda: "log payments goes on" in one.said)
        one.more()
        assert one.done() == 0
        assert one.said.count("log payments goes on") == 1
        assert (account(one) > 0) == (mode == "drop")
        assert_verifies(one)


def assert_stopped(one):
    """What is there is a beginning of what came; the next writer goes on behind it."""
    numbers = Remains.of(files(one)).runs[one.run]
    assert sorted(numbers) == list(range(len(numbers)))
    one.site.seal(b"after\n", str(one.output))
    Remains.of(files(one)).assert_nothing_twice()
    assert_verifies(one, clean=False)


def test_writes_that_fall_short_are_nothing_that_anybody_notices(site, preload):
    control = site.path / "faults"
    control.write_text("write short 0 -1 /audit.log\n")
    with writer(site, env=preload("faults", FAULTS=control)) as one:
        one.more()
        assert one.done() == 0
        assert (one.said, account(one)) == ("", 0)
        assert_verifies(one)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("times", [1, -1], ids=["once", "for good"])
def test_a_sync_that_fails_stops_the_writer_and_no_head_counts_what_came_after(site, preload, mode, times):
    control = site.path / "faults"
    control.touch()
    with writer(site, "--on-full", mode, env=preload("faults", FAULTS=control)) as one:
        until(lambda: b" 0.0.0." not in site("head", "payments").out)
        control.write_text(f"sync {errno.EIO} 0 {times} /audit.log\n")
        until(lambda: "the lines may not be on the disk" in one.said)
        before = site("head", "payments").out
        assert one.done() == 4  # a sync that is tried again may seem to work, with the lines gone
        assert "audit.log: input/output error; the lines may not be on the disk; log payments was stopped" in one.said
        assert site("head", "payments").out == before
        assert_stopped(one)


@pytest.mark.parametrize("how", ["run", "seal"])
def test_who_waits_for_lines_is_woken_when_the_log_stops(site, preload, how):
    control = site.path / "faults"
    control.write_text(f"sync {errno.EIO} 0 -1 /audit.log\n")
    command = ("--", "sh", "-c", "echo one; exec sleep 60") if how == "run" else ()
    with Started(
        [COMMAND, how, "payments", "-o", "audit.log", *command], cwd=site.path,
        env=site.env | preload("faults", FAULTS=control), stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        running.stdin.write(b"one\n")
        running.stdin.flush()
        assert running.wait(20) == 4  # it waits for more, which never comes
        assert b"the lines may not be on the disk" in running.stderr.read()
    site.seal(b"after\n")
    assert site.verdict()[0] == "ok"


@pytest.mark.parametrize("mode", MODES)
def test_a_named_pipe_whose_reader_leaves_and_another_comes(site, mode):
    os.mkfifo(site.path / "pipe")
    with site.start("seal", "payments", "-o", "pipe", "--on-full", mode) as writer:
        with open(site.path / "pipe", "rb") as first:
            writer.stdin.write(b"one\n")
            read = [first.readline(), first.readline()]
        writer.stdin.write(b"two\n")
        assert b"pipe: broken pipe; the reader is gone" in writer.stderr.readline()
        if mode == "stop":
            assert writer.wait(20) == 4
            return
        writer.stdin.write(b"three\n")
        time.sleep(0.2)
        with open(site.path / "pipe", "rb") as second:
            if mode == "drop":
                until(lambda: b"goes on" in writer.stderr.readline())
            writer.stdin.close()
            read += second.readlines()
        assert writer.wait(20) == 0
    (site.path / "audit.log").write_bytes(b"".join(read))
    kept = [b"one", b"two", b"three"] if mode == "block" else [b"one", b"two"]  # a line that is sealed has its place
    told = [b"[dropped] 1 line was dropped f"] if mode == "drop" else []
    assert [entry[:30] for entry in entries(site.read())] == kept + told
    assert site.verdict() == ("ok", [])


def test_a_full_disk_under_a_writer_that_rotates_compresses_and_removes_loses_nothing(site):
    options = ("--rotate-size", "20kB", "--compress", "zst", "--keep", "4")
    # Large enough for a file that grows while a busy machine keeps the next chain waiting.
    with mounted(site.path / "disk", size="2m") as disk, writer(site, *options, output="disk/audit.log") as one:
        for round_ in range(1, 4):
            fill(disk)
            until(lambda n=round_: one.said.count("no space left") >= n)
            time.sleep(0.2)
            (disk / "ballast").unlink()
            one.more(500)
        assert one.done() == 0
        found = Remains.of(files(one))
        numbers = sorted(found.runs[0])
        assert numbers == list(range(numbers[0], one.fed))
        first = min(chain for chain, _, _ in found.positions)
        assert site.verdict("disk/audit.log*", more=("--from", str(first))) == ("ok", [])


# The key store


def test_a_read_only_store_is_refused_at_opening_and_reported(bare, small_disk):
    bare.env["TALLYSTICK_STORE"] = str(small_disk / "store")
    bare.init()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = bare("seal", "payments", "-o", "audit.log", stdin=b"one\n")
    assert done.status == 4
    assert "read-only file system; mount it writable or choose another place" in done.err
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    bare.seal(b"two\n")
    assert bare.verdict() == ("ok", [])


@pytest.mark.parametrize("mode", MODES)
def test_a_store_that_becomes_read_only_is_reported_while_lines_go_on(site, preload, mode):
    control = site.path / "faults"
    control.touch()
    with writer(site, "--on-full", mode, env=preload("faults", FAULTS=control)) as one:
        control.write_text(f"open {errno.EROFS} 0 -1 /store/payments/\n")
        until(lambda: "read-only file system" in one.said)
        one.more(1000)
        control.write_text("")
        one.more()
        assert one.done() == 0
        assert one.said.count("\n") == 1
        assert account(one) == 0
        assert_verifies(one)


def test_a_store_that_is_read_only_to_the_end_is_no_success(site, preload):
    control = site.path / "faults"
    control.touch()
    with writer(site, "--on-full", "drop", env=preload("faults", FAULTS=control)) as one:
        control.write_text(f"open {errno.EROFS} 0 -1 /store/payments/\n")
        until(lambda: "read-only file system" in one.said)
        assert one.done() == 4
        assert account(one) == 0
        control.write_text("")
        site.seal(b"after\n")
        assert_verifies(one, clean=False)


def test_a_store_that_is_moved_as_a_whole_and_back_is_not_even_noticed(site):
    with writer(site, *CHAINS) as one:
        site.store.rename(site.path / "elsewhere")
        one.more(1000)
        (site.path / "elsewhere").rename(site.store)
        one.more()
        assert one.done() == 0
        assert account(one) == 0
        assert_verifies(one)


@pytest.mark.parametrize("options", [CHAINS, ("--rotate-size", "15kB")], ids=["new chain", "new file"])
@pytest.mark.parametrize("mode", MODES)
def test_a_log_that_is_moved_out_of_its_store_stops_the_writer_for_good(site, mode, options):
    log, elsewhere = site.store / "payments", site.path / "elsewhere"
    with writer(site, "--on-full", mode, *options) as one:
        log.rename(elsewhere)
        assert one.process.wait(20) == 4
        assert "was moved, removed or unlocked while log payments was being written" in one.said
        elsewhere.rename(log)
        assert one.done() == 4
        assert_stopped(one)

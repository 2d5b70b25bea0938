"""A log as a library writes it: what it promises to the program that holds it (spec sections 4 to 6)."""

import ctypes
import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

import tallystick
from tallystick import _core, keystore
from tallystick.courier import Courier
from tallystick.errors import KeyStoreError, SealError, explain
from tallystick.sinks.stream import StreamSink
from tallystick.writer.opening import open_chain
from tests.sealed import controls, entries, lines, position


class Place:
    """A log, payments, with its key and its output."""

    def __init__(self, directory):
        self.store = f"file:{directory}/store"
        self.state = directory / "store" / "payments"
        self.output = directory / "audit.log"
        self.key, self.public = directory / "payments.key", directory / "payments.pub"
        tallystick.create(
            "payments",
            store=self.store,
            custody=f"master-key:{directory}/master.key",
            key_file=self.key,
            public_file=self.public,
        )

    def open(self, **options):
        return tallystick.open("payments", **{"output": self.output, "store": self.store} | options)

    def read(self):
        return self.output.read_bytes()

    def entries(self):
        return entries(self.read())

    def head(self):
        """The position that the head in the store counts up to."""
        return _core.parse_head(keystore.connect(self.store).load("payments").head)[1]

    def verify(self, *more, **options):
        """Verify; return the verdict and the kinds of the findings but for notices, which `entries` shows."""
        report = tallystick.verify([self.output, *more], keys=[self.key], store=self.store, **options)
        return report.verdict.value, sorted({finding.kind for finding in report.findings} - {"notice"})


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


# What is written


RECORDS = {
    "text": ("user=7 ü", "user=7 ü".encode()),
    "bytes": (b"\xff\0\x80", b"\xff\0\x80"),
    "bytearray": (bytearray(b"abc"), b"abc"),
    "memoryview": (memoryview(b"abc"), b"abc"),
    "nothing": ("", b""),
    "LF behind": ("one\n", b"one"),
    "CRLF behind": ("one\r\n", b"one"),
    "LF inside": ("one\ntwo", rb"one\ntwo"),
    "CR inside": ("one\rtwo", rb"one\rtwo"),
    "CRLF inside": (b"one\r\ntwo\n", rb"one\r\ntwo"),
    "only line ends": ("\n\n\n", rb"\n\n"),
    "two CR behind": ("one\r\r\n", rb"one\r"),
    "an injected seal": ("x\ny tally=aaaaaaaa.1.0.1.1.A", rb"x\ny tally=aaaaaaaa.1.0.1.1.A"),
    "surrogates that stand for bytes": ("a\udcffb", b"a\xffb"),
    "surrogates that stand for nothing": ("a\ud800b", rb"a\ud800b"),
    "surrogates of both kinds": ("\udcff\ud800ü", rb"\udcff\ud800" + "ü".encode()),
    "other line ends": ("a\x0b\x85\u2028b", "a\x0b\x85\u2028b".encode()),
}


@pytest.mark.parametrize(("record", "entry"), RECORDS.values(), ids=RECORDS)
def test_a_record_becomes_one_line(place, record, entry):
    with place.open() as log:
        log.write(record)
    assert place.entries() == [entry]
    assert place.verify() == ("ok", [])


def test_the_longest_entry_passes_and_a_longer_one_is_refused_without_harm(place):
    with place.open() as log:
        log.write(b"x" * 2**24)
        with pytest.raises(SealError, match="an entry has 16777216 bytes at most, this one has 16777217; split it"):
            log.write(b"x" * (2**24 + 1))
        log.write("after")
    assert [len(entry) for entry in place.entries()] == [2**24, 5]
    assert place.verify() == ("ok", [])


def test_only_whole_lines_are_taken_from_bytes(place):
    with place.open() as log:
        assert log.write_lines(b"one\r\ntwo\nhal") == 9
        assert log.write_lines(b"no line end") == 0
        assert log.write_lines(b"") == 0
    assert place.entries() == [b"one", b"two"]


def test_a_line_among_many_that_is_too_long_never_makes_a_hole(place):
    with suppress(SealError), place.open() as log:
        log.write("before")
        with pytest.raises(SealError):
            log.write_lines(b"one\n" + b"x" * (2**24 + 1) + b"\ntwo\n")
        log.write("after")
    with place.open() as log:
        log.write("later")
    verdict, kinds = place.verify()
    assert (verdict, set(kinds) <= {"unclean end"}) == ("ok", True)


def test_a_line_is_in_the_file_when_write_returns(place):
    with place.open() as log:
        for i in range(10):
            log.write(f"line {i}")
            assert place.entries()[-1] == b"line %d" % i


def test_the_position_is_that_of_the_next_line(place):
    with place.open() as log:
        assert log.position == "1.0.0"
        log.write("one")
        assert log.position == "1.0.2"


# Several threads


def test_lines_of_eight_threads_are_all_there_and_verify(place):
    def write(number):
        for i in range(20_000):
            log.write(f"{number} {i}")

    with place.open() as log:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [[] for _ in range(8)]
    for entry in place.entries():
        number, i = map(int, entry.split())
        found[number].append(i)
    assert found == [list(range(20_000))] * 8
    assert place.verify() == ("ok", [])


@pytest.mark.alone
def test_a_line_costs_a_few_times_what_the_system_call_alone_costs(place, tmp_path):
    # Measured: 2 µs to 0.67 µs, so 3. What else a machine does makes a round slower, never faster.
    line, sealed = "x" * 200, b"x" * 260 + b"\n"
    fd = os.open(tmp_path / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def seconds(call, what):
        began = time.thread_time()
        for _ in range(10_000):
            call(what)
        return time.thread_time() - began

    with place.open() as log:
        rounds = [(seconds(log.write, line), seconds(partial(os.write, fd), sealed)) for _ in range(15)]
    os.close(fd)
    most = 4 if "sha_ni" in Path("/proc/cpuinfo").read_text() else 10
    assert min(one for one, _ in rounds) < most * min(other for _, other in rounds), rounds


def test_lines_and_checkpoints_and_bulk_mix(place):
    def bulk():
        for i in range(50):
            log.write_lines(b"".join(b"bulk %d\n" % (i * 100 + j) for j in range(100)))

    with place.open(epoch_lines=64) as log:
        threads = [threading.Thread(target=bulk), threading.Thread(target=bulk)]
        for thread in threads:
            thread.start()
        for i in range(200):
            log.write(f"alone {i}")
            log.checkpoint()
        for thread in threads:
            thread.join()
    assert len(place.entries()) == 10_200
    assert place.verify() == ("ok", [])


# Signal handlers


@pytest.fixture
def alarms():
    """Call a function in a signal handler, again and again."""

    def start(call, seconds=0.0003):
        signal.signal(signal.SIGALRM, lambda *_: call())
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    before = signal.getsignal(signal.SIGALRM)
    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_may_write_in_the_middle_of_a_line(place, alarms):
    numbers = itertools.count()

    def write():
        log.write(f"handler {next(numbers)}")  # another signal may come before this one is written

    with place.open(epoch_lines=20) as log:
        alarms(write)
        for i in range(6000):
            log.write(f"main {i}")
        signal.setitimer(signal.ITIMER_REAL, 0)
    found = place.entries()
    handled = next(numbers)
    assert handled > 10
    assert [e for e in found if e.startswith(b"main")] == [b"main %d" % i for i in range(6000)]
    assert sorted(e for e in found if e.startswith(b"handler")) == sorted(b"handler %d" % i for i in range(handled))
    assert place.verify() == ("ok", [])


def test_a_signal_handler_may_write_while_its_thread_syncs(place, alarms):
    """It once met locks that its own thread held."""
    numbers = itertools.count()
    with place.open(durability="sync-each", epoch_lines=20) as log:
        alarms(lambda: log.write(f"handler {next(numbers)}"), 0.002)
        for i in range(300):
            log.write(f"main {i}")
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(place.entries()) == 300 + next(numbers) > 300
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("durability", ["flush", "sync-each"])
def test_a_signal_handler_may_close_the_log_in_the_middle_of_a_line(place, alarms, durability):
    for run in range(10):
        log = place.open(durability=durability, epoch_lines=3)
        alarms(lambda log=log: log.close(), 0.002 + run * 0.003)
        with pytest.raises(SealError, match="log payments is closed"):
            write_for_ever(log)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert controls(place.read())[-1] == "closed"
    assert place.verify() == ("ok", [])


def write_for_ever(log):
    while True:
        log.write("a line")


def test_what_a_signal_handler_raises_never_makes_a_hole(place, alarms):
    class Interrupted(BaseException):
        pass

    def interrupt():
        raise Interrupted

    for _ in range(60):
        log = place.open()
        with suppress(Interrupted, SealError):
            try:
                alarms(interrupt, 0.002)
                while True:
                    log.write("a line of the log")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        for _ in range(2):  # the alarm may come so late that it interrupts the first
            with suppress(SealError, Interrupted):
                log.close()
    with place.open() as log:
        log.write("the end")
    verdict, kinds = place.verify()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True), kinds


# Forks


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def in_a_child(call, fork=os.fork):
    """Call in a forked child; return the exit status."""
    pid = fork()
    if not pid:
        status = 99
        try:
            status = call()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_cannot_write_and_its_parent_goes_on(place):
    def child():
        refused = 0
        for call in (lambda: log.write("x"), lambda: log.write_lines(b"x\ny\n"), log.checkpoint, log.end):
            try:
                call()
            except SealError as error:
                refused += "a forked child cannot write it" in explain(error)
        return refused

    with place.open() as log:
        log.write("before")
        assert in_a_child(child) == 4
        log.write("after")
    assert [each for each in place.entries() if not each.startswith(b"[fork] ")] == [b"before", b"after"]
    assert controls(place.read()) == ["open", "closed"]
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["Python", "C"])
def test_a_forked_child_holds_no_live_key(place, fork):
    def child():
        try:
            sealer.write(b"forged", _core.Output())
        except SealError as error:
            told = "a forked child cannot write it" in explain(error)
            return 0 if told and sealer.head() is None and sealer.closed else 2
        return 1

    with keystore.connect(place.store).lease("payments") as lease:
        sealer = open_chain(lease, Courier(lease, None), "auto", 4096)
        sealer.write(b"before", _core.Output())
        assert in_a_child(child, fork) == 0


def test_a_forked_child_may_close_its_copy_and_that_does_nothing(place):
    def child():
        with log:
            pass
        log.close()
        return 0

    with place.open() as log:
        log.write("before")
        assert in_a_child(child) == 0
        until(lambda: place.head() == (1, 0, 2))
        log.write("after")
    assert place.entries() == [b"before", b"after"]
    assert place.verify() == ("ok", [])


def test_a_fork_while_threads_write_does_no_harm(place):
    def write():
        while not stop.is_set():
            log.write("a line")

    stop = threading.Event()
    with place.open(epoch_lines=50) as log:
        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()

        def child():
            try:
                log.write("x")
            except SealError:
                return 0
            return 1

        try:
            assert [in_a_child(child) for _ in range(10)] == [0] * 10
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert place.verify() == ("ok", [])


# Closing


def test_closing_twice_does_no_harm(place):
    log = place.open()
    log.write("one")
    log.close()
    before = place.read()
    log.close()
    assert place.read() == before


@pytest.mark.parametrize("call", ["write", "write_lines", "checkpoint", "end"])
def test_a_closed_log_takes_nothing_more(place, call):
    log = place.open()
    log.close()
    before = place.read()
    with pytest.raises(SealError, match="log payments is closed\nhint: open it again"):
        getattr(log, call)(*([b"x\n"] if call.startswith("write") else []))
    assert place.read() == before


def test_when_close_returns_a_head_counts_all_lines(place):
    with place.open() as log:
        log.write("one")
    assert place.head() == (1, 0, 3)


def test_after_close_the_log_can_be_opened_again(place):
    for i in range(5):
        with place.open() as log:
            log.write(f"{i}")
    assert place.entries() == [b"%d" % i for i in range(5)]
    assert place.verify() == ("ok", [])


def test_a_second_writer_in_the_same_process_is_refused(place):
    with place.open(), pytest.raises(KeyStoreError, match=f"is being written by pid {os.getpid()} "):
        place.open()


def test_an_exception_in_the_block_closes_the_chain_and_comes_out(place):
    def block():
        with place.open() as log:
            log.write("one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert controls(place.read()) == ["open", "closed"]
    assert place.verify() == ("ok", [])


def test_an_ended_log_is_never_opened_again(place):
    place.open().end()
    with pytest.raises(SealError, match="log payments has ended"):
        place.open()
    assert controls(place.read()) == ["open", "ended"]
    assert place.verify() == ("ok", [])


def test_an_open_that_fails_gives_the_right_back(place, tmp_path):
    with pytest.raises(SealError, match="is a directory\nhint: name a file"):
        place.open(output=tmp_path)
    with place.open() as log:
        log.write("one")
    assert place.verify() == ("ok", [])


# Epochs and chains


def test_an_epoch_ends_by_age(place):
    with place.open(epoch_age=0.2) as log:
        log.write("one")
        until(lambda: "continues" in controls(place.read()), seconds=3)
        log.write("two")
    assert controls(place.read())[:3] == ["open", "continues", "closed"]
    assert place.verify() == ("ok", [])


def test_an_epoch_without_lines_does_not_end_by_age(place):
    with place.open(epoch_age=0.1) as log:
        log.write("one")
        until(lambda: "continues" in controls(place.read()))
        time.sleep(1.2)
        assert controls(place.read()) == ["open", "continues"]


def test_the_age_of_an_epoch_begins_with_it(place):
    """A busy log once ended an epoch by the age of an earlier one."""
    with place.open(epoch_lines=100, epoch_age=1.5) as log:
        for _ in range(12):
            log.write_lines(b"line\n" * 150)
            time.sleep(0.2)
        assert {position(line)[2] for line in lines(place.read()) if b" checkpoint " in line} == {100}


def test_a_checkpoint_can_be_asked_for(place):
    with place.open() as log:
        log.write("one")
        log.checkpoint()
        log.write("two")
        assert controls(place.read()) == ["open", "continues"]


def test_an_age_beyond_all_ages_is_none(place):
    """`threading` cannot wait that long; the background thread once ended by it."""
    with place.open(epoch_age=1e12) as log:
        log.write("one")
        until(lambda: place.head() == (1, 0, 2))


def test_chains_roll_after_epoch_255_and_verify(place):
    with place.open(epoch_lines=1) as log:
        for i in range(600):
            log.write(f"{i}")
    assert place.entries() == [b"%d" % i for i in range(600)]
    positions = [position(line) for line in lines(place.read())]
    assert {chain for chain, _, _ in positions} == {1, 2, 3}
    assert max(epoch for _, epoch, _ in positions) == 255
    assert place.verify() == ("ok", [])


def test_chains_roll_while_threads_write_and_heads_are_kept(place):
    deadline = time.monotonic() + 60

    def write():
        while log.position < "4" and time.monotonic() < deadline:
            log.write("a line")

    with place.open(epoch_lines=1) as log:
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert position(lines(place.read())[-1])[0] > 3
    assert place.verify() == ("ok", [])


def fill_a_chain(log, place):
    while b" closed " not in place.read()[-3000:]:
        log.write("a line")


def test_a_chain_that_is_full_and_idle_is_left_alone(place):
    """The background thread once rewrote the head twice a second for ever."""
    with place.open(epoch_lines=1, epoch_age=0.1) as log:
        fill_a_chain(log, place)
        until(lambda: place.head()[1] == 255)
        time.sleep(0.6)
        before = (place.state / "head").stat().st_ino, (place.state / "head").stat().st_mtime_ns
        time.sleep(1.2)
        assert ((place.state / "head").stat().st_ino, (place.state / "head").stat().st_mtime_ns) == before


def test_where_the_next_chain_cannot_be_opened_for_a_time_no_number_is_lost(place):
    with place.open(epoch_lines=1) as log:
        fill_a_chain(log, place)
        (place.state / "state.new").mkdir()
        with pytest.raises(KeyStoreError):
            log.write("not sealed")
        (place.state / "state.new").rmdir()
        log.write("sealed")
    assert place.entries()[-1] == b"sealed"
    assert b"not sealed" not in place.read()
    assert place.verify() == ("ok", [])


# Heads


def test_the_head_follows_within_a_second_of_a_line(place):
    with place.open() as log:
        for i in range(1, 5):
            log.write(f"{i}")
            wanted = (1, 0, i + 1)
            until(lambda wanted=wanted: place.head() == wanted, seconds=1.0)


def test_the_head_follows_within_a_second_to_a_pipe_too(place):
    reading, writing = os.pipe()
    try:
        with place.open(output=writing) as log:
            log.write("one")
            until(lambda: place.head() == (1, 0, 2), seconds=1.2)
            place.output.write_bytes(os.read(reading, 2**16))
        with open(place.output, "ab") as rest:
            rest.write(os.read(reading, 2**16))
    finally:
        os.close(reading)
        os.close(writing)
    assert place.verify() == ("ok", [])


def test_the_next_chain_to_a_pipe_begins_once_the_reader_has_taken_all(place, monkeypatch):
    monkeypatch.setattr(StreamSink, "INTERVAL", 60)
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, ThreadPoolExecutor(1) as reader:
        taken = reader.submit(pipe.read)
        began = time.monotonic()
        try:
            with place.open(output=writing, epoch_lines=1) as log:
                log.write_lines(b"line\n" * 300)
        finally:
            os.close(writing)
        place.output.write_bytes(taken.result())
    assert time.monotonic() - began < StreamSink.INTERVAL
    assert place.head()[0] == 2
    assert place.verify() == ("ok", [])


def test_the_head_never_goes_backwards(place):
    seen, stop = [], threading.Event()

    def sample():
        while not stop.is_set():
            seen.append(place.head())

    sampler = threading.Thread(target=sample)
    with place.open(epoch_lines=7, epoch_age=0.3) as log:
        sampler.start()
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            log.write("a line")
            time.sleep(0.0005)
    stop.set()
    sampler.join()
    assert len(set(seen)) > 3
    assert seen == sorted(seen)


def test_a_head_never_counts_a_line_that_is_not_in_the_file(place):
    stop, wrong = threading.Event(), []

    def sample():
        while not stop.is_set():
            head = place.head()
            there = [position(line) for line in place.read().split(b"\n")[:-1]]
            chain, epoch, index = head
            if head > (0, 0, 0) and index and (chain, epoch, index - 1) not in there:
                wrong.append(head)

    sampler = threading.Thread(target=sample)
    with place.open() as log:
        sampler.start()
        for _ in range(300):
            log.write_lines(b"a line\n" * 5)
            time.sleep(0.005)
    stop.set()
    sampler.join()
    assert wrong == []


# Trouble


def test_a_close_that_fails_gives_the_right_back_all_the_same(place):
    log = place.open()
    log.write("one")
    (place.state / "head.new").mkdir()
    with pytest.raises(KeyStoreError, match=r"head\.new"):
        log.close()
    (place.state / "head.new").rmdir()
    with place.open() as log:
        log.write("two")
    assert place.entries() == [b"one", b"two"]


def test_a_writer_that_lost_its_right_stops(place):
    told = []
    log = place.open(on_trouble=told.append)
    log.write("one")
    (place.state / "lock").unlink()
    until(lambda: told)
    assert "unlocked while log payments was being written" in told[0]
    before = place.read()
    with pytest.raises(SealError, match="unlocked while log payments was being written"):
        log.write("two")
    with pytest.raises(SealError, match="unlocked"):
        log.close()
    assert place.read() == before


def test_a_store_that_fails_for_a_time_is_reported_once_and_lines_go_on(place):
    told = []
    with place.open(on_trouble=told.append) as log:
        (place.state / "head.new").mkdir()
        log.write("one")
        until(lambda: told)
        time.sleep(1)
        assert len(told) == 1
        (place.state / "head.new").rmdir()
        log.write("two")
        until(lambda: place.head() == (1, 0, 3))
    assert place.verify() == ("ok", [])


def test_trouble_is_a_warning_by_default(place, recwarn):
    with place.open() as log:
        (place.state / "head.new").mkdir()
        log.write("one")
        until(lambda: recwarn.list)
        (place.state / "head.new").rmdir()
    assert "head.new" in str(recwarn.pop(RuntimeWarning).message)


def test_whoever_hears_of_trouble_may_close_the_log(place):
    closed = threading.Event()

    def close(_):
        with suppress(SealError):
            log.close()
        closed.set()

    log = place.open(on_trouble=close)
    log.write("one")
    (place.state / "lock").unlink()
    assert closed.wait(10)
    log.background.join(10)
    assert not log.background.is_alive()

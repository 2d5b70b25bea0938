"""Outputs that take no lines for a while: nothing loses its place, and nothing is lost silently (spec section 6)."""

import os
import resource
import select
import threading
import time
from contextlib import contextmanager

import pytest

from tallystick.errors import OutputError, SealError
from tests.log.test_log import Place, until
from tests.sealed import entries, lines, position


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@contextmanager
def full(place, room=100):
    """Let the output take so many more bytes; small files elsewhere can be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (place.output.stat().st_size + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def begun(log):
    """Write so much that only the output is as long as the limit."""
    for i in range(200):
        log.write(f"before {i} " + "x" * 100)


def dropped(place):
    whole = place.read().rpartition(b"\n")[0] + b"\n"
    return [said for said in entries(whole) if b"dropped from" in said]


def positions(place):
    return [position(line) for line in lines(place.read())]


def test_a_line_whose_rest_finds_no_room_is_reported_kept_and_goes_first(place):
    with place.open() as log:
        begun(log)
        with full(place):
            with pytest.raises(
                OutputError, match=r"file too large.*the line is sealed, and goes out first when it can"
            ):
                log.write("half " + "y" * 200)
            assert not place.read().endswith(b"\n")
            for _ in range(3):
                with pytest.raises(OutputError, match="file too large"):
                    log.write("refused")
        log.write("after")
    entries = place.entries()
    assert entries[200] == b"half " + b"y" * 200
    assert b"3 lines were dropped from" in entries[201]
    assert b"file too large" in entries[201]
    assert entries[202:] == [b"after"]
    assert len(set(positions(place))) == len(positions(place))
    assert place.verify() == ("ok", [])


def test_dropped_lines_are_counted_and_the_count_is_sealed_when_writing_goes_on(place):
    told = []
    with place.open(on_full="drop", on_trouble=told.append) as log:
        begun(log)
        with full(place):
            for _ in range(5):
                log.write("y" * 200)
            assert log.write_lines(b"one\ntwo\n") == 8
        until(lambda: dropped(place))  # even if no line comes any more
    assert [entry.split(b" from")[0] for entry in dropped(place)] == [b"[dropped] 6 lines were dropped"]
    assert [message.split("; ")[-1] for message in told] == [
        "log payments drops lines until it goes on",
        "log payments goes on",
    ]
    assert place.verify() == ("ok", [])


def test_a_writer_that_waits_loses_nothing(place):
    told = []
    with place.open(on_full="block", on_trouble=told.append) as log:
        begun(log)
        with full(place):
            writer = threading.Thread(target=lambda: [log.write(f"waits {i} " + "y" * 50) for i in range(20)])
            writer.start()
            until(lambda: told)
            time.sleep(0.1)
            assert writer.is_alive()
        writer.join(10)
        assert not writer.is_alive()
    assert [e.split()[1] for e in place.entries()[200:]] == [b"%d" % i for i in range(20)]
    assert len(told) == 2
    assert place.verify() == ("ok", [])


def test_one_that_waits_can_be_told_not_to(place):
    log = place.open(on_full="block", on_trouble=lambda _: None)
    begun(log)
    with full(place):
        threading.Timer(0.1, log.give_up).start()
        for call in (lambda: log.write("y" * 200), log.close):
            with pytest.raises(SealError, match="was asked not to wait any longer"):
                call()
    with place.open() as log:
        log.write("later")
    verdict, kinds = place.verify()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True)


def test_a_writer_that_stops_takes_no_place_again(place):
    log = place.open(on_full="stop")
    begun(log)
    with full(place), pytest.raises(SealError, match="was stopped at"):
        log.write("y" * 200)
    for call in (lambda: log.write("three"), lambda: log.write_lines(b"x\n"), log.checkpoint, log.close):
        with pytest.raises(SealError, match=r"file too large.*was stopped at"):
            call()
    with place.open() as log:
        log.write("four")
    assert lines(place.read())[-2].startswith(b"four tally=")
    verdict, kinds = place.verify()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True)


def test_a_head_never_counts_a_line_that_is_kept(place):
    with place.open(on_full="drop", on_trouble=lambda _: None) as log:
        begun(log)
        with full(place):
            log.write("y" * 200)
            time.sleep(1)
            assert place.head() <= (1, 0, 201)
    assert place.verify() == ("ok", [])


def test_a_callable_that_refuses_lines_is_offered_them_again(place):
    taken, refusing = [], []

    def take(data):
        if refusing:
            raise ConnectionError("away")
        taken.append(data)

    with place.open(output=take) as log:
        log.write("one")
        refusing.append(True)
        with pytest.raises(OutputError, match="did not take lines: away"):
            log.write("two")
        refusing.clear()
        log.write("three")
    place.output.write_bytes(b"".join(taken))
    assert place.entries() == [b"one", b"two", b"three"]
    assert place.verify() == ("ok", [])


def test_a_fork_does_not_wait_for_a_line_that_waits_for_room(place):
    read, write = os.pipe()
    log = place.open(output=write, on_full="block")
    thread = threading.Thread(target=log.write, args=("x" * 2**20,), daemon=True)
    thread.start()
    until(lambda: select.select([], [write], [], 0)[1] == [])
    if (child := os.fork()) == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert thread.is_alive(), "the line found room"
    got = b""
    while thread.is_alive() or select.select([read], [], [], 0)[0]:
        got += os.read(read, 2**20) if select.select([read], [], [], 0.01)[0] else b""
    log.close()
    os.close(write)
    while more := os.read(read, 2**20):
        got += more
    os.close(read)
    place.output.write_bytes(got)
    assert place.verify() == ("ok", [])

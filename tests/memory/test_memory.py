"""Who reads all memory of a writer finds the keys of the present, once, in locked memory, and none of the past.

The search knows V and S, derives every key that the log ever had or will have, and looks for each of them in each form
that hashing, signing and heads make of it (spec section 3, Erasure).
"""

import os
import signal
import threading
import time

import pytest

from tests.sealed import position

# With small epochs a chain is soon full: 256 of 4 lines and a checkpoint.
SMALL = ("--epoch-lines", "4")
CHAIN = 256 * 5

HANDLER = """
import logging, os, sys, time
from tallystick.integrations.logging import SealedFileHandler
handler = SealedFileHandler("payments", "audit.log", epoch_lines=%d)
logger = logging.getLogger("audit")
logger.addHandler(handler)
for line in sys.stdin:
    if line.startswith("fork"):
        import ctypes
        fork = os.fork if line.strip() == "fork" else ctypes.CDLL(None).fork
        if (pid := fork()) == 0:
            time.sleep(60)
            os._exit(0)
        print(pid, flush=True)
    else:
        for number in range(int(line)):
            logger.warning("user=%%d action=login", number)
"""


def feed(writer, count):
    writer.stdin.write(b"".join(b"user=%d action=login\n" % number for number in range(count)))


def told(found):
    """What was found, short enough to be read."""
    return sorted({(each.mark.what, each.mark.at, each.mark.form, each.name) for each in found})[:20]


def present(last):
    """The secrets that a writer holds behind its last line; fewer where the chain is at its end."""
    chain, epoch, index = position(last)
    if b" continues " in last:
        epoch, index = epoch + 1, -1
    allowed = {("K", (chain, epoch, index + 1)), ("epoch key", (chain, epoch))}
    if epoch < 255:
        allowed |= {("E", (chain, epoch + 1)), ("D", (chain, epoch + 1))}
    return allowed


def assert_holds_the_present_only(watched, pid):
    found, written = watched.search(pid)
    allowed = present(written[-1])
    held = [each for each in found if (each.mark.what, each.mark.at) in allowed and each.mark.form == "raw"]
    strange = [each for each in found if each not in held]
    assert not strange, told(strange)
    assert all(each.is_guarded for each in held), told(held)
    # Each of them once, in its two halves, which shows that the search sees what is there.
    assert sorted((each.mark.what, each.mark.at) for each in held) == sorted(2 * list(allowed))
    found = watched.search_dump(pid)
    assert not found, told(found)


def assert_nothing_of_the_past(watched, pid):
    """While lines are on their way, keys of those that have not left may be in use, and a head that is being stored."""
    found, written = watched.search(pid)
    last = position(written[-1])
    over = last[:2] if b" continues " in written[-1] else (last[0], last[1] - 1)  # the last epoch that is over
    past = [
        each
        for each in found
        if each.mark.what not in ("K", "E", "D", "epoch key", "head")
        or (each.mark.what == "K" and each.mark.at <= last)
        or (each.mark.what in ("E", "D") and each.mark.at <= last[:2])
        or (each.mark.what == "epoch key" and each.mark.at <= over)
    ]
    assert not past, told(past)
    assert len({each.mark.at for each in found if each.mark.what == "head"}) <= 1


def test_seal_holds_the_keys_of_the_present_once_in_locked_memory_and_none_of_the_past(watched):
    with watched.seal(*SMALL) as writer:
        for count, lines_then in ((3, 4), (1, 6), (1, 7), (40, 57)):  # within an epoch, at its end, behind it, later
            feed(writer, count)
            watched.until_settled(lines_then - 1)
            assert_holds_the_present_only(watched, writer.pid)
        feed(writer, CHAIN // 5 * 4 // 2)  # beyond the middle of the chain, where the next one is fetched
        watched.until_settled(CHAIN // 2)
        assert_holds_the_present_only(watched, writer.pid)
        feed(writer, CHAIN)  # into the next chain
        watched.until_settled(CHAIN + 200)
        assert_holds_the_present_only(watched, writer.pid)
        writer.stdin.close()
        assert writer.wait(30) == 0
    assert watched.site.verdict() == ("ok", [])


def test_a_handler_holds_the_keys_of_the_present_only_and_forked_children_none(watched):
    with watched.python(HANDLER % 4) as writer:
        for count, lines_then in ((2, 3), (50, 64), (CHAIN, CHAIN + 100)):
            writer.stdin.write(b"%d\n" % count)
            watched.until_settled(lines_then)
            assert_holds_the_present_only(watched, writer.pid)
        for fork in (b"fork\n", b"fork by C\n"):
            writer.stdin.write(fork)
            child = int(writer.stdout.readline())
            try:
                found, _ = watched.search(child)
            finally:
                os.kill(child, signal.SIGKILL)
            assert not found, told(found)
        assert_holds_the_present_only(watched, writer.pid)
        writer.stdin.close()
        assert writer.wait(30) == 0


OWN_LOG = """
import os, sys, tallystick
with tallystick.open("payments", output="audit.log") as log:
    log.write("one")
if (pid := os.fork()) == 0:
    with tallystick.open("payments", output="audit.log") as log:
        log.write("two")
        print(os.getpid(), flush=True)
        sys.stdin.read()
else:
    os.waitpid(pid, 0)
"""


def test_a_child_that_opens_a_log_of_its_own_has_its_keys_in_locked_memory(watched):
    """A child inherits pages for secrets, and does not inherit that they are locked (mlock(2))."""
    with watched.python(OWN_LOG) as parent:
        child = int(parent.stdout.readline())
        found, written = watched.search(child)
        held = {(each.mark.what, each.mark.at) for each in found if each.is_guarded}
        assert held == present(written[-1])
        assert all(each.is_guarded for each in found), told(found)
        parent.stdin.close()
        assert parent.wait(30) == 0


@pytest.mark.parametrize("way", ["in blocks", "one by one"])
def test_while_lines_are_written_no_key_of_one_that_has_left_is_anywhere(watched, way):
    enough = threading.Event()

    def go_on():
        while not enough.is_set():
            if way == "in blocks":
                feed(writer, 30)
            else:
                writer.stdin.write(b"30\n")
            time.sleep(0.005)

    start = watched.seal("--epoch-lines", "1000") if way == "in blocks" else watched.python(HANDLER % 1000)
    with start as writer:
        feeder = threading.Thread(target=go_on)
        feeder.start()
        try:
            watched.until_written(1500)
            for _ in range(2):
                assert_nothing_of_the_past(watched, writer.pid)
                time.sleep(0.1)
        finally:
            enough.set()
            feeder.join()
            writer.stdin.close()
            assert writer.wait(60) == 0


def test_the_search_finds_what_is_not_erased(watched, forgetful):
    env = {"PYTHONPATH": os.fspath(forgetful)}
    with watched.seal(*SMALL, env=env) as writer:
        feed(writer, 20)
        watched.until_settled(25)
        found, written = watched.search(writer.pid)
        dump = watched.search_dump(writer.pid)
        writer.stdin.close()
        assert writer.wait(30) == 0
    allowed = present(written[-1])
    past = {each.mark.what for each in found if (each.mark.what, each.mark.at) not in allowed}
    assert past >= {"A", "B", "C", "D", "E", "K", "epoch key", "chain key", "head"}
    past_keys = {each.mark.at for each in found if each.mark.what == "K" and each.mark.form == "raw"}
    assert len({position(line) for line in written[:-1]} & past_keys) >= len(written) // 2
    assert {each.mark.what for each in dump} & {"K", "E", "D", "head"}

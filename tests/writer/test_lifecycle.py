"""Ends and forks, without a log: what each open one is asked, and when."""

import os
import signal
import subprocess
import sys

import pytest

from tallystick.writer import lifecycle


class Log:
    """An open log that does nothing but note what it is asked."""

    def __init__(self, free=True):
        self.asked, self.free, self.is_ours = [], free, False
        lifecycle.LOGS.add(self)

    def give_up(self):
        self.asked.append("give up")

    def close(self):
        self.asked.append("close")

    def hold(self, seconds):
        self.asked.append("hold")
        return self.free

    def let_go(self):
        self.asked.append("let go")

    def die_in_child(self):
        self.asked.append("die")


@pytest.fixture
def log():
    made = Log()
    yield made
    lifecycle.LOGS.discard(made)


def forked(child):
    """Fork; return the exit status of a child that calls something."""
    pid = os.fork()
    if not pid:
        os._exit(child())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_log_is_held_while_the_process_forks_and_dies_in_the_child(log):
    assert forked(lambda: log.asked == ["hold", "die"] and not lifecycle.LOGS) == 1
    assert log.asked == ["hold", "let go"]


def test_a_log_that_cannot_be_held_has_couriers_fail_and_does_not_stop_a_fork(log):
    class Courier:
        def abandon(self):
            log.asked.append("abandon")

    log.free, courier = False, Courier()
    lifecycle.UNDER_WAY.add(courier)
    try:
        assert forked(lambda: log.asked[-1] == "die") == 1
    finally:
        lifecycle.UNDER_WAY.discard(courier)
    assert log.asked == ["hold", "abandon", "hold"]


def test_keys_are_set_up_by_one_thread_and_a_child_can_do_so_again():
    def child():
        return int(lifecycle.KEY_SETUP.hold(1))

    with lifecycle.KEY_SETUP:
        assert forked(child) == 1


PROGRAM = """
import os, signal, sys
from tallystick.writer import lifecycle
sys.path.insert(0, {root!r})
from tests.writer.test_lifecycle import Log
class Talking(Log):
    def give_up(self): print("give up", flush=True)
    def close(self): print("close", flush=True)
log = Talking()
lifecycle.close_on_sigterm()
lifecycle.before_end(lambda: print("before", flush=True))
log.is_ours = {ours}
os.kill(os.getpid(), signal.SIGTERM)
print("the step goes on", flush=True)
lifecycle.follow_up()
print("still in it", flush=True)
log.is_ours = False
lifecycle.follow_up()
print("not reached", flush=True)
"""


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (False, ["give up", "before", "close"]),
        (True, ["give up", "the step goes on", "still in it", "before", "close"]),
    ],
    ids=["at rest", "in the middle of a step"],
)
def test_sigterm_closes_logs_but_not_in_the_middle_of_a_step(ours, said):
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    program = PROGRAM.format(root=root, ours=ours)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:-1], done.stderr) == (-signal.SIGTERM, said, "")


def test_a_program_that_handles_sigterm_itself_is_left_alone():
    def mine(*_):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        lifecycle.close_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)

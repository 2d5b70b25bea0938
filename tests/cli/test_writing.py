"""How long a writer that was asked to leave waits for room. The log is one in which there never is any."""

import signal
import threading
import time

import pytest

from tallystick.cli import writing as module
from tallystick.errors import SealError


class Full:
    """A log that waits for room until it is reported to give up."""

    def __init__(self):
        self.given_up = 0
        self.room = False

    def write_lines(self, data):
        while not self.room:
            if self.given_up:
                raise SealError("no room")
            time.sleep(0.01)
        return len(data)

    def give_up(self):
        self.given_up += 1


@pytest.fixture
def writing(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    before = signal.getsignal(signal.SIGALRM)
    with module.Writing() as made:
        made.log = Full()
        signal.signal(signal.SIGUSR1, lambda *_: made.leave())
        yield made
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, before)


def asked(times):
    """Ask from outside while the main thread waits."""
    threading.Timer(0.1, lambda: [signal.raise_signal(signal.SIGUSR1) for _ in range(times)]).start()


@pytest.mark.parametrize(("times", "least", "most"), [(1, 0.5, 3), (2, 0, 0.5)], ids=["once", "twice"])
def test_who_waits_for_room_gives_up_after_a_while_or_at_once_if_asked_again(writing, times, least, most):
    asked(times)
    if times == 2:
        threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGUSR1)).start()  # two at a time may become one
    began = time.monotonic()
    with pytest.raises(SealError, match="no room"):
        writing.write_lines(b"one\n")
    assert least <= time.monotonic() - began < most


def test_who_does_not_wait_is_not_made_to_give_up(writing):
    writing.log.room = True
    writing.leave()
    until = time.monotonic() + 2.2
    while time.monotonic() < until:
        writing.write_lines(b"one\n")
    assert writing.log.given_up == 0


def test_after_a_failure_nothing_more_is_written(writing):
    writing.leave()
    writing.leave()
    for _ in range(2):
        with pytest.raises(SealError, match="no room"):
            writing.write_lines(b"one\n")

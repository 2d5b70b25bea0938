"""The conversation of one process with an agent: says what is next, hears the answers, begins again.

Nothing here waits. Its user has a lock, and holds it.

>>> said = Conversation(Reach("unix:/run/tallystick/no.sock"), state=1)
>>> said.outbox.put(b"one")
>>> said.say_next(), said.is_behind               # not connected: the line waits
(False, True)
"""

import os
import time
from collections import deque

from tallystick.agent.frames import PREAMBLE, Acknowledgement, Frame, Reader, Refused, Welcome, hello
from tallystick.agent.outbox import Outbox
from tallystick.agent.reach import Link, Reach
from tallystick.errors import reason

__all__ = ["Conversation", "lines"]

_PATIENCE = 10.0  # seconds for a welcome
_PAUSES = 0.02, 1.0  # seconds between two tries to connect: the first, and the longest
_TOO_MANY, _LEAVING = 6, 9  # refusals after which the same lines are sent again (spec/agent.md section 3)


class Conversation:
    """What was said, and what the agent answered.

    State: the outbox, the connection if there is one, bytes of a frame that the kernel did not take yet.
    Invariant: what was not sent whole, for any reason, is sent again by another connection, with all after it.
    """

    def __init__(self, reach: Reach, state: int) -> None:
        """Begin without a connection; acknowledgements are awaited of this state."""
        self.outbox = Outbox()
        self.link: Link | None = None
        self.rest = b""
        self.lost = 0
        """Lines that were sent, and that the agent does not remember."""
        self.said: deque[str] = deque()
        """What is to be reported."""
        self._reach, self._state = reach, state
        self._reader = Reader()
        self._is_away = False
        self._since = self._again = self._pause = 0.0

    @property
    def is_behind(self) -> bool:
        """Are there lines, or parts of one, that were not sent by this connection?"""
        return bool(self.rest) or self.outbox.in_flight < self.outbox.count

    @property
    def pause(self) -> float:
        """Seconds until it is time to connect again; below 0 if it is."""
        return self._again - time.monotonic()

    def begin(self, made: Link | str) -> None:
        """Say hello by a new connection, or hear why there is none."""
        if isinstance(made, str):
            self.drop(made)
            return
        self.link, self._reader, self._since = made, Reader(), time.monotonic()
        self._say(PREAMBLE + hello(self.outbox.id, self._state))

    def say_next(self) -> bool:
        """Send what is next; return whether anything was."""
        if self.link is None or not (frame := self.rest or self.outbox.next()):
            return False
        self._say(frame)
        return True

    def say_all(self) -> None:
        """Send all that may be sent now."""
        while self.say_next() and not self.rest:
            pass

    def _say(self, frame: bytes) -> None:
        assert self.link is not None
        try:
            sent = self.link.send(frame)
            self.rest = frame[sent:] if sent < len(frame) else b""
        except OSError as error:
            self.drop(reason(error))
        except BaseException:
            self.drop("a signal handler interrupted")
            raise

    def hear(self) -> bool:
        """Read what the agent says; return whether there are news for those who wait."""
        link, before = self.link, self.outbox.settled
        try:
            while link is not None and link is self.link and (data := link.receive()) is not None:
                for frame in self._reader.feed(data):
                    self._heard(frame)
                if not data:
                    self.drop("it closed the connection")
        except OSError as error:
            self.drop(reason(error))
        except ValueError as error:
            self.drop(f"it does not speak the protocol: {error}")
        if self.link is not None and not self.outbox.is_connected and time.monotonic() - self._since > _PATIENCE:
            self.drop("it does not answer")
        return self.outbox.settled != before

    def _heard(self, frame: Frame) -> None:
        if self.link is None:
            return
        if isinstance(frame, Refused):
            self._refused(frame)
        elif isinstance(frame, Welcome):
            self.outbox.greeted(frame)
            if self._is_away:
                self.report("takes lines again")
                self._is_away = False
        elif isinstance(frame, Acknowledgement) and frame.state >= self._state and self.outbox.is_connected:
            self.outbox.acknowledged(frame)
            self._pause = 0.0
        else:
            raise ValueError("an acknowledgement that nobody asked for")

    def _refused(self, frame: Refused) -> None:
        if frame.code not in (_TOO_MANY, _LEAVING) and (lost := self.outbox.expired()):
            self.lost += lost
            self.report(f"refused: {frame.text}; {lines(lost)} of process {os.getpid()} of which it is not known "
                        "whether they are in the log")  # fmt: skip
        self.drop(frame.text, reports=frame.code != _LEAVING)

    def drop(self, why: str, *, reports: bool = False) -> None:
        """End a connection, or note that there is none; what is not acknowledged waits for the next one."""
        if (reports or not self.outbox.is_connected) and not self._is_away:
            self._is_away = True
            self.report(f"cannot be reached: {why}; lines wait")
        self.close()
        self.outbox.disconnected()
        self.rest = b""
        first, longest = _PAUSES
        self._pause = min(longest, self._pause * 2 or first)
        self._again = time.monotonic() + self._pause

    def report(self, what: str) -> None:
        """Have something reported of the agent."""
        self.said.append(f"the agent at {self._reach.address} {what}")

    def close(self) -> None:
        """End the connection."""
        if self.link is not None:
            self.link.close()
            self.link = None


def lines(count: int) -> str:
    """Return how many lines there are, as a subject and its verb."""
    return "there is 1 line" if count == 1 else f"there are {count} lines"

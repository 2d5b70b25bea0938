"""Lines on their way to an agent: numbered, kept until they are acknowledged, sent again after a reconnect.

It knows no socket: it says which bytes are to be sent next, and hears what the agent says (spec/agent.md section 3).

>>> outbox = Outbox()
>>> outbox.put(b"one")
>>> outbox.next()                                 # not connected
b''
>>> outbox.greeted(Welcome(b"x" * 16, 0, 1024, 2**20))
>>> outbox.next() == single(1, b"one")
True
>>> outbox.acknowledged(Acknowledgement(1, 1, (1, 0, 1)))
>>> outbox.count, outbox.settled, outbox.position
(0, 1, '1.0.1')
"""

from collections import deque
from itertools import islice

from tallystick.agent.frames import NEW, Acknowledgement, Welcome, batch, single

__all__ = ["Outbox"]


class Outbox:
    """Lines that are not acknowledged.

    State: the lines, the oldest first, and its number; up to which number they were sent by this connection, and by any
    with this id.
    Invariant: a line has the number that it was sent with, until it is acknowledged or lost. At most a window of lines
    is sent and not acknowledged.
    """

    def __init__(self) -> None:
        self.id = NEW
        self.size = 0
        """Bytes of all lines here."""
        self.settled = 0
        """How many lines are here no more: acknowledged, or lost."""
        self.grown = 0
        """How many more lines are here because some had to be split."""
        self.lines: deque[bytes] = deque()
        """The lines, the oldest first; for others to count."""
        self._first = 1
        self._sent = self._ever = 0
        self._before = 0  # up to here a process before may have sent what it did not see acknowledged
        self._is_resumed = False
        self._window, self._longest = 0, 2**20
        self._position = (0, 0, 0)

    @property
    def count(self) -> int:
        """How many lines are here."""
        return len(self.lines)

    @property
    def in_flight(self) -> int:
        """How many of them were sent by this connection."""
        return self._sent - self._first + 1

    @property
    def is_connected(self) -> bool:
        """Did the agent welcome this client?"""
        return self._window > 0

    @property
    def may_send(self) -> bool:
        """Is there a line that may be sent now?"""
        return self.in_flight < min(len(self.lines), self._window)

    @property
    def position(self) -> str | None:
        """Position of the last line that was acknowledged, as in spec/seal.md; None where it is not known."""
        return ".".join(map(str, self._position)) if any(self._position) else None

    @property
    def through(self) -> int:
        """The number up to which all lines are settled, with this id."""
        return self._first - 1

    def resume(self, id: bytes, through: int) -> None:
        """Go on with the id of a process before, which saw its lines up to a number acknowledged.

        Those after it come here again, the same as then: the agent knows which of them it has.
        """
        self.id, self._first, self._is_resumed = id, through + 1, True
        self._sent = self._ever = through

    def put(self, line: bytes) -> None:
        """Take a line; one that is longer than the agent takes becomes several."""
        if len(line) > self._longest:
            for piece in _pieces(line, self._longest):
                self.lines.append(piece)
        else:
            self.lines.append(line)
        self.size += len(line)

    def next(self) -> bytes:
        """Return the frame to be sent next, whose lines count as sent from now on; nothing if none may be sent."""
        first = self._sent + 1
        held = first - self._first
        count = min(len(self.lines), self._window) - held
        if count <= 0:
            return b""
        if count == 1:
            frame = single(first, self.lines[held])
        else:
            lines: list[bytes] = []
            room = self._longest + 4  # a frame is at most 13 bytes longer than the longest line
            for line in islice(self.lines, held, held + count):
                room -= 4 + len(line)
                if room < 0 and lines:
                    break
                lines.append(line)
            count, frame = len(lines), batch(first, lines)
        self._sent += count
        self._ever = max(self._ever, self._sent)
        return frame

    def greeted(self, welcome: Welcome) -> None:
        """Hear that the agent knows this client, and how far its lines are in the log.

        Raises:
            ValueError: No agent says so.
        """
        known = self.id in (NEW, welcome.id) and welcome.id != NEW
        if self._is_resumed:
            self._before, self._is_resumed = welcome.through, False
        if not known or welcome.through > max(self._ever, self._before) or not welcome.window or not welcome.longest:
            raise ValueError("a welcome of another client")
        self._drop(min(welcome.through, self._ever))
        self.id, self._window, self._longest = welcome.id, welcome.window, welcome.longest
        self._sent = self._first - 1
        if self._ever <= self._sent and any(len(line) > self._longest for line in self.lines):
            before = len(self.lines)
            self.lines = deque(piece for line in self.lines for piece in _pieces(line, self._longest))
            self.grown += len(self.lines) - before

    def acknowledged(self, said: Acknowledgement) -> None:
        """Hear that lines are in the log.

        Raises:
            ValueError: They were not even sent.
        """
        if said.through > max(self._sent, self._before):
            raise ValueError("an acknowledgement of lines that were not sent")
        self._drop(min(said.through, self._sent))
        self._position = said.position

    def _drop(self, through: int) -> None:
        lines, count = self.lines, through - self._first + 1
        for _ in range(count):
            self.size -= len(lines.popleft())
        if count > 0:
            self._first += count
            self.settled += count

    def disconnected(self) -> None:
        """Have everything that is not acknowledged sent again by the next connection."""
        self._window, self._sent = 0, self._first - 1

    def expired(self) -> int:
        """Go on with a new id; return how many lines were sent, may be in the log, and are not here any more."""
        lost = max(0, self._ever - self._first + 1)
        self._drop(self._ever)
        self.id, self._first, self._ever, self._before = NEW, 1, 0, 0
        self.disconnected()
        return lost


def _pieces(line: bytes, longest: int) -> list[bytes]:
    return [line[at : at + longest] for at in range(0, len(line), longest)] or [line]

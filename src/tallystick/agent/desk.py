"""What connections and their loop need of each other.

>>> owed = Owed()
>>> owed.acknowledge(b"up to 1")
>>> owed.acknowledge(b"up to 2")
>>> owed.next()
b'up to 2'
"""

from typing import Any, Protocol

from tallystick import _core
from tallystick.agent.clients import Client, Clients
from tallystick.agent.limits import Limits, Reports
from tallystick.agent.messages import Room

__all__ = ["Desk", "Owed", "say_splits"]


class Desk(Protocol):
    """What connections need of the loop that they belong to."""

    lines: _core.Lines
    room: Room
    limits: Limits
    reports: Reports
    clients: Clients
    stamps: bool
    states: tuple[int, ...]

    def watch(self, part: Any, events: int) -> None:
        """Wait for other events of a connection; none to wait for nothing."""

    def later(self, part: Any, seconds: float) -> None:
        """Have `part.late()` called after so many seconds."""

    def issue(self, identity: str) -> Client | None:
        """Return a new client, durably noted."""

    def take(self, connection: Any, run: tuple[int, bytes, bytes] | None) -> None:
        """Take lines that are to be sealed, if there are any, and acknowledge all to a connection then."""

    def hold(self, change: int) -> None:
        """Count bytes of messages that have not ended."""

    def notice(self, kind: str, texts: list[str]) -> None:
        """Have the log itself say something, after all lines that came before."""

    def forget(self, connection: Any) -> None:
        """Note that a connection is over."""


class Owed:
    """Frames that a socket has not taken: of acknowledgements the newest only, however slowly a client reads."""

    def __init__(self) -> None:
        self.rest = b""
        self.newest = b""

    def put(self, frame: bytes) -> "Owed":
        """Have a frame sent in its turn."""
        self.rest += frame
        return self

    def acknowledge(self, frame: bytes) -> None:
        """Have an acknowledgement sent, in the place of an older one."""
        self.newest = frame

    def next(self) -> bytes:
        """Return what is to be sent now."""
        if not self.rest:
            self.rest, self.newest = self.newest, b""
        return self.rest


def say_splits(desk: Desk, name: str, splits: list[tuple[int, int]]) -> None:
    """Have the log say of somebody's messages, by their lengths, in how many lines each stands."""
    if splits:
        said = [f"{name} sent a message of {size} bytes, which stands in {parts} lines" for size, parts in splits]
        desk.notice("split", said)

"""What was lost before the agent read it, until the log has said so (spec/agent.md section 5).

>>> import socket
>>> with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
...     dropped_by(made)
0
"""

import socket
import struct
import time
from contextlib import suppress

from tallystick.agent.address import Address
from tallystick.agent.limits import Reports
from tallystick.log import Log
from tallystick.writer.status import Dropped

__all__ = ["Losses", "dropped_by"]

_MEMORY, _COUNTS = 55, struct.Struct("9I")  # SO_MEMINFO, whose last number is that of datagrams that were dropped
_EACH = 1.0  # seconds after which it is looked again
_AGAIN = 10.0  # seconds after which the log says again that connections were refused


def dropped_by(made: socket.socket) -> int:
    """Return for how many datagrams a socket had no room; 0 where the kernel does not say."""
    with suppress(OSError):
        return int(_COUNTS.unpack(made.getsockopt(socket.SOL_SOCKET, _MEMORY, _COUNTS.size))[-1])
    return 0


class Losses:
    """Losses of one log.

    State: sockets of datagrams with what each had dropped when it was last looked; connections that were closed unread.
    Invariant: what was found is said once.
    """

    def __init__(self, log: Log, reports: Reports) -> None:
        """Begin without any."""
        self._log, self._reports = log, reports
        self._sockets: dict[str, tuple[socket.socket, int]] = {}
        self._unread = 0
        self._since, self._looked, self._said = time.time(), 0.0, float("-inf")

    def watch(self, made: socket.socket, address: Address, drops: int) -> None:
        """Look at a socket of the network that has dropped so many datagrams of which the log knows."""
        self._sockets[str(address)] = made, drops

    def refused(self) -> None:
        """Count a connection that nobody read."""
        self._unread += 1

    def known(self, address: str) -> int:
        """Return how many datagrams of an address were dropped of which the log knows."""
        return self._sockets[address][1] if address in self._sockets else 0

    def state(self, *, end: bool = False) -> None:
        """Have the log say what was lost since it last did, if it is time to.

        Raises:
            TallystickError: As for `Log.notice`.
        """
        now = time.monotonic()
        if not end and now - self._looked < _EACH:
            return
        since, self._since, self._looked = self._since, time.time(), now
        for address, (made, before) in self._sockets.items():
            if count := (drops := dropped_by(made)) - before & 0xFFFFFFFF:
                self._sockets[address] = made, drops
                self._reports.note(address, "loses datagrams, for which the kernel has no room")
                why = f"the kernel had no room for datagrams at {address}"
                self._log.note_dropped(Dropped(count, count, since, why, self._since))
        if self._unread and (end or now - self._said >= _AGAIN):
            connections = "1 connection" if self._unread == 1 else f"{self._unread} connections"
            self._log.notice("refused", f"{connections} beyond a limit, closed before anything was read")
            self._unread, self._said = 0, now

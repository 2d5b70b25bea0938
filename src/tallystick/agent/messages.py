"""Room for messages that sockets give whole, and who sent them.

>>> import socket
>>> ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
>>> show_senders(ours)
>>> room = Room(1000)
>>> [theirs.send(data) for data in (b"one", b"", b"two" * 1000)]
[3, 0, 3000]
>>> theirs.close()
>>> for _ in range(4):
...     message = room.receive(ours)
...     len(message.data), message.size, len(message.sender)
(3, 3, 12)
(0, 0, 12)
(1000, 3000, 12)
(0, 0, 0)
>>> ours.close()
"""

import mmap
import socket
from typing import NamedTuple

__all__ = ["Message", "Room", "show_senders"]

_LONGEST = 2**23  # bytes of a message; Linux sends none above 4 MiB and some pages: its sender gets ENOBUFS
_CREDENTIALS = 12  # bytes: pid, uid, gid


class Message(NamedTuple):
    """A message.

    Args:
        data: What there was room for.
        size: Its length in bytes.
        sender: Who sent it, as the kernel has it; empty at the end of a connection.
    """

    data: bytes
    size: int
    sender: bytes


class Room:
    """Room for one message at a time; memory is used as far as messages come."""

    def __init__(self, longest: int = _LONGEST) -> None:
        """Make room for so many bytes."""
        self.longest = longest
        self._view = memoryview(mmap.mmap(-1, longest))

    def receive(self, made: socket.socket) -> Message:
        """Return what comes next by a socket that shows senders.

        Descriptors that come along find no room, and the kernel closes them.

        Raises:
            BlockingIOError: Nothing is there.
        """
        most = socket.CMSG_SPACE(_CREDENTIALS)
        size, control, _, _ = made.recvmsg_into([self._view], most, socket.MSG_DONTWAIT | socket.MSG_TRUNC)
        sender = next((body for _, kind, body in control if kind == socket.SCM_CREDENTIALS), b"")
        return Message(bytes(self._view[:size]), size, sender)


def show_senders(made: socket.socket) -> None:
    """Have the kernel say who sent each message; that tells an empty one from the end of a connection, too."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

"""Senders as the kernel or a certificate knows them, and the fields that stand in their lines.

>>> Fields((("uid", 7), ("exe", "/opt/a b"))).plain
b'[uid=7 exe=/opt/a%20b] '
>>> unit_of("/user.slice/user-7.slice/user@7.service/app.slice/payments.service")
('user@7.service', None)
"""

import json
import os
import re
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tallystick import _core

__all__ = ["STATEMENT", "Fields", "Peer", "certified", "local", "remote", "unit_of"]

STATEMENT = (
    "each line of this chain begins with what the agent knows of its sender, [uid= gid= pid= exe= unit= container=] "
    "or [tls= peer=], in JSON as the member origin; no sender wrote that"
)
"""What a log that has such fields says after each `open`."""

_SAFE = "/:@+,._-"
_PIDFD = 77  # SO_PEERPIDFD
_CONTAINER = re.compile(r"(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?")


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values of what is known of a sender."""

    pairs: tuple[tuple[str, str | int], ...]

    @property
    def plain(self) -> bytes:
        """The fields as a plain line begins with them: what is not a plain character is %XX."""
        words = (f"{name}={quote(str(value), _SAFE, errors='surrogateescape')}" for name, value in self.pairs)
        return f"[{' '.join(words)}] ".encode()

    @property
    def stamp(self) -> _core.Stamp:
        """The fields in both forms."""
        values = {
            name: value
            if isinstance(value, int)
            else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for name, value in self.pairs
        }
        return _core.Stamp(self.plain, json.dumps(values, separators=(",", ":")).encode())


def _text(value: str) -> str:
    """Return a value as JSON can have it: bytes that are no UTF-8 are replaced."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    Args:
        identity: Who it is, as far as clients and limits go: a user, the name of a certificate, or an address.
        name: The same for people, with more of what is known.
        fields: What is known of it.
    """

    identity: str
    name: str
    fields: Fields


def local(connection: socket.socket, *, closely: bool) -> Peer:
    """Return who connected by a Unix socket: the process as of then, as the kernel noted it.

    Args:
        connection: The connection.
        closely: Look at executable and unit, too; they are left out where the process may be another one by now.
    """
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    pairs: list[tuple[str, str | int]] = [("uid", uid & 0xFFFFFFFF), ("gid", gid & 0xFFFFFFFF), ("pid", pid)]
    if closely:
        pairs += _process(connection, pid)
    return Peer(f"uid:{uid & 0xFFFFFFFF}", f"process {pid} of uid {uid & 0xFFFFFFFF}", Fields(tuple(pairs)))


def _process(connection: socket.socket, pid: int) -> list[tuple[str, str | int]]:
    """Return what /proc says of a process, if a descriptor of it shows that its number is still its own."""
    try:
        held = connection.getsockopt(socket.SOL_SOCKET, _PIDFD)
    except OSError:
        return []  # an old kernel: nobody could tell whose number it is now
    try:
        found: list[tuple[str, str | int]] = []
        with suppress(OSError):
            found.append(("exe", os.readlink(f"/proc/{pid}/exe")))
        with suppress(OSError), open(f"/proc/{pid}/cgroup", errors="surrogateescape") as lines:
            unit, container = unit_of(_cgroup(lines.read(65536)))
            found += [("unit", unit)] if unit else []
            found += [("container", container)] if container else []
        try:
            signal.pidfd_send_signal(held, 0)
        except PermissionError:
            pass  # it lives, as somebody else's
        except OSError:
            return []
        return found
    finally:
        os.close(held)


def _cgroup(text: str) -> str:
    """Return the path of the group that systemd or the kernel keeps the process in."""
    paths = dict(line.split(":", 2)[1:] for line in text.splitlines() if line.count(":") >= 2)
    return paths.get("name=systemd") or paths.get("", "")


def unit_of(path: str) -> tuple[str | None, str | None]:
    """Return unit and container of a control group, by what stands first: a user may name what is below its own."""
    container = None
    for part in path.split("/"):
        match = _CONTAINER.fullmatch(part)
        container = container or (match[1] if match else None)
        if part.endswith((".service", ".scope")):
            return part, container
    return None, container


def certified(certificate: dict[str, Any], address: str) -> Peer:
    """Return who connected by TLS: the name that the certificate has, for which its issuer vouches."""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    names += [value for key, value in certificate.get("subjectAltName", ()) if key in ("DNS", "URI", "email")]
    name = names[0] if names else certificate.get("serialNumber", "")
    return Peer(f"tls:{name}", f"{name!r} at {address}", Fields((("tls", name), ("peer", address))))


def remote(kind: str, address: str) -> Peer:
    """Return who connected, or sends, by a network that knows addresses only; of a datagram not even that is known."""
    pairs = (("transport", kind), ("peer", address)) if kind == "tcp" else (("transport", kind),)
    return Peer(f"address:{address.rpartition(':')[0]}", address, Fields(pairs))

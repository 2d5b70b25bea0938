"""Sockets that the agent listens at: made safely, or handed over by systemd.

A file of a socket is made with its mode before anybody can connect, in a directory that no stranger may write to. One
that is there already is removed only if it is a socket of this user at which nobody listens.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     address = Address.parse(f"unix:{directory}/payments.sock")
...     made = made_at(address, mode=0o600)
...     oct(os.stat(address.place).st_mode & 0o777)
...     removed(address, made)
...     os.listdir(directory)
'0o600'
[]
"""

import errno
import os
import socket
import stat
from contextlib import suppress

from tallystick import securefile
from tallystick.agent.address import Address
from tallystick.agent.messages import show_senders
from tallystick.errors import SealError, reason

__all__ = ["handed_over", "made_at", "removed"]

_FIRST = 3  # the first descriptor that systemd hands over
_TYPES = {
    "unix": socket.SOCK_STREAM, "unixgram": socket.SOCK_DGRAM, "unixpacket": socket.SOCK_SEQPACKET,
    "tcp": socket.SOCK_STREAM, "tls": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM,
}  # fmt: skip
_BACKLOG = 4096
_RECEIVED = 2**22  # bytes that the kernel holds of datagrams, as far as it lets us


def made_at(address: Address, *, mode: int) -> socket.socket:
    """Return a socket that listens at an address.

    Args:
        address: Where.
        mode: Mode of the file of a Unix socket.

    Raises:
        SealError: It cannot be made, or somebody else listens there.
    """
    try:
        made = _unix(address, mode) if address.is_unix else _network(address)
    except OSError as error:
        raise SealError(f"{address}: {reason(error)}", hint="name another address") from error
    return _ready(made, address)


def _ready(made: socket.socket, address: Address) -> socket.socket:
    made.setblocking(False)
    if made.type == socket.SOCK_DGRAM:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
        if address.is_unix:
            show_senders(made)
    return made


def _network(address: Address) -> socket.socket:
    found = socket.getaddrinfo(address.place, address.port, type=_TYPES[address.kind], flags=socket.AI_PASSIVE)
    family, kind, protocol, _, place = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        if kind == socket.SOCK_STREAM:
            made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _unix(address: Address, mode: int) -> socket.socket:
    path = address.place
    _check_directory(os.path.dirname(path) or "/")
    _remove_stale(address)
    made = socket.socket(socket.AF_UNIX, _TYPES[address.kind])
    umask = os.umask(0o777 & ~mode)
    try:
        made.bind(path)
        if made.type != socket.SOCK_DGRAM:
            made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(umask)
    return made


def _check_directory(path: str) -> None:
    """Refuse a directory in which a stranger could put another socket in the place of ours."""
    found = os.stat(path)
    strangers = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
    if strangers or found.st_uid not in (0, os.geteuid()):
        raise SealError(
            f"{path} can be written by others, who could put a socket of their own there",
            hint="name a directory of this user that nobody else may write to",
        )


def _remove_stale(address: Address) -> None:
    path = address.place
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise SealError(f"{path} is there and is no socket of this user", hint="remove it, or name another path")
    with socket.socket(socket.AF_UNIX, _TYPES[address.kind]) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                with securefile.reporting(SealError, os.path.dirname(path)):
                    _remove_socket(path)
                return
            if error.errno == errno.EPROTOTYPE:
                raise SealError(f"{path} is a socket of another kind", hint="remove it, or name another path") from None
    raise SealError(f"{path}: another process listens there", hint="stop it, or name another path")


def removed(address: Address, made: socket.socket) -> None:
    """Close a socket that `made_at` made, and remove its file if that is still the one."""
    if address.is_unix:
        with suppress(OSError, securefile.RefusedError):
            _remove_socket(address.place)
    made.close()


def _remove_socket(path: str) -> None:
    """Remove a socket, if it is one of this user, from the directory in which it was looked at."""
    with securefile.directory_of(os.path.abspath(path)) as (directory, name):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid():
            os.unlink(name, dir_fd=directory)


def handed_over(environment: dict[str, str], addresses: list[Address]) -> dict[Address, socket.socket]:
    """Return the sockets that systemd handed over, by the addresses that mean them; the variables are removed.

    Args:
        environment: That of this process, with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.
        addresses: Those at which to listen.

    Raises:
        SealError: A socket was handed over that no address means.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "0")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[Address, socket.socket] = {}
    for number in range(int(count)):
        fd = _FIRST + number
        os.set_inheritable(fd, False)
        handed = socket.socket(fileno=fd)
        match = next((each for each in addresses if _is_at(handed, each)), None)
        if match is None:
            name = names[number] if number < len(names) else ""
            raise SealError(
                f"socket {name or fd} at {handed.getsockname()!r} was handed over, and no address means it",
                hint="name its address by --listen",
            )
        found[match] = _ready(handed, match)
    return found


def _is_at(handed: socket.socket, address: Address) -> bool:
    if handed.type != _TYPES[address.kind] or (handed.family == socket.AF_UNIX) != address.is_unix:
        return False
    name = handed.getsockname()
    if address.is_unix:
        return bool(name == address.place)
    return bool(name[1] == address.port and name[0] in (address.place, "0.0.0.0", "::"))

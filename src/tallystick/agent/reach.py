"""How a client reaches an agent: by a Unix socket, or by TLS with certificates at both ends.

>>> Reach("unix:/run/tallystick/payments.sock").address.place
'/run/tallystick/payments.sock'
>>> Reach("unix:/run/tallystick/no.sock").open()
'no such file or directory'
"""

import os
import select
import socket
import ssl
import stat
import struct

from tallystick.agent.address import Address
from tallystick.errors import FormatError, SealError, explain, reason

__all__ = ["Link", "Reach"]

_PATIENCE = 5.0  # seconds for a connection and its handshake
_UNHEARD = 30_000  # milliseconds after which a connection is over whose other end does not even take bytes
_AT_ONCE = 2**16  # bytes
_CREDENTIALS = struct.Struct("i2I")


class Link:
    """A connection to an agent. Nothing here waits, but for `wait`."""

    def __init__(self, connection: socket.socket) -> None:
        """Take a connection."""
        connection.setblocking(False)
        self.socket = connection
        self._waiting = select.poll()

    def send(self, data: bytes) -> int:
        """Send; return how many bytes the kernel took."""
        try:
            return self.socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def receive(self) -> bytes | None:
        """Return bytes that came; none at all at the end, None where nothing came."""
        try:
            return self.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return None

    def wait(self, seconds: float, *, writes: bool) -> None:
        """Wait until something comes, or until something can be sent."""
        self._waiting.register(self.socket.fileno(), select.POLLIN | select.POLLOUT * writes)
        self._waiting.poll(seconds * 1000)

    def close(self) -> None:
        """End it."""
        self.socket.close()


class _TlsLink(Link):
    """The same by TLS, where to read may take to write."""

    def send(self, data: bytes) -> int:
        try:
            return self.socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def receive(self) -> bytes | None:
        try:
            return self.socket.recv(_AT_ONCE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None


class Reach:
    """Where an agent is, and how to connect to it."""

    def __init__(
        self, address: str, tls_cert: str | None = None, tls_key: str | None = None, tls_ca: str | None = None
    ) -> None:
        """Take an address, `unix:PATH` or `tls:HOST:PORT`, and for TLS our certificate, its key, and authorities.

        Raises:
            FormatError: It is none, or nobody is acknowledged there.
        """
        self.address = Address.parse(address)
        if not self.address.acknowledges:
            raise FormatError(
                f"{address}: nobody is acknowledged there",
                hint="name an address of the agent that is unix:PATH or tls:HOST:PORT, without syslog+",
            )
        if self.address.kind == "tls":
            if not (tls_cert and tls_key and tls_ca):
                raise FormatError(
                    f"{address}: both ends show a certificate", hint="name files: tls_cert, tls_key and tls_ca"
                )
            self._files = tuple(map(os.path.abspath, (tls_cert, tls_key, tls_ca)))

    def open(self) -> Link | str:
        """Connect, which may take seconds; return the connection, or why there is none."""
        try:
            return self._by_unix() if self.address.is_unix else self._by_tls()
        except OSError as error:
            return reason(error)
        except SealError as error:
            return explain(error)

    def _by_unix(self) -> Link:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(_PATIENCE)
            made.connect(self.address.place)
            _check_peer(made, self.address.place)
        except BaseException:
            made.close()
            raise
        return Link(made)

    def _by_tls(self) -> Link:
        certificate, key, authorities = self._files
        if stat.S_IMODE(os.stat(key).st_mode) & 0o077:
            raise SealError(f"{key} is open to other users", hint=f"run: chmod 0600 {key}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authorities)
        made = socket.create_connection((self.address.place, self.address.port), _PATIENCE)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD)
            return _TlsLink(context.wrap_socket(made, server_hostname=self.address.place))
        except BaseException:
            made.close()
            raise


def _check_peer(made: socket.socket, path: str) -> None:
    """Refuse a socket that a stranger may have put in the place of the agent's.

    Raises:
        SealError: Others may write to its directory; or the process that listens is not of root, of this user or of the
            directory's owner.
    """
    directory = os.path.dirname(path)
    found = os.stat(directory)
    _, uid, _ = _CREDENTIALS.unpack(made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise SealError(f"{directory} can be written by others, who could put a socket of their own there")
    if uid not in (0, os.geteuid(), found.st_uid):
        raise SealError(f"user {uid} listens at {path}, who is neither root, nor this user, nor the directory's owner")

r"""A syslog daemon as receiver: each event is one message in the form of RFC 5424, ASCII, at most 2,000 bytes.

Over TCP messages are framed by counting octets (RFC 6587), and the connection is closed in order, so that what the
daemon refused is noticed. Over UDP nobody notices a message that gets lost.

>>> plain = {"id": "7", "time": 0, "after": "failed", "summary": 'app is failed: altered at "x:3'}
>>> message(plain, 4, "db1").decode().partition("summary=")[2]
'"app is failed: altered at \\"x:3"'
"""

import errno
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from tallystick.errors import TallystickError, reason
from tallystick.reports.words import when
from tallystick.watch.alerts.receiver import AwayError
from tallystick.watch.config import Syslog

__all__ = ["FACILITIES", "SyslogDaemon", "message"]

FACILITIES = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9,
    "authpriv": 10, "ftp": 11, **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
_SEVERITIES = {"failed": 2, "silent": 3, "incomplete": 4, "stale": 4, "never": 4, "ok": 5}
_LARGEST = 2000  # bytes; each receiver should take 2,048 (RFC 5424, section 6.1)
_SECONDS = 5.0


class SyslogDaemon:
    """A syslog daemon as receiver.

    Raises:
        TallystickError: Address or facility are invalid.
    """

    def __init__(self, config: Syslog) -> None:
        self.name, self.key = f"syslog {config.address}", f"syslog\0{config.address}\0{config.facility}"
        kind, _, place = config.address.partition(":")
        host, _, port = place.rpartition(":")
        self._kind, self._path, self._host = kind, place, host.removeprefix("[").removesuffix("]")
        valid = bool(place) if kind == "unix" else bool(host) and port.isdigit() and 0 < int(port) < 65536
        if kind not in ("unix", "udp", "tcp") or not valid:
            raise TallystickError(
                f"invalid address of a syslog daemon: {config.address}",
                hint="give unix:PATH, udp:HOST:PORT or tcp:HOST:PORT",
            )
        if config.facility not in FACILITIES:
            raise TallystickError(
                f"no facility of syslog is called {config.facility}", hint=f"one of {', '.join(FACILITIES)}"
            )
        self._port, self._facility = int(port) if kind != "unix" else 0, FACILITIES[config.facility]

    def deliver(self, plain: dict[str, Any], stop: threading.Event) -> None:
        """Send one message."""
        line = message(plain, self._facility, socket.gethostname())
        try:
            if self._kind == "unix":
                self._to_socket(line)
            elif self._kind == "udp":
                found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
                with socket.socket(*found[:3]) as to:
                    to.sendto(line, found[4])
            else:
                with socket.create_connection((self._host, self._port), _SECONDS) as to:
                    _finish(to, b"%d %s" % (len(line), line))
        except OSError as error:
            raise AwayError(reason(error)) from None

    def _to_socket(self, line: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(_SECONDS)
            try:
                to.connect(self._path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:  # it is a stream
                    raise
            else:
                to.send(line)
                return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as to:
            to.settimeout(_SECONDS)
            to.connect(self._path)
            _finish(to, line + b"\n")


def message(plain: dict[str, Any], facility: int, host: str) -> bytes:
    """Return an event as one message of RFC 5424, without framing.

    Args:
        plain: The event in its plain form.
        facility: Number of the facility.
        host: Name of this host.
    """
    severity = _SEVERITIES.get(plain["after"], 4)
    named = "".join(c for c in host[:255] if "!" <= c <= "~") or "-"
    head = f"<{facility * 8 + severity}>1 {when(plain['time'])} {named} tallystick {os.getpid()} alert - "
    found = plain.get("finding") or {}
    values = {name: plain.get(name) for name in ("id", "entry", "reason", "before", "after", "trouble")}
    values |= {name: found.get(name) for name in ("kind", "path", "line", "position")}
    values |= {"summary": plain["summary"]}
    for most in (240, 120, 60):
        told = [f'{name}="{_quoted(value, most)}"' for name, value in values.items() if value]
        line = (head + " ".join(told)).encode()
        if len(line) <= _LARGEST:
            break
    return line


def _quoted(value: object, most: int) -> str:
    """Return a value in printable ASCII, so many characters of it at most; quotes and backslashes are escaped."""
    text = str(value).encode("ascii", "backslashreplace").decode()
    text = "".join(c if " " <= c <= "~" else f"\\x{ord(c):02x}" for c in text)
    if len(text) > most:
        text = f"{text[: most // 2]}...{text[-(most // 2 - 3) :]}"
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _finish(to: socket.socket, data: bytes) -> None:
    """Send, and wait for the other side to close: a connection that was reset raises."""
    to.sendall(data)
    to.shutdown(socket.SHUT_WR)
    over = time.monotonic() + _SECONDS
    with suppress(TimeoutError):  # it has the bytes, but does not close
        while time.monotonic() < over and to.recv(4096):
            pass

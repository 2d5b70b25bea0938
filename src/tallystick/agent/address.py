"""Where the agent listens, as `--listen` names it.

>>> Address.parse("unix:/run/tallystick/payments.sock")
Address(kind='unix', place='/run/tallystick/payments.sock', port=0, syslog=False)
>>> Address.parse("syslog+tls:[::1]:6514")
Address(kind='tls', place='::1', port=6514, syslog=True)
"""

import re
from dataclasses import dataclass

from tallystick.errors import FormatError

__all__ = ["KINDS", "Address"]

KINDS = ("unix", "unixgram", "unixpacket", "tcp", "tls", "udp")
"""What an address can begin with; the first three are followed by a path, the others by HOST:PORT."""

_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_LONGEST = 107  # bytes of the path of a Unix socket


@dataclass(frozen=True, slots=True)
class Address:
    """One address.

    Args:
        kind: One of `KINDS`.
        place: Path of a Unix socket; otherwise the host.
        port: The port; 0 for a Unix socket, and where the system chooses one.
        syslog: Are messages of syslog awaited, and not lines?
    """

    kind: str
    place: str
    port: int
    syslog: bool

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address.

        Raises:
            FormatError: It is malformed.
        """
        scheme, _, rest = text.partition(":")
        syslog, kind = scheme.startswith("syslog+"), scheme.removeprefix("syslog+")
        if kind not in KINDS or not rest:
            raise FormatError(
                f"{text!r} is no address to listen at", hint="write unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, udp:…"
            )
        if kind.startswith("unix"):
            if not rest.startswith("/") or "\0" in rest or len(rest.encode("utf-8", "surrogateescape")) > _LONGEST:
                raise FormatError(
                    f"{rest!r} is no path for a socket", hint=f"write an absolute path of {_LONGEST} bytes at most"
                )
            return cls(kind, rest, 0, syslog)
        match = _HOST.fullmatch(rest)
        if match is None or int(match[3]) > 65535:
            raise FormatError(f"{rest!r} is no host and port", hint="write them like 127.0.0.1:6514 or [::1]:6514")
        return cls(kind, match[1] or match[2], int(match[3]), syslog)

    @property
    def is_unix(self) -> bool:
        """Is it a path?"""
        return self.kind.startswith("unix")

    @property
    def acknowledges(self) -> bool:
        """May clients speak the acknowledged protocol there (spec/agent.md section 3)?"""
        return self.kind in ("unix", "tls") and not self.syslog

    def __str__(self) -> str:
        """Return the text that is read as this address."""
        host = f"[{self.place}]" if ":" in self.place else self.place
        return f"{'syslog+' * self.syslog}{self.kind}:{self.place if self.is_unix else f'{host}:{self.port}'}"

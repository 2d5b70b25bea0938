"""What goes to a witness over HTTP, and what comes back (spec section 11).

>>> where = Address.parse("https://w.example/")
>>> where.url, where.key
('https://w.example', None)
>>> body([Item(b"text", [bytes(32)])])
b'text\\nproof AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\n'
"""

import base64
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tallystick import _core
from tallystick.errors import FormatError, TallystickError

if TYPE_CHECKING:  # a writer without witnesses loads neither
    import http.client
    import ssl

__all__ = ["MOST_BYTES", "Address", "Answer", "Item", "UnreachableError", "Wire", "body"]

MOST_BYTES = 2**20
"""Bytes of a body that a witness takes."""

_MOST_ANSWER = 2**17  # bytes: an answer holds one text and one receipt
_SECONDS = 10.0  # for each read and write


class UnreachableError(TallystickError):
    """A witness gave no answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a witness is.

    Args:
        url: Its URL, http or https, without a slash at its end.
        key: Its public key, by which its receipts are checked; None where its word is taken as it comes.
    """

    url: str
    key: _core.NoteKey | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `URL` or `URL=KEY`.

        Raises:
            FormatError: It is neither.
        """
        url, separator, key = text.rpartition("=")
        if not separator or not key.isascii() or "+" not in key:
            url, key = text, ""
        url = url.rstrip("/")
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or parts.query or parts.fragment or not url.isprintable() or not url.isascii() or " " in url:
            raise FormatError("no URL of a witness", hint="it begins with https:// or http://, and =KEY may follow it")
        if "@" in parts.netloc:
            raise FormatError("the URL of a witness holds a user or a password", hint="a witness needs neither")
        return cls(url, _core.NoteKey(key) if key else None)


@dataclass(frozen=True, slots=True)
class Item:
    """A text that is shown.

    Args:
        text: The text.
        proof: What proves that it goes on from the text before it; empty where nothing need.
        receipt: A receipt of this witness for it, if it has signed one.
    """

    text: bytes
    proof: Sequence[bytes] = ()
    receipt: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness says.

    Args:
        status: The status of HTTP.
        text: The newest text that it accepted, or the one that is contradicted; None where there is none.
        receipt: Its receipt for that text.
        after: Seconds after which it may be asked again, where it said so.
    """

    status: int
    text: bytes | None
    receipt: bytes
    after: float | None


def body(items: Sequence[Item]) -> bytes:
    """Return the body that shows some texts."""
    lines = []
    for item in items:
        lines.append(item.text)
        if item.proof:
            lines.append(b"proof " + b" ".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in item.proof))
        if item.receipt:
            lines.append(item.receipt.rstrip(b"\n"))
    return b"\n".join([*lines, b""])


class Wire:
    """A connection to one witness, which is kept for the next time.

    State: the connection. Used by one thread, but for `forget`.
    """

    def __init__(self, address: Address, log: bytes) -> None:
        """Make it for the log of P, 32 bytes; nothing is sent yet."""
        parts = urlsplit(address.url)
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname or "", parts.port
        self._path = f"{parts.path}/log/{base64.urlsafe_b64encode(log).rstrip(b'=').decode()}"
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None

    def show(self, items: Sequence[Item]) -> Answer:
        """Show some texts.

        Raises:
            UnreachableError: No answer came.
        """
        import http.client

        data, kept = body(items), self._connection is not None
        try:
            return self._asked(data)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            if not kept:
                raise _unreachable(error) from error
        # A connection that was kept may have been closed by the witness meanwhile: that is no trouble yet. Whatever it
        # had accepted by then it takes once more as the same.
        try:
            return self._asked(data)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise _unreachable(error) from error

    def _asked(self, data: bytes) -> Answer:
        connection = self._connection or self._connect()
        self._connection = connection
        connection.request("POST", self._path, data, {"Content-Type": "text/plain", "User-Agent": "tallystick"})
        with connection.getresponse() as said:
            found = said.read(_MOST_ANSWER + 1)
            after, status = said.headers.get("Retry-After", ""), said.status
        if len(found) > _MOST_ANSWER:
            raise ValueError(f"its answer has more than {_MOST_ANSWER} bytes")
        text, receipt = _parts(found) if found.startswith(b"tallystick/v1 ") else (None, b"")
        return Answer(status, text, receipt, float(after) if after.isdecimal() and len(after) < 6 else None)

    def _connect(self) -> "http.client.HTTPConnection":
        import http.client
        import ssl

        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        self._context = self._context or ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=_SECONDS, context=self._context)

    def close(self) -> None:
        """Close the connection; the next text makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def forget(self) -> None:
        """In a forked child: close its copy, and say nothing to the witness."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            with suppress(OSError, ValueError):
                os.close(connection.sock.detach())


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Divide an answer into its text and the receipt for it.

    Raises:
        ValueError: It holds something else.
    """
    try:
        entries = _core.read_receipts(data)
    except FormatError as error:
        raise ValueError(f"its answer is malformed: {error}") from error
    if len(entries) != 1:
        raise ValueError("its answer holds more than one text")
    text, notes = entries[0]
    return text, notes[0] if notes else b""


def _unreachable(error: Exception) -> UnreachableError:
    if isinstance(error, TimeoutError):
        return UnreachableError("it does not answer in time")
    # What a server says may hold anything; it is shown as ASCII, and not at any length.
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return UnreachableError(f"it does not answer: {ascii(said)[1:-1][:150]}")

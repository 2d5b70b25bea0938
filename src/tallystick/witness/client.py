"""Asks a witness over HTTP how long a log is; what it answers is judged by the verifier (spec section 11).

`GET URL/log/<P>?nonce=<32 random bytes>`, both in b64, gives a signed note. Nothing in it counts but by its signature,
so the connection need not be trusted; without one the end is open.

>>> address("http://127.0.0.1:8080/", bytes(32), bytes(32))[:40]
'http://127.0.0.1:8080/log/AAAAAAAAAAAAAA'
"""

import base64
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from tallystick.errors import TallystickError

__all__ = ["WitnessError", "address", "ask", "receipts"]

_MOST_BYTES = 2**23  # a witness keeps at most 4,096 texts of a log, each of about 1 KiB
SECONDS = 15.0
"""How long an answer may take."""


class WitnessError(TallystickError):
    """A witness gave no answer."""


def address(url: str, log: bytes, nonce: bytes) -> str:
    """Return the address at which a witness answers for the log of P."""
    return f"{_of(url, log)}?nonce={_b64(nonce)}"


def _of(url: str, log: bytes) -> str:
    return f"{url.rstrip('/')}/log/{_b64(log)}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ask(url: str, log: bytes, nonce: bytes, seconds: float = SECONDS) -> bytes:
    """Return the answer of a witness, of which nothing was checked.

    Args:
        url: Its URL, http or https.
        log: P of the log, 32 bytes.
        nonce: 32 random bytes, which the answer must hold.
        seconds: How long the answer may take, to its last byte.

    Raises:
        WitnessError: It cannot be reached, or gives no answer.
    """
    return _fetched(url, address(url, log, nonce), seconds)


def receipts(url: str, log: bytes) -> bytes:
    """Return the file of receipts that a witness gives of the log of P, of which nothing was checked.

    Args:
        url: Its URL, http or https.
        log: P of the log, 32 bytes.

    Raises:
        WitnessError: It cannot be reached, or gives none.
    """
    return _fetched(url, f"{_of(url, log)}/receipts", SECONDS)


def _fetched(url: str, place: str, seconds: float) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise WitnessError(f"{url} is no URL of a witness", hint="it begins with https:// or http://")
    limit = _Limit(seconds)
    try:
        with limit, urllib.request.build_opener(limit).open(place, timeout=seconds) as answer:
            data: bytes = answer.read(_MOST_BYTES + 1)
            if len(data) > _MOST_BYTES:
                raise OSError(f"the answer has more than {_MOST_BYTES} bytes")
            limit.check()
            return data
    except urllib.error.HTTPError as error:
        raise WitnessError(f"{url} answers {error.code}", hint="does this witness know the log?") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        said = getattr(error, "reason", None) or error
        if limit.is_over or isinstance(said, TimeoutError):
            said = f"that takes more than {seconds:g} s"
        why = ascii(str(said))[1:-1]  # what a server says may hold anything; it is shown as ASCII
        raise WitnessError(f"{url} does not answer: {why}", hint="is it reachable from here?") from error


class _Limit(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Cuts connections after some seconds: else each byte may come in time, and the last one never.

    State: whether the time is over, the connections.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._timer, self._turn = threading.Timer(seconds, self._cut), threading.Lock()
        self._timer.daemon, self.is_over, self._made = True, False, list[socket.socket]()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def check(self) -> None:
        """Raise TimeoutError if the time is over."""
        if self.is_over:
            raise TimeoutError

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Connect, in plain text."""
        return self.do_open(self._limited(http.client.HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Connect by TLS."""
        return self.do_open(self._limited(http.client.HTTPSConnection), req)

    def _limited(self, kind: Callable[..., http.client.HTTPConnection]) -> Any:
        def make(host: str, **options: Any) -> http.client.HTTPConnection:
            made = kind(host, **options)
            connect = made.connect

            def connected() -> None:
                connect()
                with self._turn:
                    self._made.append(made.sock)
                self.check()

            made.connect = connected  # type: ignore[method-assign]
            return made

        return make

    def _cut(self) -> None:
        with self._turn:
            self.is_over = True
            for one in self._made:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

"""Asks a witness over HTTP how long a log is; what it answers is judged by the verifier (spec section 11).

`GET URL/log/<P>?nonce=<32 random bytes>`, both in b64, gives a signed note. Nothing in it counts but by its signature,
so the connection need not be trusted; without one the end is open.

>>> address("http://127.0.0.1:8080/", bytes(32), bytes(32))[:40]
'http://127.0.0.1:8080/log/AAAAAAAAAAAAAA'
"""

import base64
import http.client
import time
import urllib.error
import urllib.request

from tallystick.errors import TallystickError

__all__ = ["WitnessError", "address", "ask", "receipts"]

_MOST_BYTES = 2**26
_SECONDS = 15.0


class WitnessError(TallystickError):
    """A witness gave no answer."""


def address(url: str, log: bytes, nonce: bytes) -> str:
    """Return the address at which a witness answers for the log of P."""
    return f"{_of(url, log)}?nonce={_b64(nonce)}"


def _of(url: str, log: bytes) -> str:
    return f"{url.rstrip('/')}/log/{_b64(log)}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ask(url: str, log: bytes, nonce: bytes) -> bytes:
    """Return the answer of a witness, of which nothing was checked.

    Args:
        url: Its URL, http or https.
        log: P of the log, 32 bytes.
        nonce: 32 random bytes, which the answer must hold.

    Raises:
        WitnessError: It cannot be reached, or gives no answer.
    """
    return _fetched(url, address(url, log, nonce))


def receipts(url: str, log: bytes) -> bytes:
    """Return the file of receipts that a witness gives of the log of P, of which nothing was checked.

    Args:
        url: Its URL, http or https.
        log: P of the log, 32 bytes.

    Raises:
        WitnessError: It cannot be reached, or gives none.
    """
    return _fetched(url, f"{_of(url, log)}/receipts")


def _fetched(url: str, place: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise WitnessError(f"{url} is no URL of a witness", hint="it begins with https:// or http://")
    try:
        with urllib.request.urlopen(place, timeout=_SECONDS) as answer:
            return _read(answer)
    except urllib.error.HTTPError as error:
        raise WitnessError(f"{url} answers {error.code}", hint="does this witness know the log?") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        # What a server says may hold anything; it is shown as ASCII.
        why = ascii(str(getattr(error, "reason", None) or error))[1:-1]
        raise WitnessError(f"{url} does not answer: {why}", hint="is it reachable from here?") from error


def _read(answer: http.client.HTTPResponse) -> bytes:
    """Read an answer to its end, or until it has taken too much time or room."""
    data, until = bytearray(), time.monotonic() + _SECONDS
    while part := answer.read1(2**16):
        data += part
        if len(data) > _MOST_BYTES or time.monotonic() > until:
            raise OSError(f"the answer takes more than {_SECONDS:.0f} s or {_MOST_BYTES} bytes")
    return bytes(data)

"""Who may read: this machine's own users, holders of the token, or of a certificate. Settled before anything is served.

>>> access = Access(host="127.0.0.1", token=hashlib.sha256(b"correct-horse-battery").digest())
>>> access.admits("Bearer correct-horse-battery"), access.admits("Bearer wrong"), access.admits("")
(True, False, False)
>>> basic = base64.b64encode(b"anybody:correct-horse-battery").decode()
>>> access.admits(f"Basic {basic}")
True
>>> Access("127.0.0.1").is_addressed("localhost:9470"), Access("127.0.0.1").is_addressed("evil.example:9470")
(True, False)
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tallystick import securefile, volumes
from tallystick._services import is_here
from tallystick.errors import FormatError, TallystickError, reason

__all__ = ["Access", "Web", "WebError", "context", "listen_address", "url_host"]

_LONGEST = 4096  # bytes of a file with a token
_SHORTEST = 16  # characters of a token
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")


class WebError(TallystickError):
    """The page cannot be served as asked."""


@dataclass(frozen=True, slots=True)
class Web:
    """Where something is served, and who may read it.

    Args:
        host: Address; one that is not loopback needs `token_file` or `client_ca`.
        port: TCP port; 0 for any that is free.
        token_file: File with the token that each request must carry.
        certificate: File with the server's certificate chain and `private_key` that with its key, for TLS.
        client_ca: File with the certificates of those who may sign clients', for mutual TLS.
    """

    host: str
    port: int
    token_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read.

    Args:
        host: The address that is listened at.
        token: SHA-256 of the token that each request must carry; None if it need not.
    """

    host: str
    token: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, web: Web, host: str) -> "Access":
        """Return who may read at an address.

        Args:
            web: What was asked for.
            host: The numeric address that its host is.

        Raises:
            WebError: It is not loopback, and neither a token nor a certificate is asked for, or the token's file
                is invalid or open to others.
        """
        if not is_here(host) and web.token_file is None and web.client_ca is None:
            raise WebError(
                f"{web.host} can be reached from other machines, and nothing says who may read there",
                hint="name a file with a token, or with the authority of clients' certificates, or listen at 127.0.0.1",
            )
        return cls(host, _token(web.token_file) if web.token_file is not None else None)

    def admits(self, authorization: str) -> bool:
        """Return whether a request with such an Authorization header may be answered."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic":  # browsers ask for it; any user name will do
            try:
                decoded = base64.b64decode(given.strip(), validate=True)
            except (binascii.Error, ValueError):
                return False
            secret = decoded.partition(b":")[2]
        elif scheme.lower() == "bearer":
            secret = given.strip().encode("utf-8", "surrogateescape")
        else:
            return False
        return hmac.compare_digest(hashlib.sha256(secret).digest(), self.token)

    def is_addressed(self, host: str) -> bool:
        """Return whether a request with such a Host header means this server.

        At a loopback address a name is one of loopback: a site whose name was made to lead here, so that its
        scripts could read what is served, has another one.
        """
        if not is_here(self.host):  # there a token or certificate is asked for, which a browser gives to no other name
            return True
        found = _HOST.fullmatch(host)
        return found is not None and is_here(found["six"] or found["name"])


def _token(path: Path) -> bytes:
    """Return the digest of the token in a file."""
    with _opened(path) as fd:
        text = os.read(fd, _LONGEST + 1)
    token = text.strip()
    if len(text) > _LONGEST or not token.isascii() or len(token.split()) != 1:
        raise WebError(f"{path} does not hold a token: one line of ASCII without blanks", hint=_make(path))
    if len(token) < _SHORTEST:
        raise WebError(f"the token in {path} has fewer than {_SHORTEST} characters", hint=_make(path))
    return hashlib.sha256(token).digest()


def _make(path: Path) -> str:
    return f"make one with: (umask 077; openssl rand -hex 32 > {path})"


def listen_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; the host of IPv6 stands in brackets.

    >>> listen_address("127.0.0.1:8080"), listen_address("[::1]:0")
    (('127.0.0.1', 8080), ('::1', 0))

    Raises:
        FormatError: It is none.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^\[\]:\s]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise FormatError(f"{text!r} is no address", hint="write it like 127.0.0.1:8080 or [::1]:8080")
    return match[1] or match[2], int(match[3])


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Give a descriptor of a private file, such as one with a token or a private key."""
    where = os.path.abspath(path)
    with securefile.reporting(WebError, where):
        given = volumes.is_given(where)
        fd = volumes.open_given(where) if given else securefile.open_file(where, None, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def context(web: Web) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None where it is not.

    Raises:
        WebError: A certificate or key is missing, invalid, or open to others.
    """
    if web.certificate is None:
        if web.private_key is not None or web.client_ca is not None:
            raise WebError("TLS needs a certificate of the server", hint="name the file with its certificate chain")
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    key = web.private_key or web.certificate
    with _opened(key) as fd, _reporting(f"certificate {web.certificate} with key {key}"):
        # By its descriptor: what is read is what was looked at. A key with a password cannot be asked for it.
        made.load_cert_chain(web.certificate, f"/dev/fd/{fd}", password=lambda: "")
    if web.client_ca is not None:
        with _reporting(f"certificates of authorities {web.client_ca}"):
            made.load_verify_locations(cafile=web.client_ca)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise WebError(
            f"{what} cannot be used: {error.reason or 'no PEM file'}", hint="give PEM files without a password"
        ) from None
    except OSError as error:
        raise WebError(f"{what}: {reason(error)}", hint="name files that this user may read") from None


def url_host(host: str) -> str:
    """Return a numeric address as it stands in a URL.

    >>> url_host("::1"), url_host("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host

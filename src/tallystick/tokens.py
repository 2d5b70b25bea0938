"""Time-stamp tokens (RFC 3161): read, put in DER's order, and verified.

A token is a CMS structure (RFC 5652). The order of its certificates is not signed. Some authorities, openssl's among
them, write them in another order than DER demands, and strict readers refuse that; here they are put in order first.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick._services import library
from tallystick.errors import FormatError, TallystickError

__all__ = ["Token", "TokenError", "answer_in_order", "read_roots"]

_SEQUENCE, _CONTEXT = 0x30, 0xA0  # [0], constructed
_GRANTED = bytes.fromhex("3003020100")  # PKIStatusInfo
_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}


class TokenError(TallystickError):
    """Time-stamps cannot be read here."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is about a text.

    Args:
        time: What it says, ms since 1970.
        answer: What the package read.
        text: The text.
    """

    time: int
    answer: Any
    text: bytes

    @classmethod
    def read(cls, token: bytes, text: bytes) -> "Token":
        """Read a token; whom to trust is another question.

        Raises:
            FormatError: It is none, or about something else.
            TokenError: The package is not installed.
        """
        package = library("rfc3161_client", "witness", TokenError)
        try:
            answer = package.decode_timestamp_response(answer_in_order(_wrapped(_SEQUENCE, _GRANTED + token)))
            stamp = answer.tst_info
            name = _HASHES.get(stamp.message_imprint.hash_algorithm.dotted_string)
            imprint, time = stamp.message_imprint.message, stamp.gen_time
        except Exception as error:  # the package raises errors of many kinds for bytes of strangers
            raise FormatError(f"the time-stamp cannot be read: {error}") from None
        if name is None or hashlib.new(name, text).digest() != imprint:
            raise FormatError("the time-stamp is about something else than the tree of the witness")
        return cls(round(time.timestamp() * 1000), answer, text)

    def doubt(self, roots: Sequence[Any]) -> str | None:
        """Return why no certificate of these vouches for it, at the time that it says; None if one does."""
        package = library("rfc3161_client", "witness", TokenError)
        builder = package.VerifierBuilder(roots=list(roots), intermediates=[])
        try:
            builder.build().verify_message(self.answer, self.text)
        except Exception as error:  # of many kinds, too: certificates in it are read only now
            return str(error)
        return None


def read_roots(data: bytes) -> list[Any]:
    """Return the certificates of a file, in PEM.

    Raises:
        FormatError: There is none, or one is invalid.
        TokenError: A package is not installed.
    """
    x509 = library("cryptography.x509", "witness", TokenError)
    try:
        return list(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise FormatError(f"no certificates in PEM: {error}") from None


def answer_in_order(answer: bytes) -> bytes:
    """Return an answer of an authority with the certificates of its token in the order that DER demands.

    Raises:
        ValueError: It is no such answer.
    """
    status, *token = _parts(_body(answer, _SEQUENCE))
    if len(token) != 1:
        return answer
    kind, content = _parts(_body(token[0], _SEQUENCE))
    parts = list(_parts(_body(_body(content, _CONTEXT), _SEQUENCE)))
    sets = [at for at, part in enumerate(parts) if part[0] == _CONTEXT]
    for at in sets:
        parts[at] = _wrapped(_CONTEXT, b"".join(sorted(_parts(_body(parts[at], _CONTEXT)))))
    signed = _wrapped(_CONTEXT, _wrapped(_SEQUENCE, b"".join(parts)))
    return _wrapped(_SEQUENCE, status + _wrapped(_SEQUENCE, kind + signed))


def _head(data: bytes) -> tuple[int, int]:
    """Return the lengths of tag and length of a value, and of its body."""
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise ValueError("a value of DER is cut off, or has a long tag")
    count = data[1] - 0x80
    if count < 0:
        return 2, data[1]
    if not 1 <= count <= 4 or len(data) < 2 + count:
        raise ValueError("a length of DER is none")
    return 2 + count, int.from_bytes(data[2 : 2 + count])


def _body(data: bytes, tag: int) -> bytes:
    head, length = _head(data)
    if data[0] != tag or len(data) != head + length:
        raise ValueError("a value of DER is not the one that must stand there")
    return data[head:]


def _parts(body: bytes) -> Iterator[bytes]:
    """Give the values that stand in a body."""
    at = 0
    while at < len(body):
        head, length = _head(body[at : at + 6])
        if at + head + length > len(body):
            raise ValueError("a value of DER is cut off")
        yield body[at : at + head + length]
        at += head + length


def _wrapped(tag: int, body: bytes) -> bytes:
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 + len(size)]) + size + body

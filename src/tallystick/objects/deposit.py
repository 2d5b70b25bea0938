"""Where finished files go: an object is made once, never replaced, and seen to hold the bytes before that is relied on.

In S3 an object is made by one request, which the store answers only if the bytes have the SHA-256 that it names and if
nothing has that name yet. A lock keeps each object from being removed, by anybody, until a time: Object Lock in
compliance mode. Elsewhere the object is read back.

>>> Deposit.of("s3://logs/payments/").url("audit.log.0000000042.zst")
's3://logs/payments/audit.log.0000000042.zst'
>>> Deposit.of("https://example.org/logs/")
Traceback (most recent call last):
tallystick.errors.ReportError: nothing can be put to https://example.org/logs/
hint: name a bucket: s3://BUCKET/PREFIX, gs://… or az://…
"""

import base64
import contextlib
import datetime
import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from tallystick.errors import ReportError
from tallystick.objects.address import Address
from tallystick.objects.s3 import client, explained
from tallystick.objects.store import connect

__all__ = ["Deposit", "Deposited"]

LARGEST = 5 * 10**9
"""Bytes that one request takes; S3 takes a little more."""

_BLOCK = 2**20
_SLACK = datetime.timedelta(hours=1)  # by which the clocks of store and host may differ, and times are rounded


@dataclass(frozen=True, slots=True)
class Deposited:
    """An object that holds the bytes of a file.

    Args:
        url: Its URL.
        sha256: SHA-256 of its bytes, in hexadecimal.
        size: Their number.
        version: Number of its version; empty where the store has none.
    """

    url: str
    sha256: str
    size: int
    version: str

    def __str__(self) -> str:
        """Return it as a signed notice says it (spec section 5)."""
        return f"{self.url} sha256:{self.sha256} {self.size}" + (f" version {self.version}" if self.version else "")


class Deposit:
    """A place in a store under which finished files are put.

    Args:
        address: The store, and what the name of each object begins with.
        lock: Seconds for which nobody can remove an object; None for no lock of its own.
    """

    def __init__(self, address: Address, lock: float | None = None) -> None:
        self._address, self._lock = address, lock

    @classmethod
    def of(cls, url: str, lock: float | None = None) -> "Deposit":
        """Read a URL; nothing is asked of the store yet.

        Raises:
            ReportError: Nothing can be put there.
        """
        address = Address.of(url)
        if address.scheme in ("http", "https"):
            raise ReportError(
                f"nothing can be put to {url}", hint="name a bucket: s3://BUCKET/PREFIX, gs://… or az://…"
            )
        if address.has_pattern and not address.name.endswith("/") and address.name:
            raise ReportError(f"{url} is a pattern, and no place", hint="write s3://BUCKET/PREFIX")
        if lock is not None and address.scheme != "s3":
            raise ReportError(
                f"{url} has no locks that are known here", hint="leave --lock out, or name s3://BUCKET/PREFIX"
            )
        folder = address.name if not address.name or address.name.endswith("/") else f"{address.name}/"
        return cls(Address(address.root, folder), lock)

    def url(self, name: str) -> str:
        """Return the URL of an object by its name here."""
        return f"{self._address.url}{name}"

    def put(self, name: str, file: IO[bytes]) -> Deposited:
        """Make an object of a file, unless there is one that holds the same; return when the store has it for good.

        Args:
            name: Its name here.
            file: The file, which can be read again.

        Raises:
            OSError: It cannot be had now; EEXIST where another object has its name, EFBIG where it is too large.
        """
        digest, size = _digest(iter(lambda: file.read(_BLOCK), b""))
        file.seek(0)
        if size > LARGEST:
            raise OSError(errno.EFBIG, f"it has more than {LARGEST} bytes, which one request does not take")
        if self._address.scheme == "s3":
            version = self._put_s3(self._address.name + name, file, digest, size)
        else:
            version = self._put(self._address.name + name, file, digest, size)
        return Deposited(self.url(name), digest.hex(), size, version)

    def _put(self, name: str, file: IO[bytes], digest: bytes, size: int) -> str:
        store = connect(self._address.root)
        with contextlib.suppress(FileExistsError):  # a crash left it, or it is another one: that is seen now
            store.put(name, file.read())
        found = store.look(name)
        pieces = (store.read(found, at, min(at + _BLOCK, found.size)) for at in range(0, found.size, _BLOCK))
        if found.size != size or _digest(pieces)[0] != digest:
            raise _taken(self._address, name)
        return found.version or ""

    def _put_s3(self, name: str, file: IO[bytes], digest: bytes, size: int) -> str:
        s3, key = client(self._address.bucket), {"Bucket": self._address.bucket, "Key": name}
        until = None if self._lock is None else _now() + datetime.timedelta(seconds=self._lock)
        named: dict[str, Any] = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64.b64encode(digest).decode()}
        locked = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until} if until is not None else {}
        try:
            s3.put_object(**key, **locked, Body=file, **named, ContentLength=size, IfNoneMatch="*")
        except Exception as error:
            if (said := explained(error)).errno != errno.EEXIST:
                raise said from error
        try:
            found = s3.head_object(**key, ChecksumMode="ENABLED")
            same = found["ContentLength"] == size and found.get("ChecksumSHA256") in (None, named["ChecksumSHA256"])
            if same and found.get("ChecksumSHA256") is None:  # it does not say: then it is read back
                body = s3.get_object(**key, IfMatch=found["ETag"])["Body"]
                same = _digest(body.iter_chunks(_BLOCK))[0] == digest
        except Exception as error:
            raise explained(error) from error
        if not same:
            raise _taken(self._address, name)
        if self._lock is not None:
            _see_lock(found, self._lock)
        version = found.get("VersionId")
        return version if isinstance(version, str) and version != "null" else ""


def _see_lock(found: Any, seconds: float) -> None:
    """See that an object is locked for so long since it was made."""
    mode, until = found.get("ObjectLockMode"), found.get("ObjectLockRetainUntilDate")
    if (
        mode != "COMPLIANCE"
        or until is None
        or until < found["LastModified"] + datetime.timedelta(seconds=seconds) - _SLACK
    ):
        raise OSError(errno.EPERM, "the store has it without the lock that was asked for")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _taken(address: Address, name: str) -> OSError:
    return FileExistsError(errno.EEXIST, f"another object has the name {address.root}/{name}")


def _digest(pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """Return the SHA-256 of some bytes, and their number."""
    made, size = hashlib.sha256(), 0
    for piece in pieces:
        made.update(piece)
        size += len(piece)
    return made.digest(), size

"""Custody by something outside of this host's files: a key management service, a token, a chip.

A provider encrypts a fresh key, which encrypts the data key together with its context here, in memory that is wiped.
The copies of a key that the provider's libraries make in their memory end with their process: all work on sealing
states is done in a short-lived one (`tallystick.courier`), and nothing of a provider is loaded into the writer.
"""

import base64
import importlib
import os
from typing import Protocol

from tallystick._core import DataKey
from tallystick.custody.base import Forgets, Owner
from tallystick.custody.options import unopened
from tallystick.errors import CustodyError, TallystickError

__all__ = ["PROVIDERS", "Outside", "Provider", "connect"]

# Each is imported at its first use, so that others cost nothing.
PROVIDERS = {
    "aws-kms": ("aws_kms", "AwsKms"),
    "pkcs11": ("pkcs11", "Pkcs11"),
    "systemd-creds": ("systemd_creds", "SystemdCreds"),
    "tpm2": ("tpm2", "Tpm2"),
    "vault-transit": ("vault_transit", "VaultTransit"),
}

_LONGEST = 16_384  # bytes of an answer


class Provider(Protocol):
    """The client of a service or chip that holds the key. Making it loads no library and asks nobody.

    It is made in the writer, too. `Custody` describes `owner` and `replacing`, and the promises of `forget`, `destroy`
    and `forgets`.
    """

    url: str  # holds no secret
    timeout: float  # seconds that a call may take, with all its attempts

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt the text form of a key, 100 bytes at most.

        Args:
            key: The key.
            owner: The log.
            replacing: The answer of `encrypt` for the state that is going to be replaced; None where this provider gets
                the log.

        Raises:
            CustodyError: The provider cannot be reached or refuses; names it and says what to do.
        """
        ...

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned.

        Raises:
            CustodyError: The provider cannot be reached or refuses, or it did not encrypt this.
        """
        ...

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of the log that are older than that of `wrapped`, which `encrypt` returned."""
        ...

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of the log up to that of `wrapped`."""
        ...

    def forgets(self, wrapped: bytes | None) -> Forgets:
        """Return whether `forget` destroys anything, for an answer of `encrypt` or a future one."""
        ...


class Outside:
    """Custody by a provider."""

    def __init__(self, provider: Provider) -> None:
        self.url = provider.url
        self.timeout = provider.timeout
        self._provider = provider

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key; it is authenticated together with the log's context.

        Raises:
            CustodyError: The provider cannot be reached or refuses.
        """
        between = DataKey.generate()
        text = _text(between)
        before = None if replacing is None else self._outer(replacing)[0]
        with _asking(self.url, text):
            wrapped = self._provider.encrypt(text, owner, before)
        if not 0 < len(wrapped) <= _LONGEST:
            raise CustodyError(
                f"{self.url} gave an answer of {len(wrapped)} bytes", hint="look at the server or device there"
            )
        return len(wrapped).to_bytes(2, "big") + wrapped + between.wrap(key, owner.context)

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt what `wrap` returned for the same log.

        Raises:
            CustodyError: The provider cannot be reached or refuses, or holds another key, or a byte was changed.
        """
        outer, inner = self._outer(wrapped)
        with _asking(self.url, outer):
            text = self._provider.decrypt(outer, owner)
        try:
            return DataKey.parse(text.decode("ascii")).unwrap(inner, owner.context)
        except ValueError:
            raise unopened(self.url) from None

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log that are older than that of its present state, where the provider can."""
        outer = self._outer(wrapped)[0]
        with _asking(self.url, outer):
            self._provider.forget(outer, owner)

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log up to that of its last state, where the provider can."""
        outer = self._outer(wrapped)[0]
        with _asking(self.url, outer):
            self._provider.destroy(outer, owner)

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        """Return whether this custody forgets; nobody is asked."""
        return self._provider.forgets(None if wrapped is None else self._outer(wrapped)[0])

    def _outer(self, wrapped: bytes) -> tuple[bytes, bytes]:
        """Return the part that the provider encrypted, and the data key under that."""
        length = int.from_bytes(wrapped[:2], "big")
        outer, inner = wrapped[2 : 2 + length], wrapped[2 + length :]
        if not (0 < length == len(outer) <= _LONGEST and inner):
            raise unopened(self.url)
        return outer, inner


def connect(url: str) -> Provider:
    """Return the provider at a URL; nobody is asked yet.

    Raises:
        CustodyError: The URL is malformed.
    """
    module, name = PROVIDERS[url.partition(":")[0]]
    provider: Provider = getattr(importlib.import_module(f"tallystick.custody.{module}"), name)(url)
    return provider


class _asking:  # noqa: N801  (used like a function)
    """Report errors of a provider without its input, which its libraries may quote."""

    def __init__(self, url: str, given: bytes) -> None:
        self._url, self._given = url, given.strip()

    def __enter__(self) -> None:
        """Begin to ask."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn trouble into an error for people."""
        if isinstance(error, CustodyError):
            hint = _without(self._given, error.hint) if error.hint else None
            raise CustodyError(_without(self._given, str(error)), hint=hint) from None
        if isinstance(error, Exception) and not isinstance(error, TallystickError):
            # A library met something that its authors did not think of; its text may hold a secret.
            name = type(error).__name__
            raise CustodyError(
                f"{self._url} failed in a way that is not known ({name})", hint="look at the server or device there"
            ) from None


def _text(key: DataKey) -> bytes:
    read, write = os.pipe()
    with open(read, "rb") as pipe:
        try:
            key.write(write)
        finally:
            os.close(write)
        return pipe.read()


def _without(secret: bytes, text: str) -> str:
    """Take the parts of its input that a provider may have quoted out of a message."""
    for form in (secret.decode("latin-1"), secret.hex(), base64.b64encode(secret).rstrip(b"=").decode()):
        text = text.replace(form, "(...)") if form else text
    return text

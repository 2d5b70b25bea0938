"""OpenBao or HashiCorp Vault as custody: `vault-transit://HOST[:PORT]/MOUNT/KEY`, by a key of the engine transit.

The key never leaves the server, which encrypts and decrypts for whoever its policy names, and can note each use.
What is encrypted is bound to this package by associated data, so that nothing else under the key passes for it.
`tallystick._openbao` says how it is logged in to, for each use anew.
"""

import base64
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tallystick._openbao import OPTIONS, REMEDY, Server
from tallystick._services import AwayError, Line, insist
from tallystick.custody.base import Owner
from tallystick.custody.options import Options, Remembers, unopened
from tallystick.errors import CustodyError

__all__ = ["VaultTransit"]

T = TypeVar("T")

_ABOUT = base64.b64encode(b"tallystick").decode()
_CIPHERTEXT = re.compile(r"vault:v[0-9]+:[A-Za-z0-9+/=]{1,8000}")


class VaultTransit(Remembers):
    """Custody by a key of the engine transit."""

    def __init__(self, url: str) -> None:
        options = Options.parse(url, OPTIONS)
        try:
            place = urlsplit(options.place)
            right = bool(place.hostname) and place.port != 0 and "@" not in place.netloc
        except ValueError:
            right = False
        self._mount, _, self._key = place.path.strip("/").rpartition("/") if right else ("", "", "")
        if not (self._mount and self._key):
            raise CustodyError(
                "the URL of the custody vault-transit: is malformed; write vault-transit://HOST[:PORT]/MOUNT/KEY, "
                "without a token, which the variable BAO_TOKEN gives"
            )
        self.url, self.timeout = url, options.timeout
        self._server = Server(url, place.netloc, options.given, options.timeout / 2, "vault-transit", CustodyError)

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt some bytes, on the server."""

        def work(transit: Any) -> bytes:
            text = base64.b64encode(key).decode()
            given = transit.encrypt_data(self._key, text, mount_point=self._mount, associated_data=_ABOUT)
            ciphertext: str = given["data"]["ciphertext"]
            if not _CIPHERTEXT.fullmatch(ciphertext):
                raise ValueError
            return ciphertext.encode()

        refusal = CustodyError(
            f"{self._server.name} does not encrypt with this key; see that it is of type aes256-gcm96 and not derived"
        )
        return self._ask(work, refusal)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned, on the server."""

        def work(transit: Any) -> bytes:
            text = wrapped.decode("ascii", "replace")
            given = transit.decrypt_data(self._key, text, mount_point=self._mount, associated_data=_ABOUT)
            return base64.b64decode(given["data"]["plaintext"], validate=True)

        return self._ask(work, unopened(self._server.name))

    def _ask(self, work: Callable[[Any], T], refusal: CustodyError) -> T:
        try:
            return insist(lambda seconds: self._attempt(work, refusal, seconds), self.timeout)
        except AwayError as error:
            raise CustodyError(f"{self._server.name}: {error}; {REMEDY}") from None

    def _attempt(self, work: Callable[[Any], T], refusal: CustodyError, seconds: float) -> T:
        errors, line = self._server.hvac.exceptions, Line()
        with line.within(seconds), self._server.telling():
            client = self._server.client(line)
            try:
                return work(client.secrets.transit)
            except errors.InvalidPath:
                raise CustodyError(
                    f"{self._server.name} has no engine transit at {self._mount!r}; make it with "
                    f"`bao secrets enable -path={self._mount} transit`"
                ) from None
            except errors.InvalidRequest as error:
                raise self._reason(str(error)) or refusal from None

    def _reason(self, said: str) -> CustodyError | None:
        """Return what to say of a key that is not as it was; the server's own words may hold anything."""
        who = f"{self._server.name}: the key {self._key!r}"
        if "key not found" in said:
            return CustodyError(
                f"{who} is not there; restore it from a backup, or see that URL and namespace are right"
            )
        if "soft-deleted" in said:
            return CustodyError(f"{who} was deleted softly; restore it with the endpoint soft-delete-restore")
        if "too old" in said:
            return CustodyError(
                f"{who} does not open any more what an older version of it encrypted; lower its min_decryption_version"
            )
        return None

"""Keys in an HSM as custody: a PKCS #11 URI (RFC 7512), `pkcs11:token=LABEL;object=LABEL?module-path=LIBRARY`.

Each state gets an AES key of its own, made in the token, which it never leaves; once the state is durable, those of
older states are destroyed. Their CKA_ID names their log and state: the log's P, since when the log has been here, the
version of the state, and random bytes, since two attempts at one state make two keys. With `id=` there is one key, made
by hand, that opens all states; so it is for older logs.

A key encrypts with AES-CBC, which all HSMs have: the YubiHSM 2 has no GCM, and AWS CloudHSM and Luna in FIPS mode take
no nonce but their own. CBC authenticates nothing, and does not need to here: the plaintext is another key, two blocks
of random bits without padding or form, so that any bytes decrypt to some key. The authenticated encryption under it, in
`outside`, then reports a wrong key, always in the same words, so an error never reveals the effect of a changed byte.

>>> Pkcs11("pkcs11:token=audit;object=payments?module-path=/usr/lib/libhsm.so&timeout=3").timeout
3.0
"""

import base64
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tallystick.custody.base import Forgets, Owner
from tallystick.custody.options import unopened
from tallystick.custody.pkcs11 import ids
from tallystick.custody.pkcs11.keys import KEY, Keys
from tallystick.custody.pkcs11.token import session
from tallystick.custody.pkcs11.uri import Uri
from tallystick.errors import CustodyError

__all__ = ["Pkcs11"]

_BLOCK = 16  # bytes


class Pkcs11:
    """Custody by AES keys in an HSM."""

    def __init__(self, url: str) -> None:
        self._uri = Uri.parse(url)
        self.url, self.timeout = url, self._uri.timeout

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt the text of a data key, by a key of its own or the one that the URL names."""
        plain, nonce = base64.urlsafe_b64decode(key.strip() + b"="), os.urandom(_BLOCK)
        fixed = self._uri.fixed if replacing is None else not self._name_in(replacing)
        with session(self._uri) as (pkcs11, opened):
            keys = Keys(pkcs11, opened, self._uri)
            if fixed:
                return nonce + self._use(pkcs11, keys.named(), "encrypt", plain, nonce)
            owner.confirm()
            name = ids.new(owner, replacing)
            with keys.made(name) as made:
                answer = self._use(pkcs11, made, "encrypt", plain, nonce)
                if self._use(pkcs11, made, "decrypt", answer, nonce) != plain:
                    raise CustodyError(f"{self._uri.who} does not decrypt what it encrypted", hint="look at what it is")
            return name + nonce + answer

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned."""
        name = self._name_in(wrapped)
        if name and not name.startswith(ids.beginning(owner)):
            raise unopened(self._uri.who)
        nonce, text = wrapped[-_BLOCK - KEY : -KEY], wrapped[-KEY:]
        with session(self._uri) as (pkcs11, opened):
            keys = Keys(pkcs11, opened, self._uri)
            key = keys.own(name) if name else keys.named()
            plain = self._use(pkcs11, key, "decrypt", text, nonce)
        return base64.urlsafe_b64encode(plain).rstrip(b"=")

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy the keys of older states."""
        if name := self._name_in(wrapped):
            self._destroy(owner, lambda each: ids.version(each) < ids.version(name))

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log up to that of its last state."""
        if name := self._name_in(wrapped):
            # A later key of the same stay is that of an attempt to open the next chain.
            self._destroy(
                owner, lambda each: ids.version(each) <= ids.version(name) or ids.stay(each) == ids.stay(name)
            )

    def forgets(self, wrapped: bytes | None) -> Forgets:
        """Tell whether keys are destroyed, and whether that is all there is of them."""
        if self._uri.fixed if wrapped is None else not self._name_in(wrapped):
            how = "leave id= out" if self._uri.fixed else ""
            if wrapped is not None:
                how += f"{' and take' if how else 'that changes with'} new keys (`tallystick rekey`)"
            return Forgets(False, f"one key of the token opens every state that it ever encrypted; {how}")
        if self._uri.backups:
            return Forgets(
                False,
                "backups of the token may hold keys that were destroyed; where it keeps none, say so: backups=none",
            )
        return Forgets(True, "if the token keeps no backups, as backups=none says")

    def _use(self, pkcs11: Any, key: Any, what: str, given: bytes, nonce: bytes) -> bytes:
        answer = getattr(key, what)(given, mechanism=pkcs11.Mechanism.AES_CBC, mechanism_param=nonce)
        if len(answer) != KEY:
            raise CustodyError(
                f"{self._uri.who} answered {len(answer)} bytes instead of {KEY}", hint="look at what it is"
            )
        return bytes(answer)

    def _name_in(self, wrapped: bytes) -> bytes:
        """Return the ID of the key that a state has for itself; empty where it has none."""
        if len(wrapped) == _BLOCK + KEY:
            return b""
        if len(wrapped) != ids.LENGTH + _BLOCK + KEY or not wrapped.startswith(ids.OURS):
            raise unopened(self._uri.who)
        return wrapped[: ids.LENGTH]

    def _destroy(self, owner: Owner, old: Callable[[bytes], bool]) -> None:
        """Destroy the keys of a log that are old, by their IDs."""
        with session(self._uri) as (pkcs11, opened):
            owner.confirm()
            for key in Keys(pkcs11, opened, self._uri).left(owner, old):
                with suppress(pkcs11.ObjectHandleInvalid):  # another process was quicker
                    key.destroy()
        with session(self._uri) as (pkcs11, opened):
            if left := len(Keys(pkcs11, opened, self._uri).left(owner, old)):
                raise CustodyError(
                    f"the token of {self._uri.who} still holds {left} keys of this log that were destroyed",
                    hint="look at it, and at the rights of its user",
                )

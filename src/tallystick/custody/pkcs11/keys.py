"""The keys in a token: those that are made for states, and the one that a URI names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tallystick.custody.base import Owner
from tallystick.custody.pkcs11 import ids
from tallystick.custody.pkcs11.uri import Uri
from tallystick.errors import CustodyError

__all__ = ["KEY", "Keys"]

KEY = 32  # bytes
_MUST = {"EXTRACTABLE": False, "SENSITIVE": True, "ENCRYPT": True, "DECRYPT": True}


class Keys:
    """The keys of custody in a token.

    Args:
        pkcs11: The package.
        session: An open session with the token.
        uri: The URI of custody.
    """

    def __init__(self, pkcs11: Any, session: Any, uri: Uri) -> None:
        self._pkcs11, self._session, self._uri = pkcs11, session, uri

    @contextmanager
    def made(self, name: bytes) -> Iterator[Any]:
        """Make a key that has never encrypted anything; it is gone if the block fails."""
        attribute, flags = self._pkcs11.Attribute, self._pkcs11.MechanismFlag
        must = {getattr(attribute, each): value for each, value in _MUST.items()}
        try:
            made = self._session.generate_key(
                self._pkcs11.KeyType.AES, KEY * 8, id=name, label=self._uri.label, store=True,
                capabilities=flags.ENCRYPT | flags.DECRYPT, template=must,
            )  # fmt: skip
        except self._pkcs11.PKCS11Error as error:
            raise CustodyError(
                f"the token of {self._uri.who} makes no AES key for this user ({type(error).__name__})",
                hint="allow that, make room, or make a key by hand and name it by id=…, which does not forget",
            ) from None
        try:
            if ids.of(self._pkcs11, made) != name:
                raise CustodyError(
                    f"the token of {self._uri.who} does not keep the ID of a key", hint="name one by id=…"
                )
            self._refuse_open(made)
            yield made
        except BaseException:
            with suppress(self._pkcs11.PKCS11Error):
                made.destroy()
            raise

    def own(self, name: bytes) -> Any:
        """Return the key of a state, by its ID.

        Raises:
            CustodyError: It is gone, there twice, or not safe in the token.
        """
        found = [key for key in self._all() if ids.of(self._pkcs11, key) == name]
        if len(found) != 1:
            what = "is there twice" if found else "is gone: a later state took its place, or somebody removed it"
            advice = "where the key store is a restored backup, take the present one, else begin a new log"
            raise CustodyError(f"{self._uri.who} does not open the state of this log: its key {what}", hint=advice)
        self._refuse_open(found[0])
        return found[0]

    def left(self, owner: Owner, old: Callable[[bytes], bool]) -> list[Any]:
        """Return the keys of a log that are old, by their IDs."""
        names = [(ids.of(self._pkcs11, key), key) for key in self._all()]
        return [key for name, key in names if name.startswith(ids.beginning(owner)) and old(name)]

    def _all(self) -> list[Any]:
        """Return the keys of all states. A key that opens a state is always found again, to be destroyed."""
        keys = list(self._session.get_objects({self._pkcs11.Attribute.LABEL: self._uri.label, **self._kind()}))
        return [key for key in keys if ids.is_ours(ids.of(self._pkcs11, key))]

    def named(self) -> Any:
        """Return the one key that the URI names.

        Raises:
            CustodyError: There is none, there are several, or it is not safe in the token.
        """
        attribute, sought = self._pkcs11.Attribute, self._kind()
        if "object" in self._uri.sought:
            sought[attribute.LABEL] = self._uri.sought["object"].decode("utf-8", "replace")
        if "id" in self._uri.sought:
            sought[attribute.ID] = self._uri.sought["id"]
        keys = [key for key in list(self._session.get_objects(sought)) if not ids.is_ours(ids.of(self._pkcs11, key))]
        if not keys:
            raise CustodyError(
                f"token {self._session.token.label!r} holds no AES key {self._uri.who}", hint="make it, or restore it"
            )
        if len(keys) > 1:
            raise CustodyError(
                f"token {self._session.token.label!r} holds {len(keys)} keys {self._uri.who}",
                hint="add id=… to the URL",
            )
        self._refuse_open(keys[0])
        return keys[0]

    def _refuse_open(self, key: Any) -> None:
        for name, must in _MUST.items():
            try:
                there = key[getattr(self._pkcs11.Attribute, name)]
            except self._pkcs11.AttributeTypeInvalid:
                there = None
            if there is not must:
                raise CustodyError(
                    f"the key {self._uri.who} must have CKA_{name} {str(must).lower()}, and does not",
                    hint="make one that never leaves its token, that encrypts and that decrypts",
                )

    def _kind(self) -> dict[Any, Any]:
        attribute = self._pkcs11.Attribute
        return {attribute.CLASS: self._pkcs11.ObjectClass.SECRET_KEY, attribute.KEY_TYPE: self._pkcs11.KeyType.AES}

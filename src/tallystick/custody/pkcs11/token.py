"""A session with the token that a URI means: found, logged in to, and its errors in words for people."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tallystick import securefile
from tallystick._services import library as installed
from tallystick.custody.pkcs11 import library
from tallystick.custody.pkcs11.uri import PIN, TOKEN, Uri
from tallystick.errors import CustodyError

__all__ = ["session"]


@contextmanager
def session(uri: Uri) -> Iterator[tuple[Any, Any]]:
    """Give the package pkcs11 and an open session.

    Raises:
        CustodyError: There is no such token or none that takes the PIN; or a call in the block failed.
    """
    pkcs11 = installed("pkcs11", "pkcs11", CustodyError)
    try:
        token = _find(pkcs11, uri)
        protected = token.flags & pkcs11.TokenFlag.WRITE_PROTECTED
        # Some HSMs know no sessions that only read (AWS CloudHSM).
        with token.open(rw=not protected, user_pin=_pin(pkcs11, uri, token)) as opened:
            yield pkcs11, opened
    except pkcs11.PKCS11Error as error:
        raise _trouble(pkcs11, uri, error) from None


def _find(pkcs11: Any, uri: Uri) -> Any:
    path = library.find(uri.path, uri.name)
    try:
        hsm = pkcs11.lib(path)
    except pkcs11.PKCS11Error as error:
        why = re.sub(r"^.*?(/[^:]+: )+", "", str(error))[:200] or type(error).__name__
        raise CustodyError(
            f"{path} cannot be used as a PKCS #11 library ({why})", hint="name that of the HSM by module-path"
        ) from None
    present, found = [], []
    for slot in hsm.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):  # just gone, or a card of another kind
            continue
        if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
            present.append(repr(token.label))
            if _is_meant(uri, token):
                found.append(token)
    if len(found) == 1:
        return found[0]
    there = f"there are {', '.join(present)}" if present else "there is none"
    if not found:
        raise CustodyError(f"no token in {path} is that of {uri.who} ({there})", hint="plug it in, or correct the URL")
    raise CustodyError(f"{len(found)} tokens in {path} could be that of {uri.who} ({there})", hint="add serial=…")


def _is_meant(uri: Uri, token: Any) -> bool:
    for name, attribute in TOKEN.items():
        value = getattr(token, attribute)
        has = value if isinstance(value, bytes) else value.encode()
        if name in uri.sought and uri.sought[name] != has.rstrip(b"\0 "):
            return False
    return uri.sought.get("slot-id", b"%d" % token.slot.slot_id) == b"%d" % token.slot.slot_id


def _pin(pkcs11: Any, uri: Uri, token: Any) -> str | None:
    """Return the PIN, if the token wants one and bears one more that is wrong."""
    flags, who = pkcs11.TokenFlag, f"token {token.label!r}"
    if token.flags & flags.USER_PIN_LOCKED:
        raise CustodyError(f"the PIN of {who} is locked", hint="have the security officer of the token set a new one")
    if token.flags & flags.USER_PIN_FINAL_TRY:
        # A service that is started again and again would lock the token.
        raise CustodyError(
            f"one more wrong PIN would lock {who}, so none is tried",
            hint="log in once with a tool of the HSM, and set right what this custody is given",
        )
    if not token.flags & flags.LOGIN_REQUIRED:
        return None
    pin = os.environ.get(PIN, "") if uri.pin_file is None else _read_pin(uri.pin_file)
    if not pin:
        where = uri.pin_file or f"the environment variable {PIN}, or a file that pin-source=file:… names"
        raise CustodyError(f"there is no PIN for {who}", hint=f"put it into {where}")
    return pin


def _read_pin(path: str) -> str:
    with securefile.reporting(CustodyError, path):
        fd = securefile.open_file(path, None, os.O_RDONLY)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.read(1000).rstrip("\r\n")


def _trouble(pkcs11: Any, uri: Uri, error: Exception) -> CustodyError:
    who, wrong = uri.who, (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)
    if isinstance(error, wrong):
        return CustodyError(
            f"the token of {who} refuses the PIN", hint="set it right, before too many wrong ones lock the token"
        )
    if isinstance(error, pkcs11.PinLocked):
        return CustodyError(f"the PIN for {who} is locked", hint="have the security officer of the token set a new one")
    if isinstance(error, (pkcs11.MechanismInvalid, pkcs11.FunctionNotSupported)):
        return CustodyError(f"the token of {who} has no AES-CBC", hint="take another HSM")
    why = type(error).__name__
    return CustodyError(
        f"the token of {who} fails ({why})", hint="see that the HSM runs, and that its user may use the key"
    )

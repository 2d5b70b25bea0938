"""A key in an HSM as custody: a PKCS #11 URI (RFC 7512), `pkcs11:token=LABEL;object=LABEL?module-path=LIBRARY`.

The key is an AES key that does not leave its token. It encrypts with AES-CBC, which is what HSMs have in common: the
YubiHSM 2 has no GCM, and AWS CloudHSM and Luna in FIPS mode take no nonce but their own. CBC authenticates nothing, and
has no need to here: what is encrypted is another key, two blocks of random bits without padding or form, so that any
bytes decrypt to some key, and whether it is the right one is told by the authenticated encryption under it, in
`outside`, always in the same words. Nobody learns from an error what a changed byte did.

>>> Pkcs11("pkcs11:token=audit;object=payments?module-path=/usr/lib/libhsm.so&timeout=3").timeout
3.0
"""

import base64
import glob
import os
import re
import stat
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from tallystick import _private
from tallystick._services import library
from tallystick.custody.base import Owner
from tallystick.custody.options import Options, Remembers, unopened
from tallystick.errors import CustodyError

__all__ = ["Pkcs11"]

# Which attribute of a token each attribute of the URI is compared with.
_TOKEN = {"token": "label", "serial": "serial", "manufacturer": "manufacturer_id", "model": "model"}
_KNOWN = [*_TOKEN, "slot-id", "object", "id", "type"]
_PIN = "TALLYSTICK_PKCS11_PIN"
_PLACES = ("/usr/lib/*-linux-*", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/*/lib")
_KEY, _BLOCK = 32, 16  # bytes


class Pkcs11(Remembers):
    """Custody by an AES key in an HSM."""

    def __init__(self, url: str) -> None:
        if "pin-value=" in url:
            # Not even the URL is quoted in what is told: it holds the PIN.
            raise CustodyError(
                "the custody pkcs11: takes no pin-value, for its URL is noted in the clear in each state; "
                f"put the PIN into the environment variable {_PIN}, or into a file that pin-source=file:… names"
            )
        options = Options.parse(url, {"module-path": "", "module-name": "", "pin-source": ""})
        self.url, self.timeout = url, options.timeout
        self._sought = _attributes(url)
        self._path, self._name = options["module-path"], options["module-name"]
        if self._path and not os.path.isabs(self._path):
            raise CustodyError(f"the custody pkcs11: has the module-path {self._path!r}; write the whole path, from /")
        if "/" in self._name or not (self._path or self._name):
            raise CustodyError(
                "the custody pkcs11: names no library of an HSM; write …?module-path=/path/to/library.so, "
                "or ?module-name=softhsm2 for one that is installed with the system"
            )
        self._pin_file = _file(options["pin-source"]) if options["pin-source"] else None

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt the text of a data key."""
        plain, nonce = base64.urlsafe_b64decode(key.strip() + b"="), os.urandom(_BLOCK)
        return nonce + self._ask("encrypt", plain, nonce)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned."""
        if len(wrapped) != _BLOCK + _KEY:
            raise unopened(self._who())
        return base64.urlsafe_b64encode(self._ask("decrypt", wrapped[_BLOCK:], wrapped[:_BLOCK])).rstrip(b"=")

    def _ask(self, what: str, given: bytes, nonce: bytes) -> bytes:
        pkcs11 = library("pkcs11", "pkcs11", CustodyError)
        try:
            token = self._token(pkcs11)
            protected = token.flags & pkcs11.TokenFlag.WRITE_PROTECTED
            # Some HSMs know no sessions that only read (AWS CloudHSM).
            with token.open(rw=not protected, user_pin=self._pin(pkcs11, token)) as session:
                key = self._key(pkcs11, session)
                answer = getattr(key, what)(given, mechanism=pkcs11.Mechanism.AES_CBC, mechanism_param=nonce)
        except pkcs11.PKCS11Error as error:
            raise CustodyError(self._trouble(pkcs11, error)) from None
        if len(answer) != _KEY:
            raise CustodyError(f"{self._who()} answered {len(answer)} bytes instead of {_KEY}; look at what it is")
        return bytes(answer)

    def _token(self, pkcs11: Any) -> Any:
        path = self._library()
        try:
            hsm = pkcs11.lib(path)
        except pkcs11.PKCS11Error as error:
            why = re.sub(r"^.*?(/[^:]+: )+", "", str(error))[:200] or type(error).__name__
            raise CustodyError(
                f"{path} cannot be used as a PKCS #11 library ({why}); name that of the HSM by module-path"
            ) from None
        present, found = [], []
        for slot in hsm.get_slots(token_present=True):
            try:
                token = slot.get_token()
            except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):  # just gone, or a card of another kind
                continue
            if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                present.append(repr(token.label))
                if self._is_meant(token):
                    found.append(token)
        if len(found) == 1:
            return found[0]
        there = f"there are {', '.join(present)}" if present else "there is none"
        if not found:
            raise CustodyError(f"no token in {path} is that of {self._who()} ({there}); plug it in, or mend the URL")
        raise CustodyError(f"{len(found)} tokens in {path} could be that of {self._who()} ({there}); add serial=…")

    def _is_meant(self, token: Any) -> bool:
        for name, attribute in _TOKEN.items():
            value = getattr(token, attribute)
            has = value if isinstance(value, bytes) else value.encode()
            if name in self._sought and self._sought[name] != has.rstrip(b"\0 "):
                return False
        return self._sought.get("slot-id", b"%d" % token.slot.slot_id) == b"%d" % token.slot.slot_id

    def _pin(self, pkcs11: Any, token: Any) -> str | None:
        """Return the PIN, if the token wants one and bears one more that is wrong."""
        flags, who = pkcs11.TokenFlag, f"token {token.label!r}"
        if token.flags & flags.USER_PIN_LOCKED:
            raise CustodyError(f"the PIN of {who} is locked; have the security officer of the token set a new one")
        if token.flags & flags.USER_PIN_FINAL_TRY:
            # A service that is started again and again would lock the token.
            raise CustodyError(
                f"one more wrong PIN would lock {who}, so none is tried; log in once with a tool of the HSM, "
                "and set right what this custody is given"
            )
        if not token.flags & flags.LOGIN_REQUIRED:
            return None
        pin = os.environ.get(_PIN, "") if self._pin_file is None else _read_pin(self._pin_file)
        if not pin:
            where = self._pin_file or f"the environment variable {_PIN}, or a file that pin-source=file:… names"
            raise CustodyError(f"there is no PIN for {who}; put it into {where}")
        return pin

    def _key(self, pkcs11: Any, session: Any) -> Any:
        attribute = pkcs11.Attribute
        sought = {attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, attribute.KEY_TYPE: pkcs11.KeyType.AES}
        if "object" in self._sought:
            sought[attribute.LABEL] = self._sought["object"].decode("utf-8", "replace")
        if "id" in self._sought:
            sought[attribute.ID] = self._sought["id"]
        keys = list(session.get_objects(sought))
        if not keys:
            raise CustodyError(f"token {session.token.label!r} holds no AES key {self._who()}; make it, or restore it")
        if len(keys) > 1:
            raise CustodyError(
                f"token {session.token.label!r} holds {len(keys)} keys {self._who()}; add id=… to the URL"
            )
        for name, must in (("EXTRACTABLE", False), ("SENSITIVE", True), ("ENCRYPT", True), ("DECRYPT", True)):
            try:
                there = keys[0][getattr(attribute, name)]
            except pkcs11.AttributeTypeInvalid:
                there = None
            if there is not must:
                raise CustodyError(
                    f"the key {self._who()} must have CKA_{name} {str(must).lower()}, and has not; make one that never "
                    "leaves its token, that encrypts and that decrypts"
                )
        return keys[0]

    def _library(self) -> str:
        names = [f"lib{self._name}.so", f"{self._name}.so"]
        if os.path.isdir(self._path):
            places = [self._path]
        elif self._path:
            return _unplanted(self._path)
        else:
            places = [f"{place}{below}" for place in _PLACES for below in ("/pkcs11", "/softhsm", "")]
        found = [
            path for place in places for name in names for path in sorted(glob.glob(f"{place}/{glob.escape(name)}"))
        ]
        if not found:
            raise CustodyError(f"there is no PKCS #11 library {self._name!r}; install it, or name it by module-path")
        return _unplanted(found[0])

    def _trouble(self, pkcs11: Any, error: Exception) -> str:
        who, wrong = self._who(), (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)
        if isinstance(error, wrong):
            return f"the token of {who} refuses the PIN; set it right, before too many wrong ones lock the token"
        if isinstance(error, pkcs11.PinLocked):
            return f"the PIN for {who} is locked; have the security officer of the token set a new one"
        if isinstance(error, (pkcs11.MechanismInvalid, pkcs11.FunctionNotSupported)):
            return f"the token of {who} has no AES-CBC; take another HSM"
        why = type(error).__name__
        return f"the token of {who} fails ({why}); see that the HSM runs, and that its user may use the key"

    def _who(self) -> str:
        """Return the URI without its query."""
        return self.url.partition("?")[0]


def _attributes(url: str) -> dict[str, bytes]:
    """Return the attributes in the path of a PKCS #11 URI."""
    path = url.partition(":")[2].partition("?")[0]
    found: dict[str, bytes] = {}
    for part in filter(None, path.split(";")):
        name, equals, value = part.partition("=")
        if not equals or name not in _KNOWN or name in found:
            known = ", ".join(_KNOWN)
            raise CustodyError(f"the custody pkcs11: cannot have {part!r} in its path; it takes {known}, each once")
        found[name] = unquote_to_bytes(value)
    if "object" not in found and "id" not in found:
        raise CustodyError("the custody pkcs11: names no key; write pkcs11:token=LABEL;object=LABEL?module-path=…")
    if found.get("type", b"secret-key") != b"secret-key":
        raise CustodyError("the custody pkcs11: takes an AES key; write type=secret-key, or leave it out")
    return found


def _file(source: str) -> str:
    """Return the path that a pin-source names."""
    parts = urlsplit(source)
    if parts.scheme not in ("", "file") or parts.netloc or not os.path.isabs(parts.path):
        raise CustodyError(f"the custody pkcs11: cannot take its PIN from {source!r}; write pin-source=file:/path")
    return unquote(parts.path)


def _read_pin(path: str) -> str:
    with _private.telling(CustodyError, path):
        fd = _private.open_file(path, None, os.O_RDONLY)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.read(1000).rstrip("\r\n")


def _unplanted(path: str) -> str:
    """Return the path of a library that only root and this user can have put there.

    The URL is noted in the state, so whoever may write the key store chooses the path. What he can put there would run
    in our name.
    """
    real = os.path.realpath(path)
    if not os.path.lexists(real):
        raise CustodyError(f"the PKCS #11 library {path} is not there; install it, or name another by module-path")
    above = real
    while True:
        there = os.stat(above)
        shared = there.st_mode & 0o022 and not (stat.S_ISDIR(there.st_mode) and there.st_mode & stat.S_ISVTX)
        if shared or there.st_uid not in (0, os.geteuid()):
            raise CustodyError(
                f"the PKCS #11 library {path} is not loaded, for others than root and this user can change {above}; "
                "install it where they cannot"
            )
        if above == "/":
            return real
        above = os.path.dirname(above)

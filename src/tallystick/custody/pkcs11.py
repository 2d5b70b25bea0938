"""Keys in an HSM as custody: a PKCS #11 URI (RFC 7512), `pkcs11:token=LABEL;object=LABEL?module-path=LIBRARY`.

Each state gets an AES key of its own, made in the token, which it never leaves; once the state is durable, those of
older states are destroyed. Their CKA_ID says whose they are: the log's P, since when the log has been here, the version
of the state, and random bytes, since two attempts at one state make two keys. With `id=` there is one key, made by
hand, that opens all states; so it is for logs from before.

A key encrypts with AES-CBC, which is what HSMs have in common: the
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from tallystick import _private
from tallystick._services import library
from tallystick.custody.base import Forgets, Owner
from tallystick.custody.options import Options, unopened
from tallystick.errors import CustodyError

__all__ = ["Pkcs11"]

# Which attribute of a token each attribute of the URI is compared with.
_TOKEN = {"token": "label", "serial": "serial", "manufacturer": "manufacturer_id", "model": "model"}
_KNOWN = [*_TOKEN, "slot-id", "object", "id", "type"]
_PIN = "TALLYSTICK_PKCS11_PIN"
_PLACES = ("/usr/lib/*-linux-*", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/*/lib")
_KEY, _BLOCK = 32, 16  # bytes
_OURS = b"tally1"  # the beginning of the CKA_ID of keys that are made here
_NAME = len(_OURS) + 32 + 8 + 8 + 8  # bytes of such an ID: P, stay, version, random; some tokens take no more than 64
_MUST = {"EXTRACTABLE": False, "SENSITIVE": True, "ENCRYPT": True, "DECRYPT": True}


class Pkcs11:
    """Custody by AES keys in an HSM."""

    def __init__(self, url: str) -> None:
        if "pin-value=" in url:
            # Not even the URL is quoted in what is told: it holds the PIN.
            raise CustodyError(
                "the custody pkcs11: takes no pin-value, for its URL is noted in the clear in each state; "
                f"put the PIN into the environment variable {_PIN}, or into a file that pin-source=file:… names"
            )
        options = Options.parse(url, {"module-path": "", "module-name": "", "pin-source": "", "backups": ""})
        self.url, self.timeout = url, options.timeout
        self._sought = _attributes(url)
        self._fixed, self._backups = "id" in self._sought, options["backups"] != "none"
        if options["backups"] not in ("", "none"):
            raise CustodyError(
                "the custody pkcs11: takes backups=none, which says that the token keeps none, or nothing"
            )
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
        """Encrypt the text of a data key, by a key of its own or the one that the URL names."""
        plain, nonce = base64.urlsafe_b64decode(key.strip() + b"="), os.urandom(_BLOCK)
        fixed = self._fixed if replacing is None else not self._name_in(replacing)
        with self._session() as (pkcs11, session):
            if fixed:
                return nonce + self._use(pkcs11, self._named(pkcs11, session), "encrypt", plain, nonce)
            owner.confirm()
            stay = os.urandom(8) if replacing is None else _stay(replacing)
            name = _beginning(owner) + stay + owner.version.to_bytes(8, "big") + os.urandom(8)
            with self._made(pkcs11, session, name) as made:
                answer = self._use(pkcs11, made, "encrypt", plain, nonce)
                if self._use(pkcs11, made, "decrypt", answer, nonce) != plain:
                    raise CustodyError(f"{self._who()} does not decrypt what it encrypted; look at what it is")
            return name + nonce + answer

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned."""
        name = self._name_in(wrapped)
        if name and not name.startswith(_beginning(owner)):
            raise unopened(self._who())
        nonce, text = wrapped[-_BLOCK - _KEY : -_KEY], wrapped[-_KEY:]
        with self._session() as (pkcs11, session):
            key = self._own(pkcs11, session, name) if name else self._named(pkcs11, session)
            plain = self._use(pkcs11, key, "decrypt", text, nonce)
        return base64.urlsafe_b64encode(plain).rstrip(b"=")

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy the keys of older states."""
        if name := self._name_in(wrapped):
            self._destroy(owner, lambda each: _version(each) < _version(name))

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log up to that of its last state."""
        if name := self._name_in(wrapped):
            # A later key of the same stay is that of an attempt to open the next chain.
            self._destroy(owner, lambda each: _version(each) <= _version(name) or _stay(each) == _stay(name))

    def forgets(self, wrapped: bytes | None) -> Forgets:
        """Tell whether keys are destroyed, and whether that is all there is of them."""
        if self._fixed if wrapped is None else not self._name_in(wrapped):
            how = "leave id= out" if self._fixed else ""
            if wrapped is not None:
                how += f"{' and take' if how else 'that changes with'} new keys (`tallystick rekey`)"
            return Forgets(False, f"one key of the token opens every state that it ever encrypted; {how}")
        if self._backups:
            return Forgets(
                False,
                "backups of the token may hold keys that were destroyed; where it keeps none, say so: backups=none",
            )
        return Forgets(True, "if the token keeps no backups, as backups=none says")

    @contextmanager
    def _session(self) -> Iterator[tuple[Any, Any]]:
        pkcs11 = library("pkcs11", "pkcs11", CustodyError)
        try:
            token = self._token(pkcs11)
            protected = token.flags & pkcs11.TokenFlag.WRITE_PROTECTED
            # Some HSMs know no sessions that only read (AWS CloudHSM).
            with token.open(rw=not protected, user_pin=self._pin(pkcs11, token)) as session:
                yield pkcs11, session
        except pkcs11.PKCS11Error as error:
            raise CustodyError(self._trouble(pkcs11, error)) from None

    def _use(self, pkcs11: Any, key: Any, what: str, given: bytes, nonce: bytes) -> bytes:
        answer = getattr(key, what)(given, mechanism=pkcs11.Mechanism.AES_CBC, mechanism_param=nonce)
        if len(answer) != _KEY:
            raise CustodyError(f"{self._who()} answered {len(answer)} bytes instead of {_KEY}; look at what it is")
        return bytes(answer)

    def _name_in(self, wrapped: bytes) -> bytes:
        """Return the ID of the key that a state has for itself; empty where it has none."""
        if len(wrapped) == _BLOCK + _KEY:
            return b""
        if len(wrapped) != _NAME + _BLOCK + _KEY or not wrapped.startswith(_OURS):
            raise unopened(self._who())
        return wrapped[:_NAME]

    # Keys of states

    @contextmanager
    def _made(self, pkcs11: Any, session: Any, name: bytes) -> Iterator[Any]:
        """Make a key that has never encrypted anything; it is gone if the block fails."""
        attribute, flags = pkcs11.Attribute, pkcs11.MechanismFlag
        must = {getattr(attribute, each): value for each, value in _MUST.items()}
        try:
            made = session.generate_key(
                pkcs11.KeyType.AES, _KEY * 8, id=name, label=self._label(), store=True,
                capabilities=flags.ENCRYPT | flags.DECRYPT, template=must,
            )  # fmt: skip
        except pkcs11.PKCS11Error as error:
            raise CustodyError(
                f"the token of {self._who()} makes no AES key for this user ({type(error).__name__}); allow that, make "
                "room, or make a key by hand and name it by id=…, which does not forget"
            ) from None
        try:
            if _name(pkcs11, made) != name:
                raise CustodyError(f"the token of {self._who()} does not keep the ID of a key; name one by id=…")
            self._refuse_open(pkcs11, made)
            yield made
        except BaseException:
            with suppress(pkcs11.PKCS11Error):
                made.destroy()
            raise

    def _own(self, pkcs11: Any, session: Any, name: bytes) -> Any:
        found = [key for key in self._all(pkcs11, session) if _name(pkcs11, key) == name]
        if len(found) != 1:
            what = "is there twice" if found else "is gone: a later state took its place, or somebody removed it"
            advice = "where the key store is a restored backup, take the present one, else begin a new log"
            raise unopened(self._who(), f"its key {what}; {advice}")
        self._refuse_open(pkcs11, found[0])
        return found[0]

    def _destroy(self, owner: Owner, old: Callable[[bytes], bool]) -> None:
        """Destroy the keys of a log that are old, by their IDs."""
        with self._session() as (pkcs11, session):
            owner.confirm()
            for key in self._left(pkcs11, session, owner, old):
                with suppress(pkcs11.ObjectHandleInvalid):  # another one was quicker
                    key.destroy()
        with self._session() as (pkcs11, session):
            if left := len(self._left(pkcs11, session, owner, old)):
                raise CustodyError(
                    f"the token of {self._who()} still holds {left} keys of this log that were destroyed; look at it, "
                    "and at what its user may do"
                )

    def _left(self, pkcs11: Any, session: Any, owner: Owner, old: Callable[[bytes], bool]) -> list[Any]:
        names = [(_name(pkcs11, key), key) for key in self._all(pkcs11, session)]
        return [key for name, key in names if name.startswith(_beginning(owner)) and old(name)]

    def _all(self, pkcs11: Any, session: Any) -> list[Any]:
        """Return the keys of all states: one that opens a state is one that is found to be destroyed."""
        keys = list(session.get_objects({pkcs11.Attribute.LABEL: self._label(), **self._kind(pkcs11)}))
        return [key for key in keys if _is_ours(_name(pkcs11, key))]

    def _label(self) -> str:
        return self._sought.get("object", _OURS).decode("utf-8", "replace")

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

    # The key that the URL names

    def _named(self, pkcs11: Any, session: Any) -> Any:
        attribute, sought = pkcs11.Attribute, self._kind(pkcs11)
        if "object" in self._sought:
            sought[attribute.LABEL] = self._sought["object"].decode("utf-8", "replace")
        if "id" in self._sought:
            sought[attribute.ID] = self._sought["id"]
        keys = [key for key in list(session.get_objects(sought)) if not _is_ours(_name(pkcs11, key))]
        if not keys:
            raise CustodyError(f"token {session.token.label!r} holds no AES key {self._who()}; make it, or restore it")
        if len(keys) > 1:
            raise CustodyError(
                f"token {session.token.label!r} holds {len(keys)} keys {self._who()}; add id=… to the URL"
            )
        self._refuse_open(pkcs11, keys[0])
        return keys[0]

    def _refuse_open(self, pkcs11: Any, key: Any) -> None:
        for name, must in _MUST.items():
            try:
                there = key[getattr(pkcs11.Attribute, name)]
            except pkcs11.AttributeTypeInvalid:
                there = None
            if there is not must:
                raise CustodyError(
                    f"the key {self._who()} must have CKA_{name} {str(must).lower()}, and has not; make one that never "
                    "leaves its token, that encrypts and that decrypts"
                )

    @staticmethod
    def _kind(pkcs11: Any) -> dict[Any, Any]:
        attribute = pkcs11.Attribute
        return {attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, attribute.KEY_TYPE: pkcs11.KeyType.AES}

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


def _beginning(owner: Owner) -> bytes:
    return _OURS + owner.root


def _name(pkcs11: Any, key: Any) -> bytes:
    """Return the ID of a key; empty where it has none, or was destroyed meanwhile."""
    try:
        return bytes(key[pkcs11.Attribute.ID] or b"")
    except (pkcs11.AttributeTypeInvalid, pkcs11.ObjectHandleInvalid):
        return b""


def _is_ours(name: bytes) -> bool:
    return len(name) == _NAME and name.startswith(_OURS)


def _stay(name: bytes) -> bytes:
    """Return what all keys of a log have in common from when it came to this token until it left or ended."""
    return name[len(_OURS) + 32 : len(_OURS) + 40]


def _version(name: bytes) -> int:
    return int.from_bytes(name[_NAME - 16 : _NAME - 8], "big")


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

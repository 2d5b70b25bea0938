"""OpenBao or HashiCorp Vault as custody: `vault-transit://HOST[:PORT]/MOUNT/KEY`, by a key of the engine transit.

The key never leaves the server, which encrypts and decrypts for those whom its policy names, and can note each use.
`tallystick._openbao` logs in, again for each call.

The key belongs to one log, and this custody forgets: each state is encrypted by a version of the key that was made for
it. Once a newer state is durable, all older versions are trimmed, which nobody can undo through the server's interface.
Versions only grow, and trimmed versions are older than one that was made while the lease was held. So a writer that
stood still and lost its lease destroys nothing of its successor's.

Without TLS the network shows the keys, so that destroying them would be for nothing: with `tls=off` a key is used as
it is. Older states, from before keys belonged to one log, are treated likewise.

>>> VaultTransit("vault-transit://bao.example/transit/payments").forgets(None).yes
True
>>> VaultTransit("vault-transit://127.0.0.1/transit/payments?tls=off").forgets(None).yes
False
"""

import base64
import re
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from tallystick._openbao import OPTIONS, REMEDY, Server
from tallystick._services import AwayError, Line, insist
from tallystick.custody.base import Forgets, Owner
from tallystick.custody.options import Options, unopened
from tallystick.errors import CustodyError

__all__ = ["VaultTransit"]

T = TypeVar("T")

_FORM = re.compile(rb"(own:)?(vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=]{1,8000})")
_SHARED = b"tallystick"  # texts are bound to this, where many logs may use one key
_OWN = b"tallystick state of "  # and where the key is that of one log, whose P follows
_TYPES = ("aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305")  # 256 bits, and bound to the text above
_NEWEST = 7 * 86_400  # seconds that a key may have been there before a log gets it


class VaultTransit:
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
                "the URL of the custody vault-transit: is malformed",
                hint="write vault-transit://HOST[:PORT]/MOUNT/KEY, without a token, which the variable BAO_TOKEN gives",
            )
        self.url, self.timeout = url, options.timeout
        self._server = Server(url, place.netloc, options.given, options.timeout / 2, "vault-transit", CustodyError)
        self._private = options["tls"] != "off"
        self._who = f"{self._server.name}: the key {self._key!r}"

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt some bytes on the server, by a version of the key that is made for them."""
        with closing(_Visit(self)) as visit:
            if not (self._private if replacing is None else self._parse(replacing).own):
                return visit.ask(lambda transit: self._closed(transit, key, _SHARED, None), self._unfit)
            version = self._made(visit, replacing)
            # Not before now: from here on a successor's versions are newer, and it trims this one before it seals.
            owner.confirm()
            about = _OWN + owner.root

            def work(transit: Any) -> bytes:
                wrapped = self._closed(transit, key, about, version)
                if self._opened(transit, wrapped, about) != key:
                    raise ValueError
                return b"own:" + wrapped

            return visit.ask(work, self._unfit)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt an answer of `encrypt`, on the server."""
        form = self._parse(wrapped)
        about = _OWN + owner.root if form.own else _SHARED
        with closing(_Visit(self, form)) as visit:
            return visit.ask(lambda transit: self._opened(transit, form.text, about), unopened)

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Trim all versions of the key that are older than that of `wrapped`; the server confirms it."""
        form = self._parse(wrapped)
        if form.own:
            owner.confirm()
            with closing(_Visit(self)) as visit:
                self._trim(visit, form.version)

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Trim all versions of the key, those of attempts that came to nothing included."""
        form = self._parse(wrapped)
        if form.own:
            with closing(_Visit(self)) as visit:
                version = visit.ask(lambda transit: self._rotate(transit, form.version), self._unfit)
                owner.confirm()
                self._trim(visit, version)

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        """Return whether this custody forgets; nobody is asked."""
        then = "" if wrapped is None else ", and then take new keys (`tallystick rekey`)"
        if not self._private:
            return Forgets(False, f"the network shows the keys without TLS; leave out tls=off{then}")
        if wrapped is not None and not self._parse(wrapped).own:
            return Forgets(
                False,
                "its key opens older states, too, and may be that of other logs; to change that, take a "
                "key of its own and new keys (`tallystick rekey`)",
            )
        return Forgets(True, "as long as nobody has OpenBao's storage, or a copy of it, together with its unseal keys")

    def _made(self, visit: "_Visit", replacing: bytes | None) -> int:
        """Make a version of the key that has never encrypted anything; return it."""
        if replacing is None:
            visit.ask(self._claim, self._unfit)
            version = visit.ask(self._rotate, self._unfit, again=False)  # a second time would look like another log
            if version != 2:
                raise self._taken()
            return version
        last = self._parse(replacing).version
        visit.ask(lambda transit: self._fit(self._read(transit)), self._unfit)
        return visit.ask(lambda transit: self._rotate(transit, last), self._unfit)

    # Steps, each of which may be taken again

    def _claim(self, transit: Any) -> None:
        """Refuse a key that may be somebody else's, and a policy that lacks a right; change nothing."""
        found = self._read(transit)
        self._fit(found)
        minima = [found[f"min_{what}_version"] for what in ("available", "decryption", "encryption")]
        if found["latest_version"] != 1 or minima != [0, 1, 0]:
            raise self._taken()
        if abs(time.time() - found["keys"]["1"]) > _NEWEST:
            raise CustodyError(
                f"{self._who} was not made within the last 7 days, so that something else may use it, which could not "
                f"be decrypted any more",
                hint=f"make a new key for this log with `bao write -f {self._mount}/keys/NAME`",
            )
        refused = self._server.hvac.exceptions.InvalidRequest
        trial = self._closed(transit, bytes(32), _SHARED, None)
        self._opened(transit, trial, _SHARED)
        with suppress(refused):
            self._opened(transit, trial, _OWN)
            raise CustodyError(
                f"{self._server.name} does not bind its texts to a log", hint="run OpenBao, or Vault 1.13 or newer"
            )
        self._write(transit, "config", min_encryption_version=0, min_decryption_version=1)
        with suppress(refused):  # since there is nothing to trim
            self._write(transit, "trim", min_available_version=1)

    def _rotate(self, transit: Any, last: int = 0) -> int:
        """Return a new version of the key."""
        given = transit.rotate_key(self._key, mount_point=self._mount)
        found = given["data"] if isinstance(given, dict) else self._read(transit)
        version: int = found["latest_version"]
        if version <= last:
            raise AwayError(f"has version {version} of the key {self._key!r}, but {last} was there before")
        return version

    def _closed(self, transit: Any, key: bytes, about: bytes, version: int | None) -> bytes:
        given = transit.encrypt_data(
            self._key, _coded(key), mount_point=self._mount, associated_data=_coded(about), key_version=version
        )
        ciphertext: bytes = given["data"]["ciphertext"].encode()
        form = _FORM.fullmatch(ciphertext)
        if not form or form[1] or version not in (None, int(form[3])):
            raise ValueError
        return ciphertext

    def _opened(self, transit: Any, ciphertext: bytes, about: bytes) -> bytes:
        text, bound = ciphertext.decode("ascii"), _coded(about)
        given = transit.decrypt_data(self._key, text, mount_point=self._mount, associated_data=bound)
        return base64.b64decode(given["data"]["plaintext"], validate=True)

    def _trim(self, visit: "_Visit", version: int) -> None:
        """Destroy all versions that are older than one; other writers may be at it, too."""

        def work(transit: Any) -> None:
            found = self._read(transit)
            if found["min_available_version"] >= version:
                return
            decryption = max(version, found["min_decryption_version"])
            encryption = max(decryption, found["min_encryption_version"])
            # A late writer may lower the minima in between, and then trimming is refused.
            with suppress(self._server.hvac.exceptions.InvalidRequest):
                self._write(transit, "config", min_encryption_version=encryption, min_decryption_version=decryption)
                self._write(transit, "trim", min_available_version=version)
            if self._read(transit)["min_available_version"] < version:
                raise AwayError(f"does not confirm that the key {self._key!r} has no version older than {version}")

        visit.ask(work, self._unfit, remedy="see what the server says of this key, and try again")

    def _read(self, transit: Any) -> dict[str, Any]:
        found: dict[str, Any] = transit.read_key(self._key, mount_point=self._mount)["data"]
        return found

    def _write(self, transit: Any, what: str, **given: int) -> None:
        # The library's own call refuses two minima that are equal, which the server takes.
        url = f"/v1/{quote(self._mount)}/keys/{quote(self._key)}/{what}"
        transit._adapter.post(url=url, json=given)

    # Messages

    def _fit(self, found: dict[str, Any]) -> None:
        """Refuse a key that cannot be made to forget, by its configuration."""
        options = ("derived", "exportable", "allow_plaintext_backup", "auto_rotate_period", "imported_key")
        wrong = [what for what in options if found[what] not in (False, 0)]
        if found["type"] not in _TYPES:
            wrong.append(f"type {found['type']}")
        if wrong:
            raise CustodyError(
                f"{self._who} cannot be made to forget: {', '.join(wrong)}",
                hint=f"make a new key for this log with "
                f"`bao write -f {self._mount}/keys/NAME`, and set it up with that, or move it (`tallystick migrate`)",
            )
        if found.get("soft_deleted"):
            raise self._softly()

    def _taken(self) -> CustodyError:
        return CustodyError(
            f"{self._who} is not new: another log or something else uses it, or a set-up with it was broken off",
            hint=f"make one key for each log, with `bao write -f {self._mount}/keys/NAME`",
        )

    def _unfit(self, name: str) -> CustodyError:
        return CustodyError(
            f"{name} does not encrypt with this key", hint="see that it is of type aes256-gcm96 and not derived"
        )

    def _no_engine(self) -> CustodyError:
        return CustodyError(
            f"{self._server.name} has no engine transit at {self._mount!r}",
            hint=f"make it with `bao secrets enable -path={self._mount} transit`",
        )

    def _no_key(self) -> CustodyError:
        return CustodyError(
            f"{self._who} is not there", hint="restore it from a backup, or see that URL and namespace are right"
        )

    def _softly(self) -> CustodyError:
        return CustodyError(f"{self._who} was deleted softly", hint="restore it with the endpoint soft-delete-restore")

    def _reason(self, said: str, form: "_Form | None" = None) -> CustodyError | None:
        """Return the message for a key that was changed; the server's own words may hold anything."""
        if "key not found" in said:
            return self._no_key()
        if "soft-deleted" in said:
            return self._softly()
        if "too old" in said and form and form.own:
            return CustodyError(
                f"{self._who} has forgotten version {form.version}, which this state needs: there was a newer state, "
                "or the log has ended or moved",
                hint="a state from a backup cannot be sealed with, so start a new log",
            )
        if "too old" in said:
            return CustodyError(
                f"{self._who} does not open any more what an older version of it encrypted",
                hint="lower its min_decryption_version",
            )
        if "too new" in said and form:
            return CustodyError(
                f"{self._server.name} does not open the state of this log: the key {self._key!r} has no version "
                f"{form.version} yet, so it is another one, or OpenBao was restored from a backup that is older than "
                "the state",
                hint="restore a newer backup",
            )
        return None

    def _parse(self, wrapped: bytes) -> "_Form":
        if found := _FORM.fullmatch(wrapped):
            return _Form(bool(found[1]), int(found[3]), found[2])
        raise unopened(self._server.name)


@dataclass(frozen=True, slots=True)
class _Form:
    """An answer of `encrypt`, taken apart.

    Args:
        own: The key belongs to one log, and its older versions are destroyed.
        version: That of the key.
        text: As the server gave it.
    """

    own: bool
    version: int
    text: bytes


class _Visit:
    """All that one call asks of the server, after one login and within one timeout."""

    def __init__(self, custody: VaultTransit, form: _Form | None = None) -> None:
        self._custody, self._form = custody, form
        self._server = custody._server
        self._client: Any = None
        self._line = Line()
        self._until = time.monotonic() + custody.timeout

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.adapter.close()
        self._line.close()

    def ask(
        self,
        work: Callable[[Any], T],
        refusal: Callable[[str], CustodyError],
        *,
        again: bool = True,
        remedy: str = REMEDY,
    ) -> T:
        """Do some work, while there is time and the server is away, or at once or never.

        Args:
            work: The call of the engine transit.
            refusal: Makes the error, from the server's name, where the server says that this cannot be.
            again: Do it again where no answer came.
            remedy: The advice if no answer comes at all.
        """
        left = max(0.0, self._until - time.monotonic())
        try:
            if not again:
                return self._attempt(work, refusal, left)
            return insist(lambda seconds: self._attempt(work, refusal, seconds), left)
        except AwayError as error:
            raise CustodyError(f"{self._server.name}: {error}", hint=remedy) from None

    def _attempt(self, work: Callable[[Any], T], refusal: Callable[[str], CustodyError], seconds: float) -> T:
        errors, custody = self._server.hvac.exceptions, self._custody
        with self._line.within(seconds), self._server.reporting():
            if self._client is None:
                self._client = self._server.client(self._line)
            try:
                return work(self._client.secrets.transit)
            except errors.InvalidPath as error:
                # For a key that is not there nothing more is said.
                raise (custody._no_engine() if error.errors else custody._no_key()) from None
            except errors.InvalidRequest as error:
                raise custody._reason(str(error), self._form) or refusal(self._server.name) from None


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()

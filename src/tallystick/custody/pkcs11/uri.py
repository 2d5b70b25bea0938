"""A PKCS #11 URI (RFC 7512), taken apart: which token, which key, which library, and where its PIN is.

>>> Uri.parse("pkcs11:token=audit;object=payments?module-path=/usr/lib/libhsm.so").who
'pkcs11:token=audit;object=payments'
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from tallystick.custody.options import Options
from tallystick.custody.pkcs11 import ids
from tallystick.errors import CustodyError
from tallystick.secreturl import without_passwords

__all__ = ["PIN", "TOKEN", "Uri"]

PIN = "TALLYSTICK_PKCS11_PIN"  # the environment variable
# Which attribute of a token each attribute of the URI is compared with.
TOKEN = {"token": "label", "serial": "serial", "manufacturer": "manufacturer_id", "model": "model"}

_KNOWN = [*TOKEN, "slot-id", "object", "id", "type"]


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI of custody.

    Args:
        url: The URI itself; it holds no secret.
        timeout: Seconds that a call may take.
        sought: The attributes in its path: of the token, and of the key.
        backups: The token may have backups: the URI does not say that it has none.
        path: Path of the library, or of its directory; empty if the URI names none.
        name: Name of the library without `lib` and `.so`; empty if the URI names none.
        pin_file: Path of the file with the PIN; None for the environment variable.
    """

    url: str
    timeout: float
    sought: Mapping[str, bytes]
    backups: bool
    path: str
    name: str
    pin_file: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URI apart.

        Raises:
            CustodyError: It is malformed, or names no key or no library.
        """
        options = Options.parse(url, {"module-path": "", "module-name": "", "pin-source": "", "backups": ""})
        sought = _attributes(url)
        if options["backups"] not in ("", "none"):
            raise CustodyError(
                "the custody pkcs11: takes backups=none, which says that the token keeps none, or nothing"
            )
        path, name = options["module-path"], options["module-name"]
        if path and not os.path.isabs(path):
            raise CustodyError(f"the custody pkcs11: has the module-path {path!r}", hint="write the whole path, from /")
        if "/" in name or not (path or name):
            raise CustodyError(
                "the custody pkcs11: names no library of an HSM",
                hint="write …?module-path=/path/to/library.so, "
                "or ?module-name=softhsm2 for one that is installed with the system",
            )
        pin_file = _file(options["pin-source"]) if options["pin-source"] else None
        return cls(url, options.timeout, sought, options["backups"] != "none", path, name, pin_file)

    @property
    def who(self) -> str:
        """The URI without its query."""
        return self.url.partition("?")[0]

    @property
    def fixed(self) -> bool:
        """It names one key, which opens all states."""
        return "id" in self.sought

    @property
    def label(self) -> str:
        """The label of keys that are made for states."""
        return self.sought.get("object", ids.OURS).decode("utf-8", "replace")


def _attributes(url: str) -> dict[str, bytes]:
    """Return the attributes in the path of a PKCS #11 URI."""
    path = url.partition(":")[2].partition("?")[0]
    found: dict[str, bytes] = {}
    for part in filter(None, path.split(";")):
        name, equals, value = part.partition("=")
        if not equals or name not in _KNOWN or name in found:
            known = ", ".join(_KNOWN)
            # Only the name, and no more than that: the rest may be a PIN.
            said = (
                repr(name) if equals and name.isascii() and name.replace("-", "").isalnum() else "a part without a name"
            )
            raise CustodyError(
                f"the custody pkcs11: cannot have {said} in its path", hint=f"it takes {known}, each once"
            )
        found[name] = unquote_to_bytes(value)
    if "object" not in found and "id" not in found:
        raise CustodyError(
            "the custody pkcs11: names no key", hint="write pkcs11:token=LABEL;object=LABEL?module-path=…"
        )
    if found.get("type", b"secret-key") != b"secret-key":
        raise CustodyError("the custody pkcs11: takes an AES key", hint="write type=secret-key, or leave it out")
    return found


def _file(source: str) -> str:
    """Return the path that a pin-source names."""
    parts = urlsplit(source)
    if parts.scheme not in ("", "file") or parts.netloc or not os.path.isabs(parts.path):
        raise CustodyError(
            f"the custody pkcs11: cannot take its PIN from {without_passwords(source)!r}",
            hint="write pin-source=file:/path",
        )
    return unquote(parts.path)

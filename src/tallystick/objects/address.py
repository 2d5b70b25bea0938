"""Where objects are: a store by its URL, and a name or a pattern in it.

A name is taken as it stands, as the tools of object storage do: nothing in it is percent-encoded. In patterns `*` and
`?` stay within one part of a name, `**` does not; a name that ends in `/` means all that begins with it.

>>> address = Address.of("s3://logs/app/2026-*/**")
>>> address.root, address.folder, address.has_pattern
('s3://logs', 'app', True)
>>> [name for name in ("app/2026-01/a/b.log", "app/2025-12/a.log") if address.fits(name)]
['app/2026-01/a/b.log']
"""

import glob
import re
from dataclasses import dataclass

from tallystick.errors import ReportError
from tallystick.secreturl import without_passwords

__all__ = ["Address", "is_url"]

_SCHEMES = ("s3", "gs", "az", "https", "http")
_URL = re.compile(rf"({'|'.join(_SCHEMES)})://([^/]*)(?:/(.*))?", re.DOTALL)
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?")


def is_url(path: str) -> bool:
    """Does a path name objects?"""
    return _URL.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class Address:
    """Objects that are meant.

    Args:
        root: URL of the store: scheme, and bucket, container or host.
        name: Name of an object in it, or a pattern.
    """

    root: str
    name: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """Read a URL.

        Raises:
            ReportError: It names no store, or holds what does not belong there.
        """
        found = _URL.fullmatch(url)
        shown = without_passwords(url)
        if found is None or not found[2]:
            raise ReportError(f"{shown} names no store", hint="write s3://BUCKET/NAME, gs://…, az://… or https://…")
        scheme, host, name = found[1], found[2], found[3] or ""
        if "@" in host or (scheme in ("https", "http") and re.search("[?#]", name)):
            raise ReportError(
                f"{shown.partition('?')[0]} holds a password or a query, which reports would show",
                hint="give credentials by the environment or a file, as the tools of the store do",
            )
        if scheme == "http" and not _LOOPBACK.fullmatch(host):
            raise ReportError(f"{shown} is not encrypted on its way", hint="use https")
        return cls(f"{scheme}://{host}", name)

    @property
    def scheme(self) -> str:
        """What kind of store it is."""
        return self.root.partition(":")[0]

    @property
    def bucket(self) -> str:
        """Name of the bucket or container, or the host."""
        return self.root.partition("://")[2]

    @property
    def url(self) -> str:
        """The URL."""
        return f"{self.root}/{self.name}"

    @property
    def has_pattern(self) -> bool:
        """May it mean more than one object?"""
        return glob.has_magic(self.name) or not self.name or self.name.endswith("/")

    @property
    def folder(self) -> str:
        """Parts of the name with which each object's name begins that is meant."""
        parts = self.name.split("/")
        plain = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        return "/".join(parts[:plain])

    def fits(self, name: str) -> bool:
        """Is an object meant, by its name?"""
        if not self.name or self.name.endswith("/"):
            return name.startswith(self.name)
        return re.fullmatch(_regular(self.name), name, re.DOTALL) is not None


def _regular(pattern: str) -> str:
    """Return a pattern as a regular expression."""
    made, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        elif pattern[at] in "*?":
            made, at = made + ("[^/]*" if pattern[at] == "*" else "[^/]"), at + 1
        elif pattern[at] == "[" and (close := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : close].replace("\\", "\\\\").replace("[", "\\[").replace("&&", "&\\&")
            made, at = made + "[" + ("^" + inner[1:] if inner.startswith("!") else inner) + "]", close + 1
        else:
            made, at = made + re.escape(pattern[at]), at + 1
    return made

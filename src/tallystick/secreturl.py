"""URLs that may hold a password: shown without it, everywhere but where a connection is made.

>>> url = SecretUrl("redis://app:secret@db.example/0?timeout=2&password=secret")
>>> url, f"{url}", f"{SecretUrl('redis:app:secret@db.example')}"
(SecretUrl('redis://app@db.example/0'), 'redis://app@db.example/0', 'redis:…')
>>> url.reveal() == "redis://app:secret@db.example/0?timeout=2&password=secret", url == SecretUrl(url.reveal())
(True, True)
>>> without_passwords("https://app:se/cr@t@db.example is away; try '?sslpassword=secret&timeout=2'")
"https://app@db.example is away; try '?sslpassword=…&timeout=2'"
"""

import os
import re
from typing import Self, TypeVar

__all__ = ["SecretUrl", "absolute_files", "hidden", "holds_password", "without_passwords"]

T = TypeVar("T")

# In a word, everything between the colon after a user and the last @ may be a password.
_USER = re.compile(r"(//[^\s:@/?#'\"]*):\S*@")
_OPTION = re.compile(r"([?&;](?:[a-z-]*pass(?:word|wd|phrase)?|pin-value|token|secret)=)[^&;\s'\"]*", re.IGNORECASE)
# The same where the slashes were left out: everything up to the @, before options and before what has a name.
_LOGIN = re.compile(r"[^:/]+:[^/=?;]*@")

# Options that name files, in URLs of servers and of their libraries.
_FILE = re.compile(r"([?&](?:cacert|credential|passfile|ssl(?:rootcert|cert|key|crl|crldir))=)([^&]+)")


class SecretUrl:
    """A URL that may hold a password. Its text and its repr do not; `reveal` does."""

    __slots__ = ("__whole",)

    def __init__(self, url: "str | SecretUrl") -> None:
        self.__whole = url.reveal() if isinstance(url, SecretUrl) else url

    def reveal(self) -> str:
        """Return it whole, to connect with."""
        return self.__whole

    @property
    def scheme(self) -> str:
        """The part before the first colon."""
        return self.__whole.partition(":")[0]

    def __str__(self) -> str:
        """Return it without a password and without options."""
        kind, _, rest = self.__whole.partition(":")
        if "@" in rest:  # all up to the last one may be a password, but for a user in its place
            user = re.match(r"//[^:@/?#]*", rest)
            rest = f"{user[0]}@{rest.rpartition('@')[2]}" if user else "…"
        return f"{kind}:{rest.partition('?')[0]}" if rest else kind

    def __repr__(self) -> str:
        """Return the same, as its type."""
        return f"SecretUrl({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Is it the same URL, the password included?"""
        return isinstance(other, SecretUrl) and self.__whole == other.__whole

    def __hash__(self) -> int:
        return hash(self.__whole)

    def __reduce__(self) -> "tuple[type[Self], tuple[str]]":
        raise TypeError("a URL that may hold a password is not written anywhere")


def hidden(url: "str | SecretUrl | None") -> SecretUrl | None:
    """Return a URL that was given as one that may hold a password; None for None."""
    return None if url is None else SecretUrl(url)


def holds_password(url: SecretUrl, *, is_path: bool = False) -> bool:
    """Does a URL hold a password, or what may be one? In one that `is_path`, the name of a file may hold anything.

    >>> [holds_password(SecretUrl(f"tpm2:{rest}")) for rest in ("//a:b@h", "a:b@h", "?auth=1&token=b", "?pcrs=7")]
    [True, True, True, False]
    >>> [holds_password(SecretUrl(f"master-key:{rest}"), is_path=True) for rest in ("//a:b@h", "me@home.key")]
    [True, False]
    """
    if _USER.search(url.reveal()) or "pin-value=" in url.reveal():
        return True
    options = "?" + url.reveal().partition("?")[2]
    return not is_path and (_LOGIN.match(url.reveal()) is not None or _OPTION.search(options) is not None)


def absolute_files(url: str) -> str:
    """Return a URL in which options that name files name them wherever the working directory is later.

    >>> from urllib.parse import quote
    >>> absolute_files("rediss://db.example/0?cacert=%2Fetc/ca.pem&timeout=2")
    'rediss://db.example/0?cacert=%2Fetc/ca.pem&timeout=2'
    >>> absolute_files("postgresql://db.example?sslrootcert=ca.pem").endswith(quote(os.getcwd()) + "/ca.pem")
    True
    """
    from urllib.parse import quote, unquote  # only here: each start of a command would pay for it

    def absolute(option: re.Match[str]) -> str:
        path = unquote(option[2])
        # For libpq, `system` is the system's store of authorities, and a key with a colon lies in a device.
        if path.startswith("/") or path == "system" or (":" in path and option[1].endswith("sslkey=")):
            return option[0]
        return option[1] + quote(os.path.abspath(path))

    return _FILE.sub(absolute, url)


def without_passwords(text: str) -> str:
    """Return a text in which URLs have no password."""
    return _OPTION.sub(r"\1…", _USER.sub(r"\1@", text))

"""The URL of a key store on a server: its place, how long to wait for it, and what may be shown of it.

>>> Place.parse("openbao://bao.example/secret?timeout=2&namespace=team", {"namespace": ""}).options
{'namespace': 'team'}
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tallystick.errors import KeyStoreError

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a server, and how long to wait for it.

    Args:
        url: The URL as it was given, with any password.
        shown: The URL without a password, and with those options only that are known to be harmless.
        timeout: Seconds that a call may take, with all its attempts.
        expiry: Seconds after which others may take the lease of a silent writer.
        options: All other options after `?`.

    >>> Place.parse("redis://app:secret@db.example/0?timeout=2", {}).shown
    'redis://app@db.example/0?timeout=2'
    """

    url: str
    shown: str
    timeout: float
    expiry: float
    options: dict[str, str]

    @classmethod
    def parse(cls, url: str, known: dict[str, str] | None, harmless: Iterable[str] = ()) -> Self:
        """Take a URL apart.

        Args:
            url: The URL.
            known: Options that the backend knows, with their defaults; none of them is secret. None if it takes any,
                and looks at hosts and ports itself.
            harmless: Other options that may be shown.

        Raises:
            KeyStoreError: It is invalid, or an option is not known. The message does not show it: it may hold a
                password.
        """
        scheme = url.partition(":")[0]
        try:
            parts = urlsplit(url)
            # A plus is a plus here; only forms of the web mean a blank by it.
            query = parts.query.replace("+", "%2B")
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
            open_to_all = {key: options[key] for key in options if key in {"timeout", "expiry", *(known or harmless)}}
            timeout, expiry = float(options.pop("timeout", 5)), float(options.pop("expiry", 30))
            # After another @ or # a password would go on that is taken for something to be shown.
            plain = url.isprintable() and not set(url) & set(" #") and url.count("@") == int("@" in parts.netloc)
            whole = url.startswith(f"{scheme}://") and (known is None or (parts.netloc and parts.port != 0))
            if not (plain and whole and 0.1 <= timeout <= 600 and 1 <= expiry <= 3600):
                raise ValueError
        except ValueError:
            raise KeyStoreError(
                f"the URL of the key store on {scheme} is malformed",
                hint=f"write {scheme}://HOST:PORT/... with %40 for @ and "
                "so on in a user or a password, and after ? at most timeout (0.1 to 600 seconds) and expiry (1 to 3600 "
                "seconds) besides its own options",
            ) from None
        if known is not None and (strange := sorted(set(options) - set(known))):
            raise KeyStoreError(f"a key store on {scheme} knows no option {strange[0]!r}; {_listed(known)}")
        user, host = parts.netloc.rpartition("@")[::2]
        place = f"{user.partition(':')[0]}@{host}" if user.partition(":")[0] else host
        shown = f"{scheme}://{place}{parts.path}" + ("?" if open_to_all else "") + urlencode(open_to_all, safe="/,:")
        return cls(url, shown, timeout, expiry, {**(known or {}), **options})


def _listed(known: dict[str, str]) -> str:
    return "known are " + ", ".join(sorted([*known, "timeout", "expiry"]))

"""The URL of a key store on a server: its place, how long to wait for it, and what may be shown of it.

>>> Place.parse("openbao://bao.example/secret?timeout=2&namespace=team", {"namespace": ""}).options
{'namespace': 'team'}
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from tallystick.errors import KeyStoreError
from tallystick.secreturl import SecretUrl

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a server, and how long to wait for it.

    Args:
        url: The URL as it was given; it may hold a password.
        shown: The URL without a password, and with those options only that are known to be harmless.
        timeout: Seconds that a call may take, with all its attempts.
        expiry: Seconds after which others may take the lease of a silent writer.
        options: All other options after `?`; they may hold a password.

    >>> Place.parse("redis://app:secret@db.example/0?timeout=2", {}).shown
    'redis://app@db.example/0?timeout=2'
    """

    url: SecretUrl
    shown: str
    timeout: float
    expiry: float
    options: dict[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: SecretUrl | str, known: dict[str, str] | None, harmless: Iterable[str] = ()) -> Self:
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
        url = SecretUrl(url)
        place, strange = cls._taken_apart(url, known, harmless)
        # Nothing that is named here holds a password: some tools show all names of a traceback.
        if place is None:
            raise KeyStoreError(
                f"the URL of the key store on {url.scheme} is malformed",
                hint=f"write {url.scheme}://HOST:PORT/... with %40 for @ and "
                "so on in a user or a password, and after ? at most timeout (0.1 to 600 seconds) and expiry (1 to 3600 "
                "seconds) besides its own options",
            )
        if known is not None and strange:
            raise KeyStoreError(f"a key store on {url.scheme} knows no option {strange!r}; {_listed(known)}")
        return place

    @classmethod
    def _taken_apart(
        cls, url: SecretUrl, known: dict[str, str] | None, harmless: Iterable[str]
    ) -> tuple[Self | None, str | None]:
        """Return the place, None if the URL is malformed; and the first option that is not known."""
        text, scheme = url.reveal(), url.scheme
        try:
            parts = urlsplit(text)
            # A plus is a plus here; only forms of the web mean a blank by it.
            query = parts.query.replace("+", "%2B")
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
            open_to_all = {key: options[key] for key in options if key in {"timeout", "expiry", *(known or harmless)}}
            timeout, expiry = float(options.pop("timeout", 5)), float(options.pop("expiry", 30))
            # After another @ or # a password would go on that is taken for something to be shown.
            plain = text.isprintable() and not set(text) & set(" #") and text.count("@") == int("@" in parts.netloc)
            whole = text.startswith(f"{scheme}://") and (known is None or (parts.netloc and parts.port != 0))
            if not (plain and whole and 0.1 <= timeout <= 600 and 1 <= expiry <= 3600):
                return None, None
        except ValueError:
            return None, None
        user, host = parts.netloc.rpartition("@")[::2]
        place = f"{user.partition(':')[0]}@{host}" if user.partition(":")[0] else host
        shown = f"{scheme}://{place}{parts.path}" + ("?" if open_to_all else "") + urlencode(open_to_all, safe="/,:")
        strange = next(iter(sorted(set(options) - set(known or ()))), None)
        return cls(url, shown, timeout, expiry, {**(known or {}), **options}), strange


def _listed(known: dict[str, str]) -> str:
    return "known are " + ", ".join(sorted([*known, "timeout", "expiry"]))

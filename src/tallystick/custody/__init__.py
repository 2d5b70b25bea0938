"""Custody: the encryption of the sealing states in a key store (spec section 6).

>>> import tempfile
>>> from tallystick._core import DataKey
>>> with tempfile.TemporaryDirectory() as directory:
...     custody = connect(f"master-key:{directory}/master.key", create=True)
...     owner = Owner(root=bytes(32), context=b"log payments")
...     wrapped = custody.wrap(DataKey.generate(), owner)
...     type(connect(custody.url).unwrap(wrapped, owner)).__name__
'DataKey'
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick._core import DataKey
from tallystick.custody import master_key, outside, passphrase
from tallystick.custody.base import Custody, Forgets, Owner
from tallystick.custody.master_key import MasterKey
from tallystick.custody.passphrase import Passphrase
from tallystick.errors import CustodyError
from tallystick.home import nobody, user_place
from tallystick.secreturl import SecretUrl, absolute_files, holds_password, without_passwords
from tallystick.taking_back import directories

__all__ = [
    "Custody",
    "Forgets",
    "MasterKey",
    "Owner",
    "Passphrase",
    "connect",
    "create_default",
    "default_path",
    "fresh_key",
    "is_outside",
    "plain",
    "resolved",
    "taking_back",
]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def plain(url: SecretUrl | None) -> str | None:
    """Return the URL of a custody as a text, which states and reports show; None for None.

    Raises:
        CustodyError: It holds a password.
    """
    if url is None:
        return None
    is_passphrase = url.reveal().startswith(Passphrase.url) and url.reveal() != Passphrase.url
    if is_passphrase or holds_password(url, is_path=url.scheme == "master-key"):
        raise CustodyError(
            f"the URL of the custody {url.scheme}: holds a password, and it is noted in the clear in each state",
            hint="give it by the environment or a file, a PIN by pin-source=file:PATH, as docs/custody.md says",
        )
    return url.reveal()


def connect(url: str | SecretUrl, *, create: bool = False, passphrases: passphrase.Source = passphrase.HERE) -> Custody:
    """Return the custody at a URL.

    Args:
        url: `master-key:FILE`, or `master-key:NAME` for an environment variable NAME in capitals; `passphrase:`; or
            that of a provider outside, as docs/custody.md lists them.
        create: Make the master key file if it is not there; for set-up only.
        passphrases: Where the keys of passphrases come from.

    Raises:
        CustodyError: This is no URL of a custody, or the custody cannot be reached; says what to do.
    """
    url = SecretUrl(url)
    whole = absolute_files(plain(url) or "")
    scheme, colon, place = whole.partition(":")
    if not colon or "/" in scheme:
        said = without_passwords(whole)
        raise CustodyError(f"{said!r} is no URL of a custody", hint=f"for a file write master-key:{said or 'FILE'}")
    if is_outside(whole):
        return outside.Outside(outside.connect(whole))
    if whole == Passphrase.url:
        return Passphrase(passphrases)
    if scheme != "master-key":
        known = ", ".join(f"{kind}:" for kind in sorted(["master-key", "passphrase", *outside.PROVIDERS]))
        raise CustodyError(f"there is no kind of custody called {scheme!r}; known are {known}")
    if not place:
        raise CustodyError("the custody 'master-key:' names no place", hint="write master-key:FILE")
    if _VARIABLE.fullmatch(place):
        return MasterKey.in_variable(place)
    if create and not os.path.lexists(place):
        return MasterKey.create(place)
    return MasterKey.in_file(place)


def resolved(url: str) -> str:
    """Return the URL of the same custody wherever the working directory is later.

    >>> resolved("master-key:/etc/tallystick/../key"), resolved("master-key:MASTER_KEY"), resolved("passphrase:")
    ('master-key:/etc/key', 'master-key:MASTER_KEY', 'passphrase:')
    """
    scheme, _, place = url.partition(":")
    if scheme != "master-key" or not place or _VARIABLE.fullmatch(place):
        return absolute_files(url)
    return f"{scheme}:{os.path.abspath(place)}"


@contextmanager
def taking_back(url: str | None) -> Iterator[None]:
    """Take back what `connect` or `create_default` made in a block that fails: a master key that no log uses yet.

    Args:
        url: The custody; None for this user's master key.
    """
    kind, _, place = (f"master-key:{default_path()}" if url is None else url).partition(":")
    path = os.path.abspath(place) if kind == "master-key" and place and not _VARIABLE.fullmatch(place) else None
    absent = path is not None and not os.path.lexists(path)
    with directories(path and os.path.dirname(path)):
        try:
            yield
        except BaseException:
            if absent and path is not None:
                with suppress(OSError):
                    master_key.remove_unused(path)
            raise


def is_outside(url: str) -> bool:
    """Return whether a custody is a provider outside, such as a service that is shown credentials."""
    return url.partition(":")[0] in outside.PROVIDERS


def fresh_key(keeper: Custody, owner: Owner) -> tuple[DataKey, bytes]:
    """Return a new data key, plain and wrapped. It was unwrapped once: a state that cannot be opened is lost.

    Raises:
        CustodyError: The custody cannot be reached, or encrypts but does not decrypt.
    """
    key = DataKey.generate()
    wrapped = keeper.wrap(key, owner)
    keeper.unwrap(wrapped, owner)
    return key, wrapped


def create_default() -> Custody:
    """Return the custody by this user's master key, which is made if it is not there.

    Raises:
        CustodyError: The master key cannot be made or read; says what to do.
    """
    return connect(f"master-key:{default_path()}", create=True)


def default_path() -> str:
    """Return the place of this user's master key, whether one is there or not.

    It is `/etc/tallystick/master.key` for root, `$XDG_CONFIG_HOME/tallystick/master.key` for everybody else.

    Raises:
        CustodyError: This user has no home directory.
    """
    if os.geteuid() == 0:
        return "/etc/tallystick/master.key"
    place = user_place("XDG_CONFIG_HOME", ".config")
    if place is None:
        raise CustodyError(
            f"{nobody()}, so there is no default place for a master key",
            hint="name one: --custody master-key:FILE, or TALLYSTICK_CUSTODY",
        )
    return os.path.join(place, "master.key")

"""Objects in object storage as files: looked up by their URLs, and read when they are needed.

An object is what its store lists: URL, size and ETag. What it holds is seen when it is read; only one whose name is
that of an archive is looked into before, for its members are inputs of their own.

>>> import tallystick.objects
>>> listing = Listing()
>>> listed_objects(["http://127.0.0.1:9/logs/*.log"], listing)
{}
>>> listing.unread[0][1].startswith("https:// has no lists")
True
"""

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias

from tallystick.errors import reason
from tallystick.objects import Address, Ahead, Object, Ranges, Store, connect
from tallystick.verify.digest import Digest
from tallystick.verify.files import File
from tallystick.verify.paths import Found, Listing, advice

__all__ = ["AnyFile", "Known", "Remote", "is_archive", "listed_objects"]

_MANY = 8  # names in one folder that are looked up by a list of it
_ARCHIVES = (".tar", ".tgz", ".tbz2", ".txz", ".zip", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar.lz4")
_NO_LISTS = "https:// has no lists; name each object"
_TEMPORARY = "a temporary object by its name (.tmp), not read; name it to read it"


class Remote:
    """One object, as `File` is one file.

    Attributes:
        path: Its URL.
        identity: The URL, and what tells it from another one there.
        size: Its bytes, as its store says.
        digest: Takes the SHA-256 of what is read, where that is wanted.
    """

    __slots__ = ("_ahead", "_uncounted", "digest", "identity", "object", "path", "size")
    is_copy = is_open = False

    def __init__(self, found: Object, ahead: Ahead) -> None:
        self.object, self._ahead = found, ahead
        self.path, self.identity, self.size = found.url, found.identity, found.size
        self.digest: Digest | None = None
        self._uncounted: Ranges | None = None

    def bytes(self, *, counted: bool = True) -> Ranges:
        """Return what it holds, to be read; `counted` bytes go into the digest."""
        if not counted:
            self._uncounted = self._uncounted or Ranges(self.object, self._ahead)
            return self._uncounted
        return Ranges(self.object, self._ahead, self.digest.take if self.digest is not None else None)

    def hold(self) -> bool:
        """Keep it: nothing has to be done for that."""
        return False

    def release(self) -> None:
        """Hold it no longer."""

    def look(self, size: int | None) -> None:
        """Take the size that it has now: an object with another one is another object."""

    def size_now(self) -> int:
        """Return how many bytes it has by now."""
        return self.size

    def expect(self, others: Iterable["tuple[AnyFile, int]"]) -> None:
        """Say which objects will be read, this one among them, in this order and from which offsets on."""
        self._ahead.plan((one.object, offset, None) for one, offset in others if isinstance(one, Remote))

    def close(self) -> None:
        """Let go of it."""


AnyFile: TypeAlias = File | Remote


@dataclass(frozen=True, slots=True)
class Known:
    """An object that an earlier run read.

    Args:
        object: The object, as its store listed it then.
        looked: When it was read, ms since 1970.
    """

    object: Object
    looked: int


def is_archive(path: str) -> bool:
    """Is an object looked into before it is read, by its name?"""
    return path.lower().endswith(_ARCHIVES)


def listed_objects(
    urls: Iterable[str], listing: Listing, known: Mapping[str, Known] = MappingProxyType({})
) -> Mapping[str, Object]:
    """Look up which objects are meant.

    Args:
        urls: URLs of objects, of all that begins with a name (`…/`), or patterns.
        listing: Takes what is found.
        known: Objects that earlier runs read, by their URLs: where none may be listed, these count.

    Returns:
        The objects, by their URLs.

    Raises:
        ReportError: A URL is invalid, or what reads it is not installed.
    """
    found: dict[str, Object] = {}
    wanted = sorted({Address.of(url) for url in urls}, key=lambda one: (one.root, one.folder, one.name))
    for (root, folder), group in groupby(wanted, key=lambda one: (one.root, one.folder)):
        addresses, store = list(group), connect(root)
        patterns = [one for one in addresses if one.has_pattern]
        names = [one for one in addresses if not one.has_pattern]
        if patterns and addresses[0].scheme in ("https", "http"):
            listing.unread += [(one.url, _NO_LISTS) for one in patterns]
            patterns = []
        objects: dict[str, Object] = {}
        if patterns or (len(names) > _MANY and not root.startswith("http")):
            try:
                objects = {one.name: one for one in store.list(folder)}
            except OSError as error:
                if not _meet_known(store, patterns, known, listing, found, error) and patterns:
                    listing.unread.append((f"{root}/{folder}", f"{reason(error)}; {advice(error)}"))
                patterns = []
        for address in patterns:
            _meet_pattern(address, objects, listing, found)
        for address in names:
            if address.name in objects:
                _meet(objects[address.name], listing, found, named=True)
            else:
                _look(store, address, listing, found, known)
    return found


def _meet_known(
    store: Store,
    patterns: Iterable[Address],
    known: Mapping[str, Known],
    listing: Listing,
    found: dict[str, Object],
    error: OSError,
) -> bool:
    """Take the objects of patterns that earlier runs read, where listing them is denied; were there any?"""
    if error.errno != errno.EACCES:
        return False
    any_met = False
    for address in patterns:
        fitting = [one for one in known.values() if one.object.store is store and address.fits(one.object.name)]
        for one in fitting:
            _look(store, Address(address.root, one.object.name), listing, found, known)
        if fitting:
            any_met = True
            looked = min(one.looked for one in fitting)
            listing.as_of.append((address.url, f"{reason(error)}, so objects that came later are not known", looked))
    return any_met


def _meet(one: Object, listing: Listing, found: dict[str, Object], *, named: bool) -> None:
    if one.url not in found:
        found[one.url] = one
        listing.files.append(Found(one.url, one.identity, named, one.changed, one.size))


def _meet_pattern(address: Address, objects: Mapping[str, Object], listing: Listing, found: dict[str, Object]) -> None:
    any_met = False
    for name, one in objects.items():
        if not address.fits(name):
            continue
        any_met = True
        if name.endswith(".tmp") and not address.name.endswith(".tmp"):
            listing.passed.append((one.url, _TEMPORARY))
        else:
            _meet(one, listing, found, named=False)
    if not any_met:
        listing.absent.append((address.url, "no object has such a name; check the URL"))


def _look(
    store: Store, address: Address, listing: Listing, found: dict[str, Object], known: Mapping[str, Known]
) -> None:
    """Look up one name: an object, or else what begins with it as a directory does."""
    try:
        _meet(store.look(address.name), listing, found, named=True)
        return
    except FileNotFoundError:
        what = "no such object; check the URL"
        if address.url in known:  # it was an object, and nothing that others begin with
            listing.absent.append((address.url, what))
            return
    except OSError as error:
        before = known.get(address.url)
        if error.errno == errno.EACCES and before is not None:
            _meet(before.object, listing, found, named=True)
            listing.as_of.append(
                (address.url, f"{reason(error)}, so nobody knows whether it is still there", before.looked)
            )
        else:
            listing.unread.append((address.url, f"{reason(error)}; {advice(error)}"))
        return
    try:
        inside = list(store.list(address.name)) if not address.root.startswith("http") else []
    except OSError as error:
        listing.unread.append((address.url, f"{reason(error)}; {advice(error)}"))
        return
    everything = Address(address.root, address.name + "/")
    if inside:
        _meet_pattern(everything, {one.name: one for one in inside}, listing, found)
    else:
        listing.absent.append((address.url, what))

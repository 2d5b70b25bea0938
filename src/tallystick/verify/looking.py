"""Which files are read: looked for again as long as they are renamed, compressed and removed meanwhile.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     with open(f"{place}/audit.log", "w") as file:
...         _ = file.write("a line\\n")
...     (one,), unread = open_inputs([place])
...     [chunk.data for chunk in one.chunks()], unread, one.close()
([b'a line\\n'], [], None)
"""

import contextlib
import errno
import heapq
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tallystick import _core
from tallystick.errors import ReportError, reason
from tallystick.objects import Ahead, Object, is_url
from tallystick.verify import strangers, streams
from tallystick.verify.archives import contents, is_tar, is_zip
from tallystick.verify.columns import Column
from tallystick.verify.digest import Digest, Taken
from tallystick.verify.files import File, Pool, most_held
from tallystick.verify.inputs import Input
from tallystick.verify.paths import COMPRESSED, Found, Identity, advice, listed
from tallystick.verify.remote import AnyFile, Known, Remote, is_archive, listed_objects

__all__ = ["LOOKS", "Inputs", "Unread", "open_inputs"]

LOOKS = 20  # at files that go on moving
_FEW = 4  # files that may be held open whatever else is
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What the operating system says of a name at which nothing is."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not read: a file or the rest of one that cannot be; or, if `passed`, what is no log and was passed over.

    `count` files were passed over for the same reason; `path` is the first of them. If `absent`, nothing is there that
    could hold a line. With `as_of`, it counts as an earlier run found it, at that time, ms since 1970.
    """

    path: str
    what: str
    passed: bool = False
    count: int = 0
    absent: bool = False
    as_of: int | None = None


class _Opened:
    """A file that was opened, and the inputs that it gave."""

    __slots__ = ("file", "inputs", "is_listed")

    def __init__(self, file: AnyFile, inputs: list[Input]) -> None:
        self.file, self.inputs, self.is_listed = file, inputs, True


class Inputs:
    """The files that are meant, each once even if it is named twice; looked for again as long as they move.

    Args:
        paths: Files, directories (all files in them, at any depth), patterns with `*`, `?` and `[…]`, or `-` for
            standard input.
        envelope: What carriers wrapped the lines in.
        chunk: Bytes of a chunk, if not `CHUNK`.
        digests: Take the SHA-256 of each file while it is read.
        taken: Returns what somebody else takes of a file, by its path and size, if he does.
        known: Objects that earlier runs read, by their URLs: where nothing may be listed, these count.
        column: Which column of Parquet files holds lines, if they are read.
    """

    def __init__(
        self,
        paths: Iterable[str],
        envelope: "_core.Envelope | None" = None,
        *,
        chunk: int | None = None,
        digests: bool = False,
        taken: Callable[[str, int], Taken | None] = lambda *_: None,
        known: Mapping[str, Known] = MappingProxyType({}),
        column: Column | None = None,
    ) -> None:
        self._paths, self._envelope, self._chunk, self._digests = tuple(paths), envelope, chunk, digests
        self._taken, self._pool, self._column = taken, Pool(), column
        self._most: int | None = None  # files that are held; not asked for where there are few
        self._opened: dict[Identity, _Opened] = {}
        self._once: set[Identity | str] = set()  # pipes: what came out of them is a copy now
        self._unread: list[Unread] = []
        self._passed: list[tuple[str, str]] = []
        self._strange: list[tuple[AnyFile, str]] = []
        self._unknown: list[tuple[AnyFile, str, str]] = []  # files, names in them if they are archives, and the reason
        self._links: list[tuple[AnyFile, str, str]] = []
        self._ahead, self._known = Ahead(), known
        self._objects: Mapping[str, Object] = {}
        self._strangers: set[Identity] = set()  # objects that were no logs as they were read
        self._stores: set[str] = set()  # directories of logs in key stores

    def look(self) -> bool:
        """List what is meant, and open what is not open yet; was anything new, or gone before it was opened?"""
        listing = listed(path for path in self._paths if not is_url(path))
        self._objects = listed_objects(filter(is_url, self._paths), listing, self._known)
        self._unread = [Unread(path, what) for path, what in listing.unread]
        self._unread += [Unread(path, what, absent=True) for path, what in listing.absent]
        self._unread += _as_of(listing.as_of)
        self._passed = listing.passed
        files = (found for found in listing.files if found.path not in self._objects)
        held, moving = self._held(list(files)), listing.vanished
        known: dict[Identity, Found] = {}
        for identity in {one.file.identity for one in self._opened.values() if isinstance(one.file, Remote)}:
            if (there := self._objects.get(str(identity[0]))) is None or there.identity != identity:
                self.forget(identity)  # another object is there now, which can be read
        for found in listing.files:
            if found.identity is not None and found.identity in self._opened:
                opened = self._opened[found.identity]
                known.setdefault(found.identity, found)
                if id(found) not in held:
                    opened.file.release()
            elif (found.identity or found.path) not in self._once:
                moving = self._open(found, held=id(found) in held) or moving
        self._refresh(known)
        return moving

    def _held(self, files: list[Found]) -> set[int]:
        """Return which files are held open: those that were changed last, as many as may be."""
        if self._most is None and len(files) > _FEW:
            self._most = most_held()
        if self._most is not None:
            files = heapq.nlargest(self._most, files, key=lambda found: found.changed)
        return set(map(id, files))

    def _open(self, found: Found, *, held: bool) -> bool:
        if (there := self._objects.get(found.path)) is not None:
            return self._open_object(there)
        try:
            file = File(found.path, self._pool, named=found.named, held=held)
        except OSError as error:
            gone = not found.named and error.errno == errno.ENOENT and found.identity is not None
            absent = error.errno in _NOTHING or (found.identity is not None and not found.size)
            self._unread.append(Unread(found.path, f"{reason(error)}; {advice(error)}", absent=absent))
            return gone
        if file.identity in self._opened:
            file.close()
            return False
        if self._digests:
            taken = self._taken(file.path, file.size)
            file.digest = Digest() if taken is None else Digest.of(file.size, taken)
        try:
            inputs = self._inputs(file)
        except OSError as error:
            file.close()
            self._unread.append(Unread(found.path, f"{reason(error)}; {advice(error)}"))
            return False
        if not inputs:
            file.close()
        if file.is_copy:
            self._once.add(found.identity or found.path)
        self._opened[file.identity] = _Opened(file, inputs)
        return True

    def _open_object(self, there: Object) -> bool:
        """Take an object; it is looked into first only if it may be an archive."""
        file = Remote(there, self._ahead)
        if self._digests:
            file.digest = Digest()
        inputs = [Input(file, self._envelope, chunk=self._chunk, later=True, column=self._column)]
        if is_archive(file.path) or file.identity in self._strangers:
            try:
                inputs = self._inputs(file)
            except OSError as error:
                self._unknown.append((file, "", f"{reason(error)}; {advice(error)}"))
                inputs = []
        self._opened[file.identity] = _Opened(file, inputs)
        return False

    def _inputs(self, file: AnyFile) -> list[Input]:
        """Return what a file gives; what is no log gives nothing."""
        if isinstance(file, File):
            what = strangers.ours_in(file.descriptor(), file.size)
        else:
            what = strangers.ours(file.bytes(counted=False).read(0, strangers.MOST), file.size)
        if what is not None:
            self._strange.append((file, f"{what}, no log; not read"))
            if what == "a sealing state":
                self._stores.add(os.path.dirname(file.path))
            return []
        one = Input(file, self._envelope, chunk=self._chunk, column=self._column)
        if is_tar(one.beginning) or is_zip(one.beginning):
            return self._members(file, one)
        if (what := one.form.foreign) is not None:
            self._unknown.append((file, "", what))
            return []
        return [one]

    def _members(self, file: AnyFile, archive: Input) -> list[Input]:
        """Return what an archive holds."""
        held = contents(file, archive.beginning, compressed=archive.is_compressed)
        self._unknown += [(file, name, why) for name, why in held.unread]
        self._links += [(file, name, why) for name, why in held.passed]
        inputs = []
        for member in held.members:
            one = Input(file, self._envelope, chunk=self._chunk, member=member)
            if (what := strangers.ours(one.beginning, one.size)) is not None:
                self._links.append((file, member.name, f"{what}, no log; not read"))
            elif is_tar(one.beginning) or is_zip(one.beginning):
                self._unknown.append(
                    (file, member.name, "an archive in an archive, which is not read; unpack it first")
                )
            elif (what := one.form.foreign) is not None:
                self._unknown.append((file, member.name, what))
            else:
                inputs.append(one)
        return inputs

    def _refresh(self, listed_now: dict[Identity, Found]) -> None:
        """Take names and sizes as they are now."""
        for identity, opened in self._opened.items():
            found = listed_now.get(identity)
            opened.is_listed = found is not None or opened.file.is_copy
            opened.file.path = found.path if found else opened.file.path
            opened.file.look(found.size if found else None)
            if isinstance(opened.file, Remote):
                continue
            for one in opened.inputs:
                one.rename()
                with contextlib.suppress(OSError):  # it is reported where it is read
                    one.look()

    def open_now(self) -> list[Input]:
        """Return the inputs that are open: those that were changed last."""
        return [one for opened in self._opened.values() if opened.file.is_open for one in opened.inputs]

    def forget_moved(self) -> None:
        """Let go of what was not where it had been when it was to be read: it is looked for again."""
        for identity, opened in list(self._opened.items()):
            if any(one.moved for one in opened.inputs):
                if isinstance(opened.file, Remote):
                    self._strangers.add(identity)
                self.forget(identity)

    def forget(self, identity: Identity) -> None:
        """Let go of a file: it is looked for again."""
        self._opened.pop(identity).file.close()

    def ready(self) -> tuple[list[Input], list[Unread]]:
        """Return the inputs, numbered in the order of their paths, and what is not among them.

        Raises:
            ReportError: Nothing was named, or nothing but what was passed over.
        """
        by_path: dict[str, Input] = {}
        # What was moved or removed while it was open gives way to what has its name now.
        for opened in sorted(self._opened.values(), key=lambda opened: not opened.is_listed):
            for one in opened.inputs:
                while one.path in by_path:
                    one.path += " (before)"
                by_path[one.path] = one
        inputs = [by_path[path] for path in sorted(by_path)]
        passed = self._passed + [(file.path, why) for file, why in self._strange]
        passed += [(f"{file.path}:{name}", why) for file, name, why in self._links]
        for one in list(inputs):
            if strangers.store_of(one.path) in self._stores:
                inputs.remove(one)
                one.close()
                passed.append((one.path, "a file of a key store, no log; not read"))
                continue
            original = next((by_path.get(one.path.removesuffix(f)) for f in COMPRESSED if one.path.endswith(f)), None)
            is_copy = original is not None and not one.is_member and isinstance(one.file, File)
            if original is not None and is_copy and _is_unfinished(one, original):
                inputs.remove(one)
                self.forget(one.identity)
                passed.append((one.path, f"the compression of {original.path} had not come to an end; not read"))
        for number, one in enumerate(inputs):
            one.number = number
        unread = [*self._unread, *_gathered(passed)]
        unread += [Unread(f"{file.path}:{name}" if name else file.path, why) for file, name, why in self._unknown]
        if not inputs and all(one.passed for one in unread):  # what cannot be read is a finding
            said = f"{unread[0].path}: {unread[0].what}" if unread else "there is nothing to verify; name a file"
            raise ReportError(said)
        return inputs, unread

    def identities(self) -> set[Identity]:
        """Return what tells the files from others that are open, or are opened when they are read."""
        return set(self._opened)

    def gone(self) -> list[Identity]:
        """Return the files that are open, but have none of the names that are meant any more."""
        return [identity for identity, opened in self._opened.items() if not opened.is_listed]

    def close(self) -> None:
        """Close all files."""
        self._ahead.close()
        for opened in self._opened.values():
            opened.file.close()


def _gathered(passed: Iterable[tuple[str, str]]) -> list[Unread]:
    """Return one for each reason."""
    paths: dict[str, list[str]] = {}
    for path, why in passed:
        paths.setdefault(why, []).append(path)
    return [Unread(min(those), why, passed=True, count=len(those)) for why, those in paths.items()]


def _as_of(known: Iterable[tuple[str, str, int]]) -> list[Unread]:
    """Return one for each reason, with the time of what was read the longest ago."""
    those: dict[str, list[tuple[str, int]]] = {}
    for path, why, looked in known:
        those.setdefault(why, []).append((path, looked))
    return [
        Unread(min(path for path, _ in found), why, count=len(found), as_of=min(looked for _, looked in found))
        for why, found in those.items()
    ]


def _is_unfinished(copy: Input, original: Input) -> bool:
    """Does a compressed copy end too early, and hold nothing but the beginning of what is here uncompressed?"""
    if not original.is_plain or copy.is_plain:
        return original.is_plain and copy.is_begun
    offset = 0
    for chunk in copy.chunks():
        if chunk.data[: chunk.end] != original.excerpt(offset, chunk.end):
            return False
        offset += chunk.end
    trouble, copy.trouble = copy.trouble, ""
    return trouble.endswith(streams.TOO_EARLY)


def open_inputs(
    paths: Iterable[str],
    envelope: "_core.Envelope | None" = None,
    *,
    chunk: int | None = None,
    digests: bool = False,
    column: Column | None = None,
) -> tuple[list[Input], list[Unread]]:
    """Open files, each once even if it is named twice, in the order of their names.

    Args:
        paths: As `Inputs` takes them.
        envelope: What carriers wrapped the lines in.
        chunk: Bytes of a chunk, if not `CHUNK`.
        digests: Take the SHA-256 of each file while it is read.
        column: Which column of Parquet files holds lines, if they are read.

    Returns:
        The inputs, and what was not opened.

    Raises:
        ReportError: Nothing was named, or nothing but what was passed over.
    """
    inputs = Inputs(paths, envelope, chunk=chunk, digests=digests, column=column)
    try:
        for _ in range(LOOKS):
            if not inputs.look():
                break
        return inputs.ready()
    except BaseException:
        inputs.close()
        raise

"""What is verified: files, plain or compressed, read in chunks that end at line ends.

A chunk is read, not mapped: a file that is cut while it is read must not end the verifier. Files may be renamed,
compressed and removed while this looks at them: what is open stays open, and it looks again until nothing is new.
"""

import contextlib
import errno
import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import ReportError, reason
from tallystick.verify import strangers, streams
from tallystick.verify.archives import Member, contents, is_tar, is_zip
from tallystick.verify.encodings import PEEK, Decoded, encoding
from tallystick.verify.files import File, Pool, most_held
from tallystick.verify.layers import Bytes, Plain, Unpacked
from tallystick.verify.paths import COMPRESSED, Found, advice, listed

__all__ = ["LOOKS", "Chunk", "Input", "Inputs", "Unread", "named_envelope", "open_inputs"]

CHUNK = 8 * 2**20  # bytes
LOOKS = 20  # at files that go on moving
_LONGEST = 2**24 + 2**20  # bytes of a line that can still hold a seal, with room for a carrier's prefix


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file: the first `end` bytes of `data`, at `offset` in the uncompressed file.

    `cut` says that the last line was too long to be read whole; `lines` are the lines that were taken out of a
    carrier's envelopes; `read` bytes of the file on the disk were read for it.
    """

    file: int
    number: int
    offset: int
    data: bytes
    end: int
    cut: bool
    lines: "_core.Unwrapped | None"
    read: int


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not read: a file or the rest of one that cannot be; or, if `passed`, what is no log and was passed over.

    `count` files were passed over for the same reason; `path` is the first of them.
    """

    path: str
    what: str
    passed: bool = False
    count: int = 0


class Input:
    """One file, of the size that it had when it was last looked at: a log may go on growing.

    Attributes:
        path: What it is called in reports.
        size: Bytes of the file on the disk.
        trouble: Why it could not be read to its end, once it was read.
        moved: It was not where it had been when it was to be read.
        ends_in_lf: Its last line is whole, once it was read.
    """

    def __init__(
        self,
        file: File,
        envelope: "_core.Envelope | None" = None,
        *,
        chunk: int | None = None,
        member: Member | None = None,
    ) -> None:
        """Take a file that was just opened, or a member of an archive that was.

        Raises:
            OSError: It cannot be read.
        """
        self.number, self.trouble, self.moved, self.ends_in_lf = 0, "", False, False
        self._file, self._envelope, self._chunk, self._member = file, envelope, chunk or CHUNK, member
        self._seen = -1
        self.rename()
        self.look()

    def rename(self) -> None:
        """Take the name that the file has now."""
        self.path = self._file.path if self._member is None else f"{self._file.path}:{self._member.name}"

    def look(self) -> None:
        """See by its first bytes what the file is; one that was empty may have become something.

        Raises:
            OSError: It cannot be read.
        """
        if self._seen >= min(PEEK, self.size):
            return
        self._seen, under = self.size, self._under()
        self._beginning = b""
        with contextlib.suppress(*(streams.BROKEN if self._member else ())):
            self._beginning = under.read(0, PEEK)[:PEEK]
        self.beginning = self._beginning
        self._compression = streams.compression(self._beginning)
        if self._compression:
            self.beginning = b""
            with contextlib.suppress(*streams.BROKEN):  # it is told where the file is read
                self.beginning = Unpacked(under, self.size).read(0, PEEK)[:PEEK]
        self._encoding = encoding(self.beginning)

    @property
    def is_begun(self) -> bool:
        """Is it so short that it is only the beginning of a compressed file?"""
        return self.size == len(self._beginning) and streams.is_begun(self._beginning)

    @property
    def is_member(self) -> bool:
        """Is it a member of an archive?"""
        return self._member is not None

    @property
    def size(self) -> int:
        """Bytes of the file on the disk."""
        return self._file.size if self._member is None else self._member.size

    @property
    def is_compressed(self) -> bool:
        """Is it compressed, by its first bytes?"""
        return self._compression is not None

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the file."""
        return self._file.identity

    @property
    def is_plain(self) -> bool:
        """Do its lines stand on the disk as they are read?"""
        return not (self._compression or self._encoding or self._member)

    def chunks(self) -> Iterator[Chunk]:
        """Read the file from its beginning."""
        unwrapper = _core.Unwrapper(self._envelope) if self._envelope and self._envelope.unwraps else None
        offset = number = read = 0
        self.trouble, self.moved = "", False
        try:
            source, under = self._layers()
            while True:
                data, end, cut = self._lines(source, offset)
                if not data:
                    break
                start, offset = offset, offset + end
                if cut:
                    offset, blank = self._after_long_line(source, start + end)
                    if blank and not data.strip(b"\0"):
                        data, end, cut = b"\n", 1, False  # NULs are no line
                    elif blank and offset >= self.size and self.is_plain:
                        # A line that a crash broke off, and what the file system left after it.
                        data, cut = data.rstrip(b"\0") + bytes(4096), False
                        end = len(data)
                self.ends_in_lf = data[end - 1] == 0x0A
                # The beginning of a line that was not read whole is no record: what follows would not be reported.
                lines = unwrapper.feed(data, end, False) if unwrapper and not cut else None
                before, read = read, under.reached
                yield Chunk(self.number, number, start, data, end, cut, lines, read - before)
                number += 1
        except streams.BROKEN as error:
            self.trouble = self._trouble(error, offset)
        if unwrapper:
            yield Chunk(self.number, number, offset, b"", 0, False, unwrapper.feed(b"", 0, True), 0)
        if not (self._compression or self._encoding) and offset < self.size and not self.trouble:
            self.trouble = f"it became shorter while it was read: {offset} of {self.size} bytes were left"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def excerpt(self, offset: int, size: int) -> bytes:
        """Read bytes of the file as it stands on the disk; fewer only at its end, none of a member of an archive."""
        return b"" if self._member else self._under().read(offset, size)

    def tail(self, size: int) -> bytes:
        """Return the end of a file that is plain; of another one nothing."""
        return self._under().read(max(0, self.size - size), size) if self.is_plain else b""

    def excerpts(self, offsets: Iterable[int], size: int) -> dict[int, bytes]:
        """Read the beginnings of the lines at some offsets, as far as they can be read once more."""
        found: dict[int, bytes] = {}
        with contextlib.suppress(*streams.BROKEN):
            self._excerpts(sorted(set(offsets)), size, found)
        return found

    def _excerpts(self, wanted: list[int], size: int, found: dict[int, bytes]) -> None:
        if self.is_plain:
            source = self._under()
            for offset in wanted:
                found[offset] = source.read(offset, size).split(b"\n", 1)[0]
            return
        trouble = self.trouble
        for chunk in self.chunks():
            while wanted and wanted[0] < chunk.offset + chunk.end:
                at = wanted.pop(0)
                found[at] = chunk.data[max(0, at - chunk.offset) :][:size].split(b"\n", 1)[0]
            if not wanted:
                break
        self.trouble = trouble

    def _under(self) -> Bytes:
        return self._member.bytes() if self._member else Plain(self._file.descriptor(), self._file.size)

    def _layers(self) -> tuple[Bytes, Bytes]:
        """Return the bytes of the lines, and those on the disk that they are made of."""
        under = source = self._under()
        if self._compression:
            source = Unpacked(under, self.size)
        return (Decoded(source, *self._encoding) if self._encoding else source), under

    def _trouble(self, error: Exception, offset: int) -> str:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ESTALE):
            self.moved = True
            return f"{reason(error)}; verify again when it stays where it is"
        if isinstance(error, OSError) and error.strerror:
            return f"{reason(error)} behind byte {offset}"
        if isinstance(error, streams.RefusedError):
            return f"it was not read behind byte {offset} of what it holds: {error}"
        what = f"{self._compression} data" if self._compression else "data"
        return f"its {what} is damaged behind byte {offset} of what it holds: {str(error).lower()}"

    def _lines(self, source: Bytes, offset: int) -> tuple[bytes, int, bool]:
        want = self._chunk
        while True:
            data = source.read(offset, want)
            end = data.rfind(b"\n") + 1
            if end or len(data) < want:
                return data, end or len(data), False
            if want > _LONGEST:
                # Fields of the journal may be as long as that; they are read piece by piece.
                if self._envelope is None or not self._envelope.takes_pieces:
                    return data, 4096, True
                if isinstance(source, Plain) and (hole := source.after_hole(offset) - offset) > _LONGEST:
                    raise streams.RefusedError(f"a hole of {hole} bytes is there, as no log has")
                return data, len(data), False
            want *= 4

    def _after_long_line(self, source: Bytes, offset: int) -> tuple[int, bool]:
        """Return where the line ends that goes on at an offset, and whether only NULs are left of it."""
        blank = True
        while True:
            if isinstance(source, Plain):
                offset = source.after_hole(offset)
            data = source.read(offset, self._chunk)
            found = data.find(b"\n")
            blank = blank and not (data if found < 0 else data[:found]).strip(b"\0")
            if found >= 0:
                return offset + found + 1, blank
            if not data:
                return offset, blank
            offset += len(data)


def named_envelope(kind: str | None, field: str | None) -> "_core.Envelope | None":
    """Return the envelope of a kind, with the JSON field that holds the lines; a field alone means JSON.

    Raises:
        FormatError: There is no such kind, or it takes no field.
    """
    return _core.Envelope(kind or "json", field) if kind or field else None


class _Opened:
    """A file that was opened, and the inputs that it gave."""

    def __init__(self, file: File, inputs: list[Input]) -> None:
        self.file, self.inputs, self.is_listed = file, inputs, True


class Inputs:
    """The files that are meant, each once even if it is named twice; looked for again as long as they move.

    Args:
        paths: Files, directories (all files in them, at any depth), patterns with `*`, `?` and `[…]`, or `-` for
            standard input.
        envelope: What carriers wrapped the lines in.
        chunk: Bytes of a chunk, if not `CHUNK`.
    """

    def __init__(
        self, paths: Iterable[str], envelope: "_core.Envelope | None" = None, *, chunk: int | None = None
    ) -> None:
        self._paths, self._envelope, self._chunk = tuple(paths), envelope, chunk
        self._pool, self._most = Pool(), most_held()
        self._opened: dict[tuple[int, int], _Opened] = {}
        self._once: set[tuple[int, int] | str] = set()  # pipes: what came out of them is a copy now
        self._unread: list[Unread] = []
        self._passed: list[tuple[str, str]] = []
        self._strange: list[tuple[File, str]] = []
        self._unknown: list[tuple[File, str, str]] = []  # files, names in them if they are archives, and the reason
        self._links: list[tuple[File, str, str]] = []
        self._stores: set[str] = set()  # directories of logs in key stores

    def look(self) -> bool:
        """List what is meant, and open what is not open yet; was anything new, or gone before it was opened?"""
        listing = listed(self._paths)
        self._unread = [Unread(path, what) for path, what in listing.unread]
        self._passed = listing.passed
        newest = heapq.nlargest(self._most, listing.files, key=lambda found: found.changed)
        held, moving = set(map(id, newest)), False
        known: dict[tuple[int, int], Found] = {}
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

    def _open(self, found: Found, *, held: bool) -> bool:
        try:
            file = File(found.path, self._pool, named=found.named, held=held)
        except OSError as error:
            gone = not found.named and error.errno == errno.ENOENT and found.identity is not None
            self._unread.append(Unread(found.path, f"{reason(error)}; {advice(error)}"))
            return gone
        if file.identity in self._opened:
            file.close()
            return False
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

    def _inputs(self, file: File) -> list[Input]:
        """Return what a file gives; what is no log gives nothing."""
        what = strangers.ours_in(file.descriptor(), file.size)
        if what is not None:
            self._strange.append((file, f"{what}, no log; not read"))
            if what == "a sealing state":
                self._stores.add(os.path.dirname(file.path))
            return []
        one = Input(file, self._envelope, chunk=self._chunk)
        if is_tar(one.beginning) or is_zip(one.beginning):
            return self._members(file, one)
        if (what := strangers.foreign(one.beginning)) is not None:
            self._unknown.append((file, "", what))
            return []
        return [one]

    def _members(self, file: File, archive: Input) -> list[Input]:
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
            elif (what := strangers.foreign(one.beginning)) is not None:
                self._unknown.append((file, member.name, what))
            else:
                inputs.append(one)
        return inputs

    def _refresh(self, listed_now: dict[tuple[int, int], Found]) -> None:
        """Take names and sizes as they are now."""
        for identity, opened in self._opened.items():
            found = listed_now.get(identity)
            opened.is_listed = found is not None or opened.file.is_copy
            opened.file.path = found.path if found else opened.file.path
            opened.file.look(found.size if found else None)
            for one in opened.inputs:
                one.rename()
                with contextlib.suppress(OSError):  # it is told where it is read
                    one.look()

    def open_now(self) -> list[Input]:
        """Return the inputs that are open: those that were changed last."""
        return [one for opened in self._opened.values() if opened.file.is_open for one in opened.inputs]

    def forget_moved(self) -> None:
        """Let go of what was not where it had been when it was to be read: it is looked for again."""
        for identity, opened in list(self._opened.items()):
            if any(one.moved for one in opened.inputs):
                self._forget(identity)

    def _forget(self, identity: tuple[int, int]) -> None:
        self._opened.pop(identity).file.close()

    def ready(self) -> tuple[list[Input], list[Unread]]:
        """Return the inputs, numbered in the order of their paths, and what is not among them.

        Raises:
            ReportError: None can be read, or there is none.
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
            if original is not None and not one.is_member and _is_unfinished(one, original):
                inputs.remove(one)
                self._forget(one.identity)
                passed.append((one.path, f"the compression of {original.path} had not come to an end; not read"))
        for number, one in enumerate(inputs):
            one.number = number
        unread = [*self._unread, *_gathered(passed)]
        unread += [Unread(f"{file.path}:{name}" if name else file.path, why) for file, name, why in self._unknown]
        if not inputs:
            said = f"{unread[0].path}: {unread[0].what}" if unread else "there is nothing to verify; name a file"
            raise ReportError(said)
        return inputs, unread

    def close(self) -> None:
        """Close all files."""
        for opened in self._opened.values():
            opened.file.close()


def _gathered(passed: Iterable[tuple[str, str]]) -> list[Unread]:
    """Return one for each reason."""
    paths: dict[str, list[str]] = {}
    for path, why in passed:
        paths.setdefault(why, []).append(path)
    return [Unread(min(those), why, passed=True, count=len(those)) for why, those in paths.items()]


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
    paths: Iterable[str], envelope: "_core.Envelope | None" = None, *, chunk: int | None = None
) -> tuple[list[Input], list[Unread]]:
    """Open files, each once even if it is named twice, in the order of their names.

    Args:
        paths: As `Inputs` takes them.
        envelope: What carriers wrapped the lines in.
        chunk: Bytes of a chunk, if not `CHUNK`.

    Returns:
        The inputs, and what was not opened.

    Raises:
        ReportError: None can be read, or there is none.
    """
    inputs = Inputs(paths, envelope, chunk=chunk)
    try:
        for _ in range(LOOKS):
            if not inputs.look():
                break
        return inputs.ready()
    except BaseException:
        inputs.close()
        raise

"""Archives as people send them, tar and zip: their members are inputs of their own, and nothing is written to the disk.

The maker of an archive may be an attacker, so names, sizes and offsets in it are believed only as far as they were
checked. An archive in an archive is not read.

>>> import io, tarfile
>>> held = io.BytesIO()
>>> with tarfile.open(fileobj=held, mode="w") as tar:
...     info = tarfile.TarInfo("logs/audit.log")
...     info.size = 7
...     tar.addfile(info, io.BytesIO(b"a line\\n"))
>>> is_tar(held.getvalue()[:512]), is_zip(held.getvalue()[:512])
(True, False)
"""

import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tallystick.verify import streams
from tallystick.verify.layers import Bytes, Stream, Unpacked, Window
from tallystick.verify.remote import AnyFile

if TYPE_CHECKING:  # imported where there is an archive
    import tarfile
    import zipfile

__all__ = ["Contents", "Member", "contents", "is_tar", "is_zip"]

_BLOCK = 512  # bytes of a block of tar
MOST = 100_000  # members of an archive
_HEADER = 10 * 2**20  # bytes of names and the like that are read at once; a directory of 100,000 files of zip
_PIECE = 2**16  # bytes; of a member of zip that is damaged, the last piece is lost
_LINK = "a link or device in an archive, no file; not read"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its name there, its bytes and how to read them."""

    name: str
    size: int
    bytes: Callable[[], Bytes]


@dataclass(slots=True)
class Contents:
    """What an archive holds: files; names that were passed over, and names that cannot be read, with the reason.

    The empty name stands for the archive itself.
    """

    members: list[Member] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)


def is_tar(beginning: bytes) -> bool:
    """Is this the first block of a tar archive?"""
    is_old = beginning[257:265] == bytes(8)
    if len(beginning) < _BLOCK or not beginning[0] or not (is_old or beginning[257:262] == b"ustar"):
        return False
    try:
        said = int(beginning[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return said == sum(beginning[:148]) + 8 * 0x20 + sum(beginning[156:_BLOCK])


def is_zip(beginning: bytes) -> bool:
    """Does a zip archive begin like this?"""
    return beginning.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def contents(file: AnyFile, beginning: bytes, *, compressed: bool) -> Contents:
    """Look up what an archive holds.

    Args:
        file: The archive, open.
        beginning: Its first bytes, unpacked.
        compressed: It was compressed as a whole, as tar archives are.
    """
    found = Contents()
    under: Bytes = _Live(file)
    try:
        if is_tar(beginning):
            _tar(Unpacked(under, file.size) if compressed else under, found)
        elif compressed:
            found.unread.append(("", "a zip archive that was compressed once more; unpack it first"))
        else:
            _zip(under, file.size, found)
    except Exception as error:  # what reads archives was not made for attackers: anything may come
        said = str(error).lower() if str(error) else type(error).__name__
        found.unread.append(("", f"the archive is damaged or cut, so files in it may be missing: {said}"))
    return found


class _Live:
    """The bytes of a file that may be closed and opened again meanwhile."""

    def __init__(self, file: AnyFile) -> None:
        self._file, self.reached = file, 0

    def read(self, offset: int, size: int) -> bytes:
        data = self._file.bytes(counted=False).read(offset, size)
        self.reached = max(self.reached, offset + len(data))
        return data


class _Seeking(io.RawIOBase):
    """Bytes as a file for what reads archives. It asks for no more at once than names may take."""

    def __init__(self, under: Bytes, size: int | None = None) -> None:
        self._under, self._size, self._at = under, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._size is None:
            raise ValueError("its end is not known")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size or 0}[whence]
        if base + offset < 0:
            raise ValueError("it leads to before its beginning")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = _HEADER if self._size is None else max(0, self._size - self._at)
        if size > _HEADER:
            raise ValueError(f"names and the like take more than {_HEADER} bytes")
        data = b""
        while len(data) < size and (more := self._under.read(self._at, size - len(data))[: size - len(data)]):
            data += more
            self._at += len(more)
        return data


def _tar(under: Bytes, found: Contents) -> None:
    import tarfile

    with tarfile.open(fileobj=_Seeking(under), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        names = _Names()
        before, info = -1, tar.next()
        while info is not None:
            if info.size < 0 or tar.offset <= before:
                raise ValueError("it leads back to its own beginning")
            before = tar.offset
            _take_tar(info, names, under, found)
            tar.members.clear()  # type: ignore[attr-defined]
            info = tar.next()
        _check_end(under, tar.offset)


def _take_tar(info: "tarfile.TarInfo", names: "_Names", under: Bytes, found: Contents) -> None:
    if info.isdir():
        return
    name = names.unique(info.name)
    if info.issparse():
        found.unread.append((name, "a file with holes in an archive; unpack it first"))
    elif info.isreg():
        start, size = info.offset_data, info.size
        found.members.append(Member(name, size, lambda: Window(under, start, size)))
    else:
        found.passed.append((name, _LINK))


def _check_end(under: Bytes, offset: int) -> None:
    """See that an archive has its end mark, and nothing after it that no tool would show."""
    mark = under.read(offset, _BLOCK)[:_BLOCK]
    if len(mark) < _BLOCK or mark.strip(b"\0"):
        raise ValueError("its end mark is not where it should be")
    while data := under.read(offset, _PIECE):
        if data.strip(b"\0"):
            raise ValueError("something stands after its end mark")
        offset += len(data)


def _zip(under: Bytes, size: int, found: Contents) -> None:
    import zipfile

    names = _Names()
    archive = zipfile.ZipFile(_Seeking(under, size))  # stays open: members are read later
    _check_overlaps(archive)
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = names.unique(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 0x2041:  # also where only its directory is
            found.unread.append((name, "it is encrypted; unpack it first"))
        elif kind and not stat.S_ISREG(kind):
            found.passed.append((name, _LINK))
        else:
            found.members.append(Member(name, info.file_size, _zipped(archive, info)))


def _check_overlaps(archive: "zipfile.ZipFile") -> None:
    """See that no bytes belong to two members: so a small archive becomes a large one."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ValueError("its members overlap")
        end = info.header_offset + 30 + info.compress_size


def _zipped(archive: "zipfile.ZipFile", info: "zipfile.ZipInfo") -> Callable[[], Bytes]:
    import zipfile

    given = 0

    def blocks() -> Iterator[bytes]:
        nonlocal given
        given = 0
        try:
            with archive.open(info) as file:
                while data := file.read(_PIECE):
                    given += len(data)
                    streams.check_ratio(given, info.compress_size)
                    yield data
        except NotImplementedError as error:
            raise streams.RefusedError("it is compressed in a way that is not read here; unpack it first") from error
        except (zipfile.BadZipFile, RuntimeError) as error:
            raise ValueError(str(error)) from error

    return lambda: Stream(blocks, lambda: given)


class _Names:
    """Names of members, each once: an archive may have two files of one name."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._all = 0

    def unique(self, name: str) -> str:
        self._all += 1
        if self._all > MOST:
            raise ValueError(f"it has more than {MOST} members")
        name = name.removeprefix("./")
        count = self._count[name] = self._count.get(name, 0) + 1
        return name if count == 1 else f"{name} ({count})"

"""The memory of a verifier: a directory of pins, each a statement that an earlier run saw (spec sections 1 and 7).

The next run must meet them, so the log cannot end before them, nor hold something else there. A pin is public: what
matters is only that nobody else changes or removes it. It is a lower bound and no end: the log may have gone on since.
A comment before it says when it was seen, what anchored the end then, and in which file.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     directory = os.path.join(place, "pins")
...     remember(directory, [b"tallypin aaaaaaaa 1.0.9." + 43 * b"A"])
...     remember(directory, [b"tallypin aaaaaaaa 1.0.4." + 43 * b"A"])  # older: never back
...     os.listdir(directory), [pin.text[:23] for pin in read_pins(directory, ["aaaaaaaa"])]
(['aaaaaaaa.pin'], [b'tallypin aaaaaaaa 1.0.9'])
"""

import datetime
import os
import re
import shlex
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tallystick import _core, securefile
from tallystick.errors import FormatError, KeyStoreError, ReportError
from tallystick.home import nobody
from tallystick.keystore import state_directory
from tallystick.verify.excerpts import quoted
from tallystick.verify.marks import Mark, are_settled, mark
from tallystick.verify.positions import At, dotted

__all__ = ["Pin", "PinDirectory", "default_directory", "read_pins", "remember"]

_MOST_BYTES = 2**20  # of one file
_MOST_FILES = 10_000
_SEEN = re.compile(rb"# seen (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ), end: ([a-z ]{1,40}), in [^\r\n]*")


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin, and what is known of the run that saw its statement.

    Args:
        text: The pin, `tallypin …`.
        log_id: The log.
        at: The position of the statement.
        digest: Its hash.
        seen: When it was kept, as RFC 3339 in UTC; None if nobody says.
        end: What anchored the log's end then, such as `default key store`; None if nobody says.
    """

    text: bytes
    log_id: str
    at: At
    digest: bytes
    seen: str | None = None
    end: str | None = None

    @classmethod
    def parse(cls, text: bytes, seen: str | None = None, end: str | None = None) -> "Pin":
        """Read the text of a pin; raises `FormatError` for anything else."""
        return cls(text, *_core.parse_pin(text), seen, end)


def default_directory() -> str:
    """Return where this user's pins are kept: `.pins` beside the logs, whose names never begin with a dot."""
    try:
        return os.path.join(state_directory(), ".pins")
    except KeyStoreError as error:
        hint = "name one: --pins DIR, or TALLYSTICK_PINS; --pins none remembers nothing"
        raise ReportError(f"{nobody()}, so there is no default directory for pins", hint=hint) from error


class PinDirectory:
    """The pins of a directory, read again where anything there changed.

    Args:
        path: The directory, as `read_pins` takes it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._marks: dict[str, Mark] = {}  # of the directory and of its files, as they were before they were read
        self._pins: tuple[Pin, ...] = ()

    def pins(self, log_ids: Collection[str]) -> tuple[Pin, ...]:
        """Return the pins of some logs, the same logs each time; `read_pins` says what is raised."""
        if self._marks and all(mark(path) == before for path, before in self._marks.items()):
            return self._pins
        self._marks, marks, now = {}, dict[str, Mark](), time.time_ns()
        with suppress(OSError):
            paths = [self._path, *(os.path.join(self._path, name) for name in os.listdir(self._path))]
            marks = {path: mark(path) for path in paths}
        self._pins = read_pins(self._path, log_ids)
        if are_settled(marks.values(), now):
            self._marks = marks
        return self._pins


def read_pins(directory: str | os.PathLike[str], log_ids: Collection[str]) -> tuple[Pin, ...]:
    """Return the pins of some logs from all files `*.pin` of a directory.

    Such a file holds one pin a line; blank lines and lines that begin with `#` say nothing. An auditor may put
    one there with a pin that he got elsewhere.

    Args:
        directory: The directory; there are no pins if it is not there.
        log_ids: Log ids of the logs.

    Returns:
        The pins, each once.

    Raises:
        FormatError: A line is no pin.
        ReportError: The directory or a file cannot be read, is too big, or can be changed by other users.
    """
    path = os.fspath(directory)
    with securefile.reporting(ReportError, path):
        try:
            os.lstat(path)
        except FileNotFoundError:
            return ()  # not for a link that leads nowhere, nor for what may not be seen
    pins: dict[bytes, Pin] = {}
    with _opened(path) as fd:
        names = sorted(name for name in securefile.names(fd) if name.endswith(".pin") and not name.startswith("."))
        if len(names) > _MOST_FILES:
            raise ReportError(f"{path} holds more than {_MOST_FILES} files of pins", hint="name another directory")
        for name in names:
            for pin in _pins_of(path, name, fd):
                if pin.log_id in log_ids and (pin.seen or pin.text not in pins):
                    pins[pin.text] = pin
    return tuple(pins.values())


def remember(
    directory: str | os.PathLike[str], pins: Iterable[bytes], *, end: str = "not said", path: str = "nowhere"
) -> None:
    """Keep the newest statement that a verification saw of each log: durable on return, and only ever forward.

    Args:
        directory: The directory; it is made if it is not there.
        pins: Pin texts. Each log has a file of its own, named by its log id.
        end: What anchored the ends, in small letters and blanks.
        path: The file that was verified, the first of several.

    Raises:
        FormatError: A text is no pin.
        ReportError: The directory cannot be written, another statement was pinned at a position, or somebody put
            something else where the pin of a log is kept.
    """
    newest: dict[str, Pin] = {}
    for text in pins:
        pin = Pin.parse(text.strip())
        newest[pin.log_id] = _newer(newest.get(pin.log_id), pin)
    if not newest:
        return
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    said = f"# seen {now}, end: {end}, in {quoted(os.fsencode(path))}\n".encode()
    path = os.path.abspath(directory)
    with securefile.reporting(ReportError, path):
        securefile.make_directories(path)
    with _opened(path) as fd:
        securefile.lock(fd)  # of two runs that end at once, the newer pin must stay
        for log_id, pin in newest.items():
            name = f"{log_id}.pin"
            there = _ours(path, name, log_id, fd)
            if _newer(there, pin) != there:
                securefile.exchange_file(name, said + pin.text + b"\n", fd)
                os.fsync(fd)


def _newer(one: Pin | None, other: Pin) -> Pin:
    """Return the newer of two pins of a log, the first if they are equal."""
    if one is None:
        return other
    if one.at == other.at and one.digest != other.digest:
        raise ReportError(
            f"two different statements of log id {one.log_id} were seen at {dotted(one.at)}: the log has two histories",
            hint="keep everything, and compare where each file came from",
        )
    return other if other.at > one.at else one


def _ours(path: str, name: str, log_id: str, directory: int) -> Pin | None:
    """Return the pin that an earlier run kept. What somebody else put in its place is not ours to change."""
    try:
        data = _read(path, name, directory)
    except FileNotFoundError:
        return None
    said, _, text = data.removesuffix(b"\n").rpartition(b"\n")
    with suppress(FormatError):
        pin = Pin.parse(text)
        if pin.log_id == log_id and (not said or _SEEN.fullmatch(said)):
            return pin
    raise ReportError(
        f"{os.path.join(path, name)} is where the pin of log id {log_id} is kept, but this tool did not write it",
        hint="give it another name that ends in .pin",
    )


def _pins_of(path: str, name: str, directory: int) -> Iterator[Pin]:
    seen: tuple[str | None, str | None] = None, None
    for number, line in enumerate(_read(path, name, directory).split(b"\n"), 1):
        pin = line.strip(b" \t\r")
        if not pin or pin.startswith(b"#"):
            said = _SEEN.fullmatch(pin)
            seen = (said[1].decode(), said[2].decode()) if said else (None, None)
            continue
        try:
            yield Pin.parse(pin, *seen)
            seen = None, None
        except FormatError as error:
            raise FormatError(str(error), hint=error.hint, path=os.path.join(path, name), line=number) from None


def _read(path: str, name: str, directory: int) -> bytes:
    # O_NONBLOCK: a named pipe put there must not stop us; it means nothing for regular files.
    with securefile.no_link(name, directory):
        fd = securefile.opened(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, within=directory)
    try:
        where = os.path.join(path, name)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ReportError(f"{where} is no regular file", hint="give it a name that does not end in .pin")
        _check_ours_alone(where, fd)
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ReportError(f"{where} has more than {_MOST_BYTES} bytes, too many for a file of pins")
        return data
    finally:
        os.close(fd)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Give the directory as a descriptor; every error in it is reported with its name."""
    with securefile.reporting(ReportError, path):
        fd = securefile.opened(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_ours_alone(path, fd)
            yield fd
        finally:
            os.close(fd)


def _check_ours_alone(path: str, fd: int) -> None:
    """Refuse what other users can change: they could make a verifier forget."""
    found = os.fstat(fd)
    if found.st_uid not in (0, os.geteuid()):
        who = securefile.user_name(found.st_uid)
        raise ReportError(f"{path} belongs to {who}, so pins in it prove nothing", hint="name a directory of your own")
    if found.st_mode & 0o022:
        advice = f"run: chmod go-w {shlex.quote(path)}"
        raise ReportError(f"{path} can be changed by other users, so pins in it prove nothing", hint=advice)

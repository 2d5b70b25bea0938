"""`tallystick seal`: seals lines from files or standard input."""

import errno
import os
import select
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import name_argument, rotation, sealing_options
from tallystick.cli.output import plural
from tallystick.cli.streams import STDIN, STDOUT, Output, input_or_stdin
from tallystick.errors import SealError, TallystickError, reason

if TYPE_CHECKING:
    from tallystick.cli.writing import Writing
    from tallystick.unicode import Input

_EPILOG = """Example:

\b
  my-service 2>&1 | tallystick seal payments -o audit.log
"""


@click.command("seal", cls=Command, epilog=_EPILOG)
@name_argument
@click.argument("files", nargs=-1, type=input_or_stdin, metavar="[FILE]...")
@sealing_options
@option("--adopt", is_flag=True, help="Begin the log with what FILE of -o holds so far.")
def command(name: str, files: Sequence[str], output: Output, encoding: str | None, **options: Any) -> None:
    """Seal the lines of FILEs, or of standard input (also -), for the log NAME.

    Bytes pass through unchanged but for the seal; UTF-16 and UTF-32 need --encoding. SIGTERM and SIGINT close the
    chain. SIGHUP reopens the file of -o; without one, or when the terminal has hung up, it closes the chain, too.
    """
    from tallystick.cli.writing import Writing
    from tallystick.lines import Splitter
    from tallystick.unicode import Input

    inputs: Sequence[str | int] = [STDIN if path == "-" else path for path in files] or [STDIN]
    target = STDOUT if output is None else output
    _refuse_unreadable(inputs, encoding)
    _refuse_own_output(inputs, target)
    writing = Writing()
    leaving = _Leaving(writing)
    settings = rotation({**options, "output": output})
    settings["output"] = target
    with writing:
        writing.open(name, mixed=True, **settings)
        leaving.reopens = isinstance(output, str) and (writing.log is None or os.path.isfile(output))
        splitter = Splitter(writing)
        try:
            for path in inputs:
                way = Input(splitter, _called(path), encoding)
                for data in _read(path, leaving):
                    _feed(way, data, path, leaving)
                way.finish()  # no line goes on in the next file
                if leaving.signal:
                    break
            writing.last()
        except TallystickError as error:
            if not (lost := writing.unsealed):
                raise
            raise SealError(f"{error}, not sealed: {plural(lost, 'line')} that came", hint=error.hint) from error
    if leaving.signal:
        raise SystemExit(128 + leaving.signal)


_BLOCK = 2**17  # bytes: they stay in the processor's cache, and larger ones are fetched from the system each time


class _Leaving:
    """Signals that ask the writer to leave: heard while it waits for input, when no line is half done."""

    def __init__(self, writing: "Writing") -> None:
        from tallystick.cli.writing import hear

        self.signal = 0
        self.reopens = False
        self.writing = writing
        self._had_terminal = _has_terminal()
        hear((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP and self.reopens and not (self._had_terminal and not _has_terminal()):
            self.writing.reopen()
            return
        self.signal = self.signal or number
        self.writing.leave()


def _has_terminal() -> bool:
    """Is there a terminal that would hang up on us, and has it not?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _feed(way: "Input", data: bytes, path: str | int, leaving: _Leaving) -> None:
    try:
        way.feed(data)
    except TallystickError as error:
        if not leaving.signal or leaving.writing.unsealed:
            raise
        # A signal asked to leave while there was no room: lines in our hands are lost, and that is reported.
        lost = data.count(b"\n") + _lines_standing(path)
        raise SealError(f"{error}; up to {plural(lost, 'line')} that came are not sealed", hint=error.hint) from error


def _lines_standing(path: str | int) -> int:
    from tallystick.cli.writing import standing

    left = standing(path) if isinstance(path, int) else 0
    return os.read(0, left).count(b"\n") if left else 0


def _read(path: str | int, leaving: _Leaving) -> Iterator[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if isinstance(path, str) else path
        try:
            yield from _blocks(fd, leaving)
        finally:
            if fd != path:
                os.close(fd)
    except OSError as error:
        raise SealError(f"{_called(path)}: {reason(error)}; lines before it are sealed") from error


def _blocks(fd: int, leaving: _Leaving) -> Iterator[bytes]:
    from tallystick.cli.writing import standing

    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    waiting.register(leaving.writing.woken, select.POLLIN)
    woken = select.poll()
    woken.register(leaving.writing.woken, select.POLLIN)
    while not leaving.signal:
        found = dict((woken if leaving.writing.is_full else waiting).poll())
        if leaving.writing.woken in found:
            leaving.writing.wake()
        elif fd in found:
            if not (data := os.read(fd, _BLOCK)):
                return
            yield data
    left = standing(fd)  # bytes that are there when the signal comes are sealed first
    while left > 0 and fd in dict(waiting.poll(0)) and (data := os.read(fd, min(left, _BLOCK))):
        yield data
        left -= len(data)


def _refuse_unreadable(inputs: Sequence[str | int], encoding: str | None) -> None:
    """Refuse files that cannot be read or sealed before a chain is opened for them; pipes may be among them.

    Raises:
        SealError: One is not there, is a directory, may not be read, or is text that would be torn.
    """
    for path in inputs:
        if encoding is None:
            _refuse_torn(path)
        if isinstance(path, int):
            continue
        try:
            problem = errno.EISDIR if stat.S_ISDIR(os.stat(path).st_mode) else 0
            problem = problem or (0 if os.access(path, os.R_OK, effective_ids=True) else errno.EACCES)
        except OSError as error:
            problem = error.errno or errno.EIO
        if problem:
            said = reason(OSError(problem, os.strerror(problem)))
            raise SealError(f"{path}: {said}, so nothing was sealed", hint="name a file that can be read")


def _refuse_torn(path: str | int) -> None:
    from tallystick.unicode import BEGINNING, recognised, refusal

    with suppress(OSError):
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb", closefd=isinstance(path, str)) as file:
                at = 0 if isinstance(path, str) else os.lseek(path, 0, os.SEEK_CUR)
                found = recognised(os.pread(file.fileno(), BEGINNING, at))
            if found is not None:
                raise refusal(_called(path), found[0])


def _refuse_own_output(inputs: Sequence[str | int], output: str | int) -> None:
    if not (isinstance(output, int) or os.path.exists(output)):
        return
    target = os.stat(output)
    for path in inputs:
        there = isinstance(path, int) or os.path.exists(path)
        if there and stat.S_ISREG(target.st_mode) and os.path.samestat(os.stat(path), target):
            raise SealError(f"{_called(path)} is both input and output", hint="name another output")


def _called(path: str | int) -> str:
    return path if isinstance(path, str) else "standard input"

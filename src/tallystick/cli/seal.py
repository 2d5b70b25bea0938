"""`tallystick seal`: seals lines from files or standard input."""

import os
import select
import signal
import stat
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from tallystick.cli.options import name_argument, rotation, sealing_options
from tallystick.cli.output import complain
from tallystick.errors import SealError, reason

_EPILOG = """Example:

\b
  my-service 2>&1 | tallystick seal payments -o audit.log
"""


@click.command("seal", epilog=_EPILOG)
@name_argument
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@sealing_options
def command(name: str, files: Sequence[str], output: str | None, **options: Any) -> None:
    """Seal lines of FILEs, or of standard input, for the log NAME.

    Bytes pass through unchanged but for the seal. SIGTERM, SIGINT and SIGHUP close the chain.
    """
    from tallystick.lines import Splitter
    from tallystick.log import open_log

    inputs: Sequence[str | int] = files or [0]
    target = 1 if output is None else output
    _refuse_own_output(inputs, target)
    leaving = _Leaving()
    with open_log(name, **rotation({**options, "output": output}) | {"output": target}, on_trouble=complain) as log:
        splitter = Splitter(log)
        for path in inputs:
            for data in _read(path, leaving):
                splitter.feed(data)
            splitter.finish()  # no line goes on in the next file
            if leaving.signal:
                break
    if leaving.signal:
        raise SystemExit(128 + leaving.signal)


_BLOCK = 2**18  # bytes: as much as stays in the processor's cache on the way through


class _Leaving:
    """Signals that ask the writer to leave: heard while it waits for input, when no line is half done."""

    def __init__(self) -> None:
        self.signal = 0
        self.fd, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # What is ignored stays ignored, as under nohup.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.signal = self.signal or number


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
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    waiting.register(leaving.fd, select.POLLIN)
    last = False
    while not last:
        last = bool(leaving.signal)  # what stands there when the signal comes is sealed first
        if fd not in dict(waiting.poll()) or not (data := os.read(fd, _BLOCK)):
            return
        yield data


def _refuse_own_output(inputs: Sequence[str | int], output: str | int) -> None:
    if not (isinstance(output, int) or os.path.exists(output)):
        return
    target = os.stat(output)
    for path in inputs:
        there = isinstance(path, int) or os.path.exists(path)
        if there and stat.S_ISREG(target.st_mode) and os.path.samestat(os.stat(path), target):
            raise SealError(f"{_called(path)} is both input and output; name another output")


def _called(path: str | int) -> str:
    return path if isinstance(path, str) else "standard input"

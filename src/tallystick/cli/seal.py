"""`tallystick seal`: seals lines from files or standard input."""

import os
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from tallystick.cli.options import name_argument, sealing_options
from tallystick.cli.output import complain
from tallystick.errors import SealError

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

    _refuse_own_output(files, output)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    status = 0
    with open_log(name, output=1 if output is None else output, on_trouble=complain, **options) as log:
        splitter = Splitter(log)
        try:
            for data in _read(files):
                splitter.feed(data)
        except _Leaving as leaving:
            status = 128 + leaving.signal
            signal.signal(leaving.signal, signal.SIG_IGN)
        splitter.finish()
    if status:
        raise SystemExit(status)


class _Leaving(BaseException):
    """A signal asked the writer to leave."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


_reading = False


def _leave(number: int, _: FrameType | None) -> None:
    raise _Leaving(number)


def _read(files: Sequence[str]) -> Iterator[bytes]:
    if not files:
        yield from _blocks(0)
    for path in files:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SealError(
                f"{path}: {(error.strerror or str(error)).lower()}; lines before it are sealed"
            ) from error
        try:
            yield from _blocks(fd)
        finally:
            os.close(fd)


def _blocks(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, 2**20):
        yield data


def _refuse_own_output(files: Sequence[str], output: str | None) -> None:
    for path in files:
        if (
            output is not None
            and os.path.exists(path)
            and os.path.exists(output)
            and os.path.samefile(path, output)
        ):
            raise SealError(f"{path} is both input and output; name another output")

"""`tallystick send`: sends lines from files or standard input to an agent, and waits until they are acknowledged."""

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.command import Command, option
from tallystick.cli.output import complain, say
from tallystick.cli.streams import STDIN, input_or_stdin
from tallystick.cli.values import DURATION
from tallystick.errors import SealError
from tallystick.lines import Splitter
from tallystick.unicode import ENCODINGS, Input

if TYPE_CHECKING:
    from tallystick.agent.client import Client
    from tallystick.unicode import Feeding

_BLOCK = 2**16  # bytes
_CAPACITY = 2**17  # lines: more than a block has
_LONGEST = 2**20  # bytes of a line

_EPILOG = """Example:

\b
  backup.sh 2>&1 | tallystick send unix:/run/tallystick/payments.sock
"""


@click.command("send", cls=Command, epilog=_EPILOG)
@click.argument("address", metavar="ADDRESS")
@click.argument("files", nargs=-1, type=input_or_stdin, metavar="[FILE]...")
@option(
    "--framing",
    type=click.Choice(["lines", "null", "whole"]),
    default="lines",
    metavar="FORM",
    help="Messages end with: lines, null or whole (with FILE) [lines].",
)
@option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    metavar="NAME",
    help="Of the lines; auto sends UTF-16 and UTF-32 as UTF-8.",
)
@option(
    "--until",
    type=click.Choice(["sealed", "synced"]),
    default="sealed",
    metavar="STATE",
    help="Wait until lines are sealed, or synced to the disk [sealed].",
)
@option("--wait", type=DURATION, metavar="TIME", default="10s", help="Wait this long at most for each 64 KiB [10s].")
@option("--follow", metavar="DIR", help="Follow FILE for ever, and note in DIR how far it was acknowledged.")
@option("--journal", is_flag=True, help="Follow the journal; words after -- go to journalctl.")
@option("--tls-cert", type=click.Path(), metavar="FILE", help="Our certificate, for tls:HOST:PORT.")
@option("--tls-key", type=click.Path(), metavar="FILE", help="Its key.")
@option("--tls-ca", type=click.Path(), metavar="FILE", help="Authorities of the agent's certificate.")  # fmt: skip
def command(
    address: str, files: Sequence[str], framing: str, encoding: str | None, until: Any, wait: float,
    follow: str | None, journal: bool, **tls: Any,
) -> None:  # fmt: skip
    """Send FILEs, or standard input (also -), to the agent at ADDRESS: unix:PATH or tls:HOST:PORT.

    Exit status 0: the agent has acknowledged everything. 4: it has not; a message says how much. With --follow it ends
    at SIGTERM, and after any end the next one goes on there: each line is sealed once, also where FILE is rotated.
    """
    from tallystick.agent.client import Client

    if follow is not None:
        if encoding is not None or framing != "lines":
            raise click.UsageError("what is followed is lines as they are")
        _follow(address, files, follow, until, journal=journal, tls=tls)
        return
    if journal:
        raise click.UsageError("--journal goes with --follow DIR")
    if encoding is not None and framing != "lines":
        raise click.UsageError("--encoding is that of lines")
    with ExitStack() as stack:
        inputs = [_opened(path, stack) for path in files or ["-"]]
        client = Client(address, capacity=_CAPACITY, state=until, on_trouble=complain, **tls)
        sending = _Sending(client, wait)
        try:
            for name, fd in inputs:
                sending.send(fd, _framed(framing, sending, name, encoding))
        except SealError as error:
            with suppress(SealError):
                client.close(0)
            count = sending.acknowledged
            before = "1 line of before is" if count == 1 else f"{count} lines of before are"
            raise SealError(f"{error}; {before} acknowledged", hint=error.hint) from error
        client.close(wait)


def _follow(address: str, words: Sequence[str], notes: str, until: str, *, journal: bool, tls: dict[str, Any]) -> None:
    from tallystick.agent.following import Following, Notes
    from tallystick.agent.reach import Reach
    from tallystick.agent.sources import File, Journal, Source

    if not journal and len(words) != 1:
        raise click.UsageError("--follow goes with one FILE, or with --journal")
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    reach = Reach(address, **tls)
    with Notes(notes) as kept:
        following = Following(reach, 2 if until == "synced" else 1, kept, complain, lambda: not asked)
        at = following.progress.position
        source: Source = Journal(words, at, complain) if journal else File(words[0], at, complain)
        with source:
            following.run(source)


def _opened(path: str, stack: ExitStack) -> tuple[str, int]:
    """Open an input before anything is sent; return what it is called, and its descriptor."""
    if path == "-":
        return "standard input", STDIN
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return path, fd


class _Sending:
    """Messages on their way."""

    def __init__(self, client: "Client", wait: float) -> None:
        self._client, self._wait = client, wait
        self._written = self.acknowledged = 0

    def send(self, fd: int, framed: "Feeding") -> None:
        """Send an input; each block is acknowledged before the next one is read, so that no more is in doubt."""
        while data := os.read(fd, _BLOCK):
            framed.feed(data)
            self._flush()
        framed.finish()
        self._flush()

    def _flush(self) -> None:
        self._client.flush(self._wait)
        self.acknowledged = self._written

    def write(self, message: bytes) -> None:
        """Send a message."""
        self._client.write(message)
        self._written += 1

    def write_lines(self, data: bytes) -> int:
        """Send whole lines."""
        for line in data[:-1].split(b"\n"):
            self.write(line)
        return len(data)

    def notice(self, kind: str, text: str) -> None:
        """Say that a line is split."""
        say(text)


class _Messages:
    """Puts messages together that end with a byte, or only with the input."""

    def __init__(self, sending: _Sending, end: bytes) -> None:
        self._sending, self._end, self._rest = sending, end, bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._rest += data
        if self._end and self._end in data:
            *messages, self._rest = self._rest.split(self._end)
            for each in messages:
                self._sending.write(bytes(each))

    def finish(self) -> None:
        """Take the end: what stands after the last NUL is a message, too."""
        if self._rest:
            self._sending.write(bytes(self._rest))


def _framed(framing: str, sending: _Sending, name: str, encoding: str | None) -> "Feeding":
    if framing == "lines":
        return Input(Splitter(sending, longest=_LONGEST), name, encoding)
    return _Messages(sending, b"\0" if framing == "null" else b"")

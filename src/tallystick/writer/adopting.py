"""What a log's file held before its first line: the log adopts it, right after its first opening (spec section 5).

>>> import os, pathlib, tempfile
>>> from tallystick.sinks import open_sink
>>> with tempfile.TemporaryDirectory() as directory:
...     _ = pathlib.Path(directory, "audit.log").write_bytes(b"one\\ntwo\\n")
...     sink = open_sink(os.path.join(directory, "audit.log"))
...     past = past_of(sink)
...     sink.close()
>>> past.size, past.lines, past.text()[:12]
(8, 2, 'sha256:c3f9c')
"""

import hashlib
from dataclasses import dataclass

from tallystick import _core
from tallystick.courier import Next
from tallystick.errors import SealError, reason
from tallystick.sinks import FileSink, Sink
from tallystick.writer.outlet import Outlet

__all__ = ["Past", "past_of", "refuse_begun"]


@dataclass(frozen=True, slots=True)
class Past:
    """What a file held before the log's first line.

    Args:
        sink: The file.
        sha256: SHA-256 of it, in hex.
        size: Its bytes, with the line end that a file gets which does not end in one.
        lines: How many of them are line ends.
    """

    sink: FileSink
    sha256: str
    size: int
    lines: int

    def text(self) -> str:
        """Return the text of the notice."""
        return f"sha256:{self.sha256} {self.size} {self.lines}"

    def seal(self, sealer: _core.Sealer, outlet: Outlet) -> None:
        """Have the log adopt it, by the first line after the log's first opening.

        Raises:
            SealError: Something else wrote to the file meanwhile.
            OutputError: There is no room.
        """
        outlet.push()  # the line end of a file that had none
        output = outlet.sink.output
        before = output.written
        sealer.notice("adopted", self.text().encode(), output)
        outlet.push()
        more = output.written - before
        if self.sink.length != self.size + more:
            raise SealError(
                f"something else wrote to {self.sink.name} while the log adopted what it held",
                hint="stop what writes there, move the file away, and start a new log",
            )


def past_of(sink: Sink) -> Past:
    """Read what a file holds.

    Raises:
        SealError: It is no file, cannot be read, or holds nothing.
    """
    if not isinstance(sink, FileSink):
        raise SealError(f"{sink.name} is no file, and only what a file held can be adopted", hint="name a file with -o")
    digest, size, lines = hashlib.sha256(), 0, 0
    try:
        for data in sink.contents():
            digest.update(data)
            size, lines = size + len(data), lines + data.count(b"\n")
    except OSError as error:
        raise SealError(f"{sink.name} cannot be read, to adopt what it holds: {reason(error)}") from error
    if sink.length != size - sink.repaired:
        raise SealError(f"something else writes to {sink.name}", hint="stop that before the log adopts what it holds")
    if not size:
        raise SealError(f"{sink.name} holds nothing that could be adopted", hint="seal without --adopt")
    return Past(sink, digest.hexdigest(), size, lines)


def refuse_begun(state: Next) -> None:
    """Refuse a log that has begun, or follows another one: only the first line of the first chain adopts a past.

    Raises:
        SealError: It has, or does.
    """
    if state.follows is not None:
        raise SealError(
            f"log {state.name} follows another log, so it does not adopt what the file holds",
            hint="seal without --adopt",
        )
    if state.next_chain != 1:
        raise SealError(
            f"log {state.name} has begun already, and only at its beginning it could adopt what the file held",
            hint="seal without --adopt",
        )

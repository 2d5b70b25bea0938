"""The lines in a column of a Parquet file, as if they stood in a file: read by a process of its own (`parquet`).

>>> Column.named("parquet", "line"), Column.named("docker", None)
(Column(name='line'), None)
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from tallystick.system import interpreter
from tallystick.verify import parquet, streams
from tallystick.verify.layers import Bytes, Stream

if TYPE_CHECKING:
    import subprocess

__all__ = ["MAGIC", "PARQUET", "SILENCE", "Column", "Lines"]

PARQUET = "parquet"
"""What such a file is called among those that are compressed, and the kind of envelope."""

MAGIC = b"PAR1"
"""With what such a file begins."""

SILENCE = 60.0
"""Seconds within which the process must say something."""

_MOST = 64 * 2**20  # bytes of a message
_PASSED = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")  # variables that find Python's packages


@dataclass(frozen=True, slots=True)
class Column:
    """A column of Parquet files that holds lines.

    Args:
        name: Its name, with dots where it is nested; None for the only one of text.
    """

    name: str | None

    @classmethod
    def named(cls, envelope: str | None, field: str | None) -> "Column | None":
        """Return the column that is meant by an envelope and a field; None where Parquet files are not read."""
        return cls(field) if envelope == PARQUET else None


class Lines(Stream):
    """The lines of a Parquet file; what is damaged, or not read, is raised when all before it was read."""

    def __init__(self, under: Bytes, size: int, column: Column) -> None:
        """Take the file, which can be read at any offset, its bytes, and which column is meant."""
        super().__init__(lambda: _lines(under, size, column), lambda: under.reached)


def _lines(under: Bytes, size: int, column: Column) -> Iterator[bytes]:
    with _started(size, column) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given = 0
        while True:
            kind, offset, length = parquet.MESSAGE.unpack(_heard(process.stdout, parquet.MESSAGE.size))
            if kind == b"R":
                _answer(process.stdin, under.read(offset, length)[:length] if length <= _MOST else b"")
                continue
            data = _heard(process.stdout, min(length, _MOST))
            if kind == b"E":
                return
            if kind == b"L":
                given += length
                streams.check_ratio(given, size)
                yield data
                continue
            said = data.decode(errors="replace")
            raise streams.RefusedError(said) if kind == b"N" else ValueError(said)


def _answer(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # that it ended is seen where it is heard
        pipe.write(parquet.LENGTH.pack(len(data)) + data)
        pipe.flush()


def _heard(pipe: IO[bytes], size: int) -> bytes:
    """Return the next bytes of what the process says.

    Raises:
        ValueError: It ended, or says nothing.
    """
    import select

    data = b""
    while len(data) < size:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if not poll.poll(SILENCE * 1000):
            raise ValueError(f"the process that reads it said nothing for {SILENCE:g} s")
        if not (more := os.read(pipe.fileno(), size - len(data))):
            raise ValueError("the process that reads it ended")
        data += more
    return data


@contextlib.contextmanager
def _started(size: int, column: Column) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process; it ends with the block."""
    import subprocess  # only here: other commands start faster without it

    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    command = [interpreter(), "-P", parquet.__file__, str(size), *([] if column.name is None else [column.name])]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env=environment | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        raise streams.RefusedError(f"the process that reads it cannot be started ({command[0]})") from error
    try:
        yield process
    finally:
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.communicate()

"""Reads the lines in a column of a Parquet file: the program of a process of its own, started by `columns`.

What decodes Parquet is large and was written for files of friends, and an attacker may have made this one. So it runs
here, without any key, in memory that is limited, and asks for bytes and gives lines over two pipes. Nothing else of
this package is loaded. Each message begins with a letter and two numbers (`MESSAGE`):

- `R` offset size: asks for bytes, which come after their number as `LENGTH`; fewer only at the end;
- `L` 0 size: lines, which follow;
- `N` 0 size: why nothing more is read, as a text that follows;
- `E` 0 0: all was read.

>>> b"".join(lines_of([b"first", None, b"second\\n", b""]))
b'first\\nsecond\\n\\n'
"""

import contextlib
import importlib
import io
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

__all__ = ["LENGTH", "MESSAGE", "lines_of"]

MESSAGE = struct.Struct(">cQQ")
LENGTH = struct.Struct(">Q")

_MEMORY = 320 * 2**20  # bytes of data of this process
_READ = 64 * 2**20  # bytes that are asked for at once at most
_BUFFER = 2**20  # bytes of a column that are read at a time
_BATCH = 2 * 2**20  # bytes of lines that are decoded at a time, as far as the file tells the truth
_ROWS = 2**16  # of these, at most
_NAMED = 8  # columns that a message names


class _RefusedError(Exception):
    """Why the file is not read."""


class _Asked(io.RawIOBase):
    """The file, whose bytes are asked for."""

    def __init__(self, size: int, answers: BinaryIO, say: BinaryIO) -> None:
        super().__init__()
        self._size, self._answers, self._say, self._at = size, answers, say, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if size > _READ:
            raise _RefusedError(f"it wants {size} bytes read at once")
        if not size:
            return b""
        self._say.write(MESSAGE.pack(b"R", self._at, size))
        self._say.flush()
        (length,) = LENGTH.unpack(self._answers.read(LENGTH.size))
        data = self._answers.read(length)
        self._at += len(data)
        return data


def lines_of(values: Iterable[bytes | None]) -> Iterator[bytes]:
    """Give the values of some rows as lines; a row without a value holds no line."""
    for value in values:
        if value is not None:
            yield value if value.endswith(b"\n") else value + b"\n"


def _column(names: Sequence[str], wanted: str | None) -> str:
    """Return which column holds the lines.

    Args:
        names: Of all columns of text.
        wanted: The one that was named; None for the only one.

    >>> _column(["line"], None), _column(["host", "line"], "line")
    ('line', 'line')
    """
    said = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    if wanted is None and len(names) != 1:
        raise _RefusedError(f"its columns of text are {said or 'none'}: say with --field which one holds the lines")
    name = names[0] if wanted is None else wanted
    if name not in names:
        raise _RefusedError(f"it has no column of text {name}, but {said or 'none'}")
    inside = [other for other in names if other == name or other.startswith(f"{name}.")]
    if len(inside) > 1:
        raise _RefusedError(f"several of its columns are called {name}")
    return name


def _lines(file: _Asked, wanted: str | None) -> Iterator[bytes]:
    """Give the lines of a file, some at a time."""
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    arrow.set_cpu_count(1)
    held = parquet.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
    leaves = [held.schema.column(number) for number in range(len(held.schema))]
    texts = [leaf for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and not leaf.max_repetition_level]
    name = _column([leaf.path for leaf in texts], wanted)
    number = next(number for number, leaf in enumerate(leaves) if leaf.path == name)
    rows = _rows(held.metadata, number)
    for batch in held.iter_batches(rows, columns=[name], use_threads=False):
        yield b"".join(lines_of(_values(arrow, batch)))


def _rows(metadata: Any, number: int) -> int:
    """Return how many rows are decoded at a time."""
    most = 1
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(number)
        most = max(most, column.total_uncompressed_size // max(1, column.num_values))
    return int(min(_ROWS, max(1, _BATCH // most)))


def _values(arrow: Any, batch: Any) -> Any:
    """Return the values of the only column of a batch, taken out of what it is nested in."""
    values = batch.column(0)
    while arrow.types.is_struct(values.type):
        (values,) = values.flatten()
    if arrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kinds = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_binary, arrow.types.is_large_binary)
    if not any(is_kind(values.type) for is_kind in kinds):
        raise _RefusedError(f"that column holds no text, but values of type {values.type}")
    return values.cast(arrow.large_binary()).to_pylist()


def _limit() -> None:
    """Let this process have so much memory, and no more."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # a system without such limits has others
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def _main(size: int, wanted: str | None) -> None:
    say = sys.stdout.buffer
    file = _Asked(size, sys.stdin.buffer, say)

    def send(kind: bytes, data: bytes) -> None:
        say.write(MESSAGE.pack(kind, 0, len(data)) + data)
        say.flush()

    _limit()
    try:
        for data in _lines(file, wanted):
            for at in range(0, len(data), _BATCH):
                send(b"L", data[at : at + _BATCH])
    except ImportError:
        send(b"N", b"it takes the package pyarrow: pip install 'tallystick[parquet]'")
    except MemoryError:
        send(b"N", b"to decode it takes more than %d MiB" % (_MEMORY // 2**20))
    except Exception as error:  # what reads Parquet was not made for attackers: anything may come
        said = str(error).splitlines() or [type(error).__name__]
        send(b"N" if isinstance(error, _RefusedError) else b"D", said[0].encode(errors="replace")[:500])
    else:
        send(b"E", b"")


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)

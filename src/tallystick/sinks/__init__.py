"""Where sealed lines go: a file, a stream such as a pipe, or a callable.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     sink = open_sink(os.path.join(directory, "audit.log"))
...     sink.output.put(b"one line\\n")
...     sink.push()
...     sink.sync()
...     sink.close()
...     pathlib.Path(directory, "audit.log").read_bytes()
b'one line\\n'
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from tallystick.errors import SealError, reason
from tallystick.securefile import Actor, Place, RefusedError, opened
from tallystick.sinks.base import Followed, Sink, advice, now
from tallystick.sinks.call import CallSink
from tallystick.sinks.file import FileSink, open_borrowed
from tallystick.sinks.places import is_borrowed, printable, resolved
from tallystick.sinks.rotation import Rotation
from tallystick.sinks.stream import StreamSink

__all__ = ["CallSink", "FileSink", "Followed", "Sink", "StreamSink", "now", "open_sink"]


def open_sink(
    output: str | os.PathLike[str] | int | Callable[[bytes], object],
    rotation: Rotation | None = None,
    on_trouble: Callable[[str], None] | None = None,
    *,
    actor: Actor | None = None,
    later: bool = False,
) -> Sink:
    """Open where sealed lines go.

    A named pipe that nobody reads is opened all the same: lines meet it as one whose reader has gone.

    Args:
        output: A path, which is appended to and made if it is not there; it is resolved now, and what the working
            directory and links are later changes nothing. One such as /dev/stdout means that descriptor. Or an open
            file descriptor, which stays the caller's to close; or a callable that takes sealed bytes.
        rotation: When a new file is begun; takes the path of a file.
        on_trouble: Called with what is wrong with rotated files.
        actor: The user that opens, rotates and removes files at a path; None for that of this process.
        later: A file that cannot be made for lack of room is made when it is looked at and there is room; until then it
            takes nothing.

    Raises:
        SealError: It cannot be written, or not rotated.
    """
    if callable(output):
        if rotation is not None:
            raise _not_rotated(CallSink.name)
        return CallSink(output)
    name = _called(output) if isinstance(output, int) else os.fspath(output)
    try:
        meant = output if isinstance(output, int) else resolved(output)
    except OSError as error:
        raise SealError(f"{name}: {reason(error)}", hint=advice(error)) from error
    place = None
    if isinstance(meant, int):
        fd = _copy(meant, name)
    elif is_borrowed(meant):
        fd = open_borrowed(meant, printable(name))
    else:
        place, fd = _at(name, actor, later=later)
    if stat.S_ISREG(os.fstat(fd).st_mode) and (place is not None or rotation is None):
        return FileSink(fd, name, place, rotation, on_trouble)
    if place is not None:
        place.close()
    if rotation is not None:
        os.close(fd)
        raise _not_rotated(name)
    return StreamSink(fd, name, returns=place is not None and stat.S_ISFIFO(os.fstat(fd).st_mode))


def _at(path: str, actor: Actor | None, *, later: bool) -> tuple[Place, int]:
    """Open what is at a path for the first time, or make a file there; give its place, too.

    With `later`, where there is no room for a new file, it is one in memory, which has no name, until there is.
    """
    try:
        place = Place.of(path, actor)
        try:
            return place, place.begin()
        except OSError as error:
            if later and error.errno in (errno.ENOSPC, errno.EDQUOT):
                return place, os.memfd_create(place.name)
            place.close()
            raise
        except BaseException:
            place.close()
            raise
    except RefusedError as refused:
        raise SealError(f"{printable(refused.name)} {refused.what}", hint=refused.advice) from None
    except OSError as error:
        raise SealError(f"{printable(path)}: {reason(error)}", hint=advice(error)) from error


def _not_rotated(name: str) -> SealError:
    return SealError(
        f"{name} cannot be rotated", hint="name a file, or leave rotation to the program that takes the lines"
    )


def _called(fd: int) -> str:
    return {1: "standard output", 2: "standard error"}.get(fd, f"file descriptor {fd}")


def _copy(fd: int, name: str) -> int:
    """Return a descriptor of our own for an open file."""
    import fcntl  # not at the top: verifiers use names of places, also where there is no such module

    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return os.dup(fd)
        # Descriptors of a shell's redirection may be write-only or without append: both are needed here.
        for access in (os.O_RDWR, os.O_WRONLY):
            with suppress(PermissionError):
                return opened(f"/proc/self/fd/{fd}", access | os.O_APPEND)
        # Another user opened it for us, as systemd does: there is no way but the same open file.
        copy = os.dup(fd)
        fcntl.fcntl(copy, fcntl.F_SETFL, fcntl.fcntl(copy, fcntl.F_GETFL) | os.O_APPEND)
        return copy
    except OSError as error:
        raise SealError(f"{name}: {reason(error)}", hint=advice(error)) from error

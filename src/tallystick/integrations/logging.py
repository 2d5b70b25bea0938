"""Handlers for the standard library's `logging`: each record becomes a sealed line, in the handler's own `emit`.

>>> import logging, tallystick, tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("audit", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/audit.key")
...     handler = SealedFileHandler("audit", f"{d}/audit.log", store=f"file:{d}/s")
...     logger = logging.getLogger("example")
...     logger.addHandler(handler)
...     logger.warning("user=%d action=login", 7)
...     logger.removeHandler(handler)
...     handler.close()
...     tallystick.verify([f"{d}/audit.log"], keys=[f"{d}/audit.key"], store=f"file:{d}/s").verdict
<Verdict.OK: 'ok'>
"""

import io
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

from tallystick.agent.client import Client, WhenFull
from tallystick.integrations.formatters import JSONFormatter, PlainFormatter, one_line
from tallystick.integrations.sealing import OnError, Sealing
from tallystick.sinks.rotation import Rotation

__all__ = ["AgentHandler", "JSONFormatter", "PlainFormatter", "SealedFileHandler", "SealingHandler", "file_or_stream"]


class SealedFileHandler(Sealing):
    """Seals records into a file.

    Args:
        name: The name of the log.
        filename: Path of the file, which is appended to.
        on_error: What becomes of a record that cannot be sealed: `report` says so on standard error, once for each
            reason, and how many in all at the end; `raise` raises in the program that logs. The default reports, but
            raises where this process can seal nothing at all: the log could not be opened by the first record, or
            this is a forked child and the log is still its parent's.
        rotate_size: Bytes above which a new file is begun.
        rotate_age: Seconds after which a new file is begun.
        keep: How many rotated files stay.
        keep_for: Seconds for which rotated files stay.
        compress: `gz` or `zst` for rotated files.
        options: What else `tallystick.open` takes: store, custody, durability, on_full, heartbeat, … With `delay=True`
            the first record opens the log.

    Raises:
        TallystickError: The log cannot be opened; see `tallystick.open`.
    """

    def __init__(
        self,
        name: str,
        filename: str | os.PathLike[str],
        *,
        on_error: OnError | None = None,
        rotate_size: int | None = None,
        rotate_age: float | None = None,
        keep: int | None = None,
        keep_for: float | None = None,
        compress: Literal["gz", "zst"] | None = None,
        **options: Any,
    ) -> None:
        if rotate_size is not None or rotate_age is not None:
            options["rotation"] = Rotation(
                size=rotate_size, age=rotate_age, keep=keep, keep_for=keep_for, compress=compress
            )
        elif (keep, keep_for, compress) != (None, None, None):
            raise ValueError("keep, keep_for and compress go with rotate_size or rotate_age")
        super().__init__(name, os.path.abspath(filename), on_error, options)


class SealingHandler(Sealing):
    """Seals records into a stream, such as the standard output of a container.

    Args:
        name: The name of the log.
        stream: A text stream; the default is standard error.
        on_error: As for SealedFileHandler.
        options: What else `tallystick.open` takes.

    Raises:
        TallystickError: The log cannot be opened; see `tallystick.open`.
    """

    def __init__(
        self, name: str, stream: TextIO | None = None, *, on_error: OnError | None = None, **options: Any
    ) -> None:
        super().__init__(name, _output(sys.stderr if stream is None else stream), on_error, options)


class AgentHandler(Sealing):
    """Sends records to an agent, which seals them: `tallystick agent`.

    Processes may share it: one that was forked connects by itself. A record is handed to the operating system in the
    call that logs it, as long as the agent keeps up; records that come faster than 1,000 in a second go together, some
    milliseconds later.

    Args:
        address: Where the agent listens: `unix:PATH`, or `tls:HOST:PORT`.
        on_error: What becomes of a record that cannot be sent: `report` (default) says so on standard error, once for
            each reason, and how many in all at the end; `raise` raises in the program that logs. It is `raise` where
            `on_full` is.
        on_full: What becomes of records while the agent takes none and `capacity` of them wait: `block` until it goes
            on, `drop` them, which is reported, or `raise`.
        options: What else `tallystick.connect` takes: capacity, state, tls_cert, tls_key, tls_ca.

    Raises:
        FormatError: That is no address of an agent that acknowledges.
    """

    def __init__(
        self, address: str, *, on_error: OnError | None = None, on_full: WhenFull = "block", **options: Any
    ) -> None:
        raises = on_error or ("raise" if on_full == "raise" else "report")
        super().__init__(address, None, raises, {"on_full": on_full, **options}, opening=_client)

    def flush(self, wait: float = 10.0) -> None:
        """Return when all records of before are acknowledged.

        Args:
            wait: Seconds to wait at most.

        Raises:
            SealError: They are not acknowledged by then, or some were lost. At the end of the process, when handlers
                are closed, that is reported instead.
        """
        super().flush()
        client: Client = self._log  # type: ignore[assignment]
        if not client.is_leaving:
            client.flush(wait)

    def _notice(self, kind: str, text: str) -> None:
        # Only a log itself can write notices, so these are records.
        said = {"name": "tallystick", "levelno": logging.WARNING, "levelname": "WARNING", "msg": f"{kind}: {text}"}
        self._write(logging.Handler.format(self, logging.makeLogRecord(said)))

    def _write(self, text: str | bytes) -> None:
        self._log.write(one_line(text) if isinstance(text, str) else text)  # the client splits what is too long


def _client(address: str, output: None, **options: Any) -> Client:
    return Client(address, **options)


def file_or_stream(
    name: str,
    filename: str | os.PathLike[str] | None,
    stream: TextIO | None,
    on_error: OnError | None,
    options: dict[str, Any],
) -> Sealing:
    """Return a handler for a file, or for a stream if there is none, as loggers other than `logging` use it."""
    if filename is None:
        return SealingHandler(name, stream, on_error=on_error, **options)
    if stream is not None:
        raise ValueError("lines go to a file or to a stream, not to both")
    return SealedFileHandler(name, filename, on_error=on_error, **options)


def _output(stream: TextIO) -> int | Callable[[bytes], object]:
    """Return what takes the bytes of a stream: its descriptor if nothing stands in between, else a function."""
    buffer: Any = getattr(stream, "buffer", None)
    if isinstance(getattr(buffer, "raw", buffer), io.FileIO):
        stream.flush()
        return stream.fileno()

    def write_bytes(lines: bytes) -> None:
        stream.flush()
        buffer.write(lines)
        buffer.flush()

    def write_text(lines: bytes) -> None:
        stream.write(lines.decode("utf-8", "surrogateescape"))
        stream.flush()

    return write_text if buffer is None else write_bytes

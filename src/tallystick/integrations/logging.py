"""Handlers for the standard library's `logging`: each record becomes a sealed line, in the handler's own `emit`.

>>> import tallystick, tempfile
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

import atexit
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import rfc8785

from tallystick.errors import TallystickError
from tallystick.integrations.early import PENDING
from tallystick.log import open_log
from tallystick.rotation import Rotation

__all__ = ["JSONFormatter", "PlainFormatter", "SealedFileHandler", "SealingHandler"]

OnError = Literal["report", "raise"]

_DEEPEST = 32  # levels of a field's value
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_EXACT = 2**53 - 1  # I-JSON, RFC 7493: whole numbers that every reader reads alike


class PlainFormatter(logging.Formatter):
    """A record as text, its time in UTC; the log writes line ends inside it as `\\n` and `\\r`."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, fmt: str = "%(asctime)s %(levelname)s %(name)s %(message)s", **options: Any) -> None:
        """Take a format as `logging.Formatter` does."""
        super().__init__(fmt, **options)


class JSONFormatter(PlainFormatter):
    """A record as one JSON object in canonical form (RFC 8785), so that a carrier may write it anew.

    Members are `time`, `level`, `logger`, `message`, `exception` and `stack` where there are such, and the extra
    fields. What JSON cannot hold becomes text; extra fields of these names, and `tally` and `tallystick`, get a `_`
    behind them.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        fields: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        taken = {*fields, "exception", "stack", "tally", "tallystick"}
        for name, value in vars(record).items():
            if name not in _OWN:
                fields[f"{name}_" if name in taken else name] = value
        return rfc8785.dumps(_plain(fields, _DEEPEST)).decode()


class _Sealing(logging.Handler):
    """What the handlers share. Its lock is held in `emit`, so what comes in again comes from this thread."""

    def __init__(self, name: str, output: Any, on_error: OnError, options: Mapping[str, Any]) -> None:
        if on_error not in ("report", "raise"):
            raise ValueError(f"on_error is report or raise, not {on_error}")
        super().__init__()
        self._on_error = on_error
        self._told: str | None = None
        self._unsealed = 0
        self._emitting = self._draining = self._closed_once = False
        self._aside: list[logging.LogRecord] = []
        self._caused = 0
        self.formatter = PlainFormatter()
        self._log = open_log(name, output=output, **{"on_trouble": self._tell, **options})
        _register()

    def emit(self, record: logging.LogRecord) -> None:
        """Seal a record as one line.

        Raises:
            SealError: It could not be sealed, and errors are to be raised.
        """
        if self._emitting:
            # A key store's client may log while we seal: once around is enough.
            if self._draining:
                self._caused += 1
            else:
                self._aside.append(record)
            return
        self._emitting = True
        try:
            if PENDING:
                self._take_early(record)
            self._seal(record)
            if self._aside:
                self._drain()
        finally:
            self._emitting = self._draining = False

    def flush(self) -> None:
        """Seal what was logged early and waits; lines themselves wait for nothing."""
        self.acquire()
        try:
            if PENDING and not self._emitting and not self._closed_once:
                self._take_early(None)
        finally:
            self.release()

    def close(self) -> None:
        """Close the chain."""
        self.flush()
        self._closed_once = True
        super().close()
        try:
            self._log.close()
        except TallystickError as error:
            self._failed(error)
        finally:
            if self._unsealed:
                self._tell(f"{self._unsealed} records were not sealed in all")
                self._unsealed = 0

    def _seal(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            # Arguments that do not fit must not keep a record out of the log.
            text = f"{record.levelname} {record.name} {record.msg!r} {record.args!r} (not formatted: {error!r})"
        self._write(text)

    def _write(self, text: str) -> None:
        try:
            self._log.write(text)
        except TallystickError as error:
            self._unsealed += 1
            self._failed(error)

    def _take_early(self, current: logging.LogRecord | None) -> None:
        """Seal, behind a line that says so, what was logged before there was a handler; once and in order."""
        for early in list(PENDING):
            records = [each for each in early.hand_over() if each is not current and each.levelno >= self.level]
            if records or early.dropped:
                self._write(f"tallystick: {early.told(len(records))}")
            for record in records:
                self._seal(record)

    def _drain(self) -> None:
        self._draining = True
        records, self._aside = self._aside, []
        for record in records:
            self._seal(record)
        if self._caused:
            caused, self._caused = self._caused, 0
            self._write(f"tallystick: {caused} records were dropped that sealing itself had caused")

    def _failed(self, error: TallystickError) -> None:
        if self._on_error == "raise":
            raise error
        self._tell(str(error))

    def _tell(self, message: str) -> None:
        """Say it once, on standard error, which may be gone."""
        if message != self._told and sys.stderr is not None:
            self._told = message
            try:
                sys.stderr.write(f"tallystick: {message}\n")
            except (OSError, ValueError):
                return


class SealedFileHandler(_Sealing):
    """Seals records into a file.

    Args:
        name: The name of the log.
        filename: Path of the file, which is appended to.
        on_error: What becomes of a record that cannot be sealed: `report` says so on standard error, once for each
            reason, and how many in all at the end; `raise` raises in the program that logs.
        rotate_size: Bytes above which a new file is begun.
        rotate_age: Seconds after which a new file is begun.
        keep: How many rotated files stay.
        compress: `gz` or `zst` for rotated files.
        options: What else `tallystick.open` takes: store, custody, durability, on_full, heartbeat, …

    Raises:
        TallystickError: The log cannot be opened; see `tallystick.open`.
    """

    def __init__(
        self,
        name: str,
        filename: str | os.PathLike[str],
        *,
        on_error: OnError = "report",
        rotate_size: int | None = None,
        rotate_age: float | None = None,
        keep: int | None = None,
        compress: Literal["gz", "zst"] | None = None,
        **options: Any,
    ) -> None:
        if rotate_size is not None or rotate_age is not None:
            options["rotation"] = Rotation(size=rotate_size, age=rotate_age, keep=keep, compress=compress)
        elif keep is not None or compress is not None:
            raise ValueError("keep and compress go with rotate_size or rotate_age")
        super().__init__(name, os.path.abspath(filename), on_error, options)


class SealingHandler(_Sealing):
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
        self, name: str, stream: TextIO | None = None, *, on_error: OnError = "report", **options: Any
    ) -> None:
        target = sys.stderr if stream is None else stream

        def write(lines: bytes) -> None:
            target.write(lines.decode("utf-8", "surrogateescape"))
            target.flush()

        super().__init__(name, write, on_error, options)


def _plain(value: Any, depth: int) -> Any:
    """Return what JSON can hold of a value (I-JSON, RFC 7493); what it cannot is text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_EXACT <= value <= _EXACT else str(int(value))
    if isinstance(value, float):
        return float(value) if value - value == 0 else str(float(value))
    if isinstance(value, Mapping) and depth:
        named: dict[str, Any] = {}
        for name, each in value.items():
            text = _text(name)
            while text in named:
                text += "_"
            named[text] = _plain(each, depth - 1)
        return named
    if isinstance(value, list | tuple) and depth:
        return [_plain(each, depth - 1) for each in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception as error:
        text = f"(no text: {type(error).__name__})"
    return text.encode("utf-8", "backslashreplace").decode()


_registered = False


def _register() -> None:
    """See to it that handlers are flushed and closed before logs are: what ends first was registered last."""
    global _registered
    if not _registered:
        _registered = True
        atexit.register(logging.shutdown)

"""structlog without `logging` in between: its last processor's text becomes a sealed line.

>>> import structlog, tallystick, tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("audit", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/audit.key")
...     factory = SealingLoggerFactory("audit", f"{d}/audit.log", store=f"file:{d}/s")
...     log = structlog.wrap_logger(factory(), processors=[structlog.processors.add_log_level, render_canonical])
...     log.info("login", user=7)
...     factory.close()
...     with open(f"{d}/audit.log") as lines:
...         [line[:44] for line in lines][1]
'{"event":"login","level":"info","user":7,"ta'

With structlog's `logging` integration use the handlers of `tallystick.integrations.logging`.
"""

import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

from tallystick.integrations.formatters import canonical
from tallystick.integrations.logging import AgentHandler, file_or_stream
from tallystick.integrations.sealing import OnError, Sealing

__all__ = ["AgentLoggerFactory", "SealingLogger", "SealingLoggerFactory", "render_canonical"]


class SealingLogger:
    """What structlog writes to. Made by `SealingLoggerFactory`."""

    def __init__(self, sealing: Sealing, name: str | None) -> None:
        """Take where lines go, and the name that structlog's `add_logger_name` finds."""
        self._sealing, self.name = sealing, name

    def msg(self, message: str | bytes) -> None:
        """Seal one record.

        Raises:
            SealError: It could not be sealed, and errors are to be raised.
        """
        self._sealing.take(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class SealingLoggerFactory:
    """A structlog logger factory that seals: `structlog.configure(logger_factory=SealingLoggerFactory(…))`.

    Args:
        name: The name of the log.
        filename: Path of the file, which is appended to; None for a stream.
        stream: A text stream; the default is standard error.
        on_error: As for `tallystick.integrations.logging.SealedFileHandler`.
        options: What else that handler takes for a file, or `tallystick.open` for a stream.

    Raises:
        TallystickError: The log cannot be opened; see `tallystick.open`.
    """

    def __init__(
        self,
        name: str,
        filename: str | os.PathLike[str] | None = None,
        *,
        stream: TextIO | None = None,
        on_error: OnError | None = None,
        **options: Any,
    ) -> None:
        self.handler = file_or_stream(name, filename, stream, on_error, options)

    def __call__(self, *args: Any) -> SealingLogger:
        """Return a logger; its name is the first argument of `structlog.get_logger`."""
        return SealingLogger(self.handler, args[0] if args and isinstance(args[0], str) else None)

    def close(self) -> None:
        """Close the chain; the end of the interpreter does that, too."""
        self.handler.close()


class AgentLoggerFactory(SealingLoggerFactory):
    """The same by an agent: `structlog.configure(logger_factory=AgentLoggerFactory("unix:…"))`.

    Args:
        address: Where the agent listens.
        options: What else `tallystick.integrations.logging.AgentHandler` takes.

    Raises:
        FormatError: That is no address of an agent that acknowledges.
    """

    def __init__(self, address: str, **options: Any) -> None:
        self.handler: Sealing = AgentHandler(address, **options)


def render_canonical(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> str:
    """Write an event as one JSON object in canonical form (RFC 8785); a processor, and the last one.

    An `exc_info` that no processor before has formatted becomes the member `exception`, a true `stack_info` `stack`.
    """
    fields = dict(event_dict)
    if isinstance(fields.get("exc_info"), bool | tuple | BaseException):
        raised = _raised(fields.pop("exc_info"))
        if raised is not None:
            fields.setdefault("exception", "".join(traceback.format_exception(raised)).rstrip("\n"))
    if fields.get("stack_info") is True:
        del fields["stack_info"]
        fields.setdefault("stack", "".join(traceback.format_stack()).rstrip("\n"))
    return canonical(fields)


def _raised(exc_info: bool | tuple[Any, ...] | BaseException) -> BaseException | None:
    """Return the exception that structlog's `exc_info` means: itself, the one of a triple, or for True the current."""
    if exc_info is True:
        exc_info = sys.exc_info()
    found = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) == 3 else exc_info
    return found if isinstance(found, BaseException) else None

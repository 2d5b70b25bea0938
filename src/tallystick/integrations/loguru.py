"""A sink for loguru: what loguru formats becomes a sealed line.

>>> import tallystick, tempfile
>>> from loguru import logger
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("audit", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/audit.key")
...     number = logger.add(SealingSink("audit", f"{d}/audit.log", store=f"file:{d}/s"), format="{level} {message}")
...     logger.bind(user=7).warning("login")
...     logger.remove(number)
...     with open(f"{d}/audit.log") as lines:
...         [line[:13] for line in lines][1]
'WARNING login'
"""

import atexit
import os
import traceback
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal, TextIO

from loguru import logger

from tallystick.integrations.formatters import canonical, shown
from tallystick.integrations.logging import AgentHandler, file_or_stream
from tallystick.integrations.sealing import OnError, Sealing

if TYPE_CHECKING:
    from loguru import Message

__all__ = ["AgentSink", "SealingSink"]


class SealingSink:
    """A sink for `loguru.logger.add`, alone or with `enqueue` and `serialize`.

    Args:
        name: The name of the log.
        filename: Path of the file, which is appended to; None for a stream.
        stream: A text stream; the default is standard error.
        form: `text` seals what loguru formats; `json` seals one object in canonical form (RFC 8785) with `time`,
            `level`, `logger`, `message`, `exception` where there is one, and what was bound.
        on_error: As for `tallystick.integrations.logging.SealedFileHandler`; `raise` reaches the program only if the
            sink is added with `catch=False`.
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
        form: Literal["text", "json"] = "text",
        on_error: OnError | None = None,
        **options: Any,
    ) -> None:
        self._begin(form, lambda: file_or_stream(name, filename, stream, on_error, options))

    def _begin(self, form: str, handler: Callable[[], Sealing]) -> None:
        if form not in ("text", "json"):
            raise ValueError(f"form is text or json, not {form}")
        self._form = form
        self.handler = handler()
        # What waits in loguru's queue is written before the handler is closed.
        atexit.register(self._complete)

    def write(self, message: "Message") -> None:
        """Seal one record; loguru calls this."""
        self.handler.take(_object(message) if self._form == "json" else str(message))

    def stop(self) -> None:
        """Close the chain; loguru calls this when the sink is removed."""
        atexit.unregister(self._complete)
        self.handler.close()

    def _complete(self) -> None:
        logger.complete()


class AgentSink(SealingSink):
    """The same by an agent: `loguru.logger.add(AgentSink("unix:…"))`.

    Args:
        address: Where the agent listens.
        form: As for SealingSink.
        options: What else `tallystick.integrations.logging.AgentHandler` takes.

    Raises:
        FormatError: That is no address of an agent that acknowledges.
    """

    def __init__(self, address: str, *, form: Literal["text", "json"] = "text", **options: Any) -> None:
        self._begin(form, lambda: AgentHandler(address, **options))


def _object(message: "Message") -> str:
    record = message.record
    time = record["time"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields = {"time": time, "level": record["level"].name, "logger": record["name"], "message": record["message"]}
    if (raised := record["exception"]) is not None:
        # What came through a queue has no traceback, and no value if that could not be pickled.
        lines = traceback.format_exception(raised.type, raised.value, raised.traceback) if raised.value else []
        fields["exception"] = "".join(lines).rstrip("\n") or shown(raised.type)
    return canonical(fields, record["extra"].items(), reserved=("exception",))

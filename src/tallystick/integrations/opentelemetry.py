"""OpenTelemetry: a processor of log records whose bodies leave as sealed lines.

    provider.add_log_record_processor(SealingProcessor("payments", BatchLogRecordProcessor(exporter)))

What is behind it (a processor, which has an exporter) gets each record with its sealed line as body, and records of
their own for what the log says itself: `open`, checkpoints, notices. A verifier needs them all: the bodies, one a
line, are the log. Attributes go on as they are; only what is in the body is sealed.
"""

import threading
from collections import deque
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime
from typing import Any, Literal

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID, format_span_id, format_trace_id

from tallystick.errors import SealError
from tallystick.integrations.formatters import JSONFormatter, canonical, one_line
from tallystick.integrations.logging import AgentHandler
from tallystick.integrations.sealing import OnError, Sealing

__all__ = ["AgentProcessor", "SealingProcessor"]

_SCOPE = InstrumentationScope("tallystick")


class SealingProcessor(LogRecordProcessor):
    """Seals log records and hands them on to another processor.

    Args:
        name: The name of the log.
        processor: Gets the records with their sealed lines; it must not lose any, or the verifier misses them.
        seals: `record` seals time, severity, scope, body, attributes, event name and the ids of trace and span as one
            object in canonical form (RFC 8785); `body` seals the body alone.
        on_error: What becomes of a record that cannot be sealed: it goes no further, and `report` says so on standard
            error once for each reason, `raise` raises in the program that logs.
        options: What else `tallystick.open` takes: store, custody, on_full, …

    Raises:
        TallystickError: The log cannot be opened; see `tallystick.open`.
    """

    def __init__(
        self,
        name: str,
        processor: LogRecordProcessor,
        *,
        seals: Literal["record", "body"] = "record",
        on_error: OnError | None = None,
        **options: Any,
    ) -> None:
        _check(seals)
        self._processor = processor
        self._sealing = _Records(name, processor, seals, on_error, options)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Seal a record and hand it on.

        Raises:
            SealError: It could not be sealed, and errors are to be raised.
        """
        self._sealing.take(log_record)

    def shutdown(self) -> None:
        """Close the chain, hand on what closes it, and shut the processor down that gets it."""
        try:
            self._sealing.close()
        finally:
            self._processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Seal records that wait, and flush the processor after it."""
        self._sealing.flush()
        return self._processor.force_flush(timeout_millis)


class _Records(Sealing):
    """Seals records, and takes the lines that the log makes of them."""

    def __init__(
        self, name: str, processor: LogRecordProcessor, seals: str, on_error: OnError | None, options: Mapping[str, Any]
    ) -> None:
        self._processor, self._seals = processor, seals
        self._sealed: tuple[ReadWriteLogRecord, bytes] | None = None
        self._resource: Resource | None = None
        self._leaving: deque[ReadWriteLogRecord] = deque()
        self._writer = 0
        super().__init__(name, self._hand_on, on_error, options)
        self.formatter = JSONFormatter()

    def _seal(self, item: Any) -> None:
        if not isinstance(item, ReadWriteLogRecord):
            super()._seal(item)
            return
        # Written as the log would write it, so that its line is known again among those that come with it.
        text = one_line(_text(item, self._seals)).encode("utf-8", "backslashreplace")
        text = text.replace(b"\r", b"\\r").replace(b"\n", b"\\n")
        self._resource = item.resource
        self._sealed, self._writer = (item, text), threading.get_ident()
        try:
            self._write(text)
        finally:
            self._sealed = None

    def _hand_on(self, sealed: bytes) -> None:
        """Take sealed lines; what is not handed on stays, and the log offers the same lines again."""
        if not self._leaving:
            self._leaving.extend(self._as_records(sealed))
        while self._leaving:
            self._processor.on_emit(self._leaving[0])
            self._leaving.popleft()

    def _as_records(self, sealed: bytes) -> list[ReadWriteLogRecord]:
        made = []
        mine = self._sealed if threading.get_ident() == self._writer else None
        for line in sealed.removesuffix(b"\n").split(b"\n"):
            body = line.decode("utf-8", "backslashreplace")
            if mine and _is_line_of(line, mine[1]):
                said = copy(mine[0].log_record)
                said.body = body
                made.append(_with(mine[0], said))
                mine = None
            else:
                said = LogRecord(timestamp=_now(), severity_text="INFO", severity_number=SeverityNumber.INFO, body=body)
                made.append(ReadWriteLogRecord(said, self._resource or Resource.create({}), _SCOPE))
        return made


class AgentProcessor(LogRecordProcessor):
    """Sends log records to an agent, which seals them; they go to other processors as they are.

    Args:
        address: Where the agent listens: `unix:PATH`, or `tls:HOST:PORT`.
        seals: As for SealingProcessor.
        options: What else `tallystick.integrations.logging.AgentHandler` takes.

    Raises:
        FormatError: That is no address of an agent that acknowledges.
    """

    def __init__(self, address: str, *, seals: Literal["record", "body"] = "record", **options: Any) -> None:
        _check(seals)
        self.handler = _Sending(address, seals, options)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Send a record.

        Raises:
            OutputError: There is no room for it, and errors are to be raised.
        """
        self.handler.take(log_record)

    def shutdown(self) -> None:
        """Send the pending records, and end."""
        self.handler.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return when all records of before are acknowledged; False if they are not by then, or some were lost."""
        try:
            self.handler.flush(timeout_millis / 1000)
        except SealError:
            return False
        return True


class _Sending(AgentHandler):
    """Sends records as text."""

    def __init__(self, address: str, seals: str, options: Mapping[str, Any]) -> None:
        self._seals = seals
        super().__init__(address, **options)
        self.formatter = JSONFormatter()

    def _seal(self, item: Any) -> None:
        if isinstance(item, ReadWriteLogRecord):
            self._write(_text(item, self._seals))
        else:
            super()._seal(item)


def _check(seals: str) -> None:
    if seals not in ("record", "body"):
        raise ValueError(f"what is sealed is record or body, not {seals}")


def _text(record: ReadWriteLogRecord, seals: str) -> str:
    said = record.log_record
    if seals == "body":
        return said.body if isinstance(said.body, str) else canonical({"body": said.body})
    fields = {
        "time": _time(said.timestamp or said.observed_timestamp),
        "severity": said.severity_text or (said.severity_number.name if said.severity_number else None),
        "scope": record.instrumentation_scope and record.instrumentation_scope.name,
        "body": said.body,
        "attributes": dict(said.attributes or {}),
        "event": said.event_name,
        "trace": format_trace_id(said.trace_id) if said.trace_id not in (None, INVALID_TRACE_ID) else None,
        "span": format_span_id(said.span_id) if said.span_id not in (None, INVALID_SPAN_ID) else None,
    }
    return canonical({name: value for name, value in fields.items() if value not in (None, {})})


def _with(record: ReadWriteLogRecord, said: LogRecord) -> ReadWriteLogRecord:
    changed = copy(record)
    changed.log_record = said
    return changed


def _is_line_of(line: bytes, m: bytes) -> bool:
    """Is this the sealed line of an entry (spec section 4)?"""
    if m[:1] == b"{" and m[-1:] == b"}" and b'"tally"' not in m:
        return line.startswith((m[:-1] + b',"tally":"', m[:-1] + b'"tally":"'))
    return line.startswith(m + b" tally=" if m else b"tally=")


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1e9)


def _time(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    time = datetime.fromtimestamp(nanoseconds // 1_000_000 / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

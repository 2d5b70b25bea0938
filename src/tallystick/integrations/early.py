"""Records that are logged before a log can be opened: kept in memory, and sealed first when it can.

>>> keeping = keep_early("example.early", capacity=100)
>>> logging.getLogger("example.early").warning("started")
>>> [record.getMessage() for record in keeping.hand_over()]
['started']
"""

import atexit
import logging
import sys
import time
from datetime import UTC, datetime

__all__ = ["PENDING", "EarlyRecords", "keep_early"]


class EarlyRecords(logging.Handler):
    """Keeps records until a sealing handler takes them over; those that nobody took go to standard error at the end."""

    def __init__(self, capacity: int) -> None:
        """Take how many records are kept at most; more are counted."""
        super().__init__()
        self._capacity = capacity
        self._records: list[logging.LogRecord] = []
        self._over = False
        self.since = time.time()
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        if self._over:
            return
        if len(self._records) < self._capacity:
            self._records.append(record)
        else:
            self.dropped += 1

    def hand_over(self) -> list[logging.LogRecord]:
        """Return the records, the oldest first, and keep no more."""
        self.acquire()
        try:
            self._over = True
            records, self._records = self._records, []
            if self in PENDING:
                PENDING.remove(self)
            return records
        finally:
            super().release()

    def told(self, count: int) -> str:
        """Return what the log says of so many records."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        dropped = f", and {self.dropped} more were dropped" if self.dropped else ""
        return f"{count} records follow that were kept in memory since {since}, before sealing began{dropped}"


PENDING: list[EarlyRecords] = []
"""Those that wait for a sealing handler."""


def keep_early(logger: str | None, *, capacity: int) -> EarlyRecords:
    """See `tallystick.bootstrap`."""
    early = EarlyRecords(capacity)
    logging.getLogger(logger).addHandler(early)
    if not PENDING:
        atexit.unregister(_give_away)
        atexit.register(_give_away)
    PENDING.append(early)
    return early


def _give_away() -> None:
    for early in list(PENDING):
        records = early.hand_over()
        if (records or early.dropped) and sys.stderr is not None:
            print(f"tallystick: {len(records) + early.dropped} records were never sealed; they follow", file=sys.stderr)
            for record in records:
                try:
                    text = record.getMessage()
                except Exception:
                    text = f"{record.msg!r} {record.args!r}"
                print(f"{record.levelname} {record.name} {text!r}", file=sys.stderr)

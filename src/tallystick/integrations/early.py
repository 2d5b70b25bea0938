"""Records that are logged before a log can be opened: held in memory, and sealed first when it can.

>>> keeping = keep_early("example.early", capacity=100)
>>> logging.getLogger("example.early").warning("started")
>>> keeping.keep("read the configuration")
>>> [record.getMessage() for record in keeping.hand_over()]
['started', 'read the configuration']
"""

import logging
import sys
import time
from datetime import UTC, datetime

from tallystick.integrations.formatters import shown
from tallystick.writer import lifecycle

__all__ = ["PENDING", "EarlyRecords", "keep_early"]


class EarlyRecords(logging.Handler):
    """Holds records until a sealing handler takes them; those that none took go to standard error at the end."""

    def __init__(self, capacity: int) -> None:
        """Take how many records are held at most; more are counted."""
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

    def keep(self, text: str, *, level: int = logging.INFO, name: str = "early") -> None:
        """Keep a text that does not come through `logging`, as a record of this level and logger's name."""
        self.handle(logging.LogRecord(name, level, "", 0, text, None, None))

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
            self.release()

    def take_back(self, records: list[logging.LogRecord]) -> None:
        """Keep records that were handed over and could not be sealed; the next handler that can seals them."""
        self.acquire()
        try:
            self._records[:0] = records
            self._over = False
            if self not in PENDING:
                PENDING.append(self)
        finally:
            self.release()

    def report(self, count: int) -> str:
        """Return what the log says of so many records."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        follow = "1 record follows that was" if count == 1 else f"{count} records follow that were"
        dropped = f", and {self.dropped} more were dropped" if self.dropped else ""
        return f"{follow} kept in memory since {since}, before sealing began{dropped}"

    def begin_in_child(self) -> None:
        """Keep nothing of what came before a fork: that is the parent's to seal."""
        self._records, self.dropped, self.since = [], 0, time.time()


PENDING: list[EarlyRecords] = []
"""Those that wait for a sealing handler."""


def keep_early(logger: str | None, *, capacity: int) -> EarlyRecords:
    """See `tallystick.bootstrap`."""
    early = EarlyRecords(capacity)
    logging.getLogger(logger).addHandler(early)
    # What ends first was registered last: handlers take what is theirs, then the rest is given away.
    lifecycle.before_exit(_give_away)
    lifecycle.before_exit(logging.shutdown)
    lifecycle.close_on_sigterm()
    lifecycle.before_end(_before_end)
    PENDING.append(early)
    return early


def _before_end() -> None:
    """Before SIGTERM ends the process: seal records that wait where there is a handler, and give the rest away."""
    if PENDING:
        logging.shutdown()
    _give_away()


def _give_away() -> None:
    for early in list(PENDING):
        records = early.hand_over()
        if (records or early.dropped) and sys.stderr is not None:
            were = "1 record was" if len(records) == 1 else f"{len(records)} records were"
            more = f", and {early.dropped} more were dropped" if early.dropped else ""
            print(f"tallystick: {were} NOT sealed{more}; what is left of them follows", file=sys.stderr)
            for record in records:
                try:
                    text = record.getMessage()
                except Exception:
                    text = f"{shown(record.msg)} {shown(record.args)}"
                print(f"{record.levelname} {record.name} {text!r}", file=sys.stderr)


def _begin_in_child() -> None:
    for early in PENDING:
        early.begin_in_child()


lifecycle.in_child(_begin_in_child)

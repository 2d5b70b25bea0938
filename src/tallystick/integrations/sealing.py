"""The way of all loggers into a log: one lock, trouble reported once, and no loop.

The lock of a handler is held while it seals. A key store's client may log meanwhile, and its records may come to this
handler or to another one of its kind: from a thread that is sealing already, or from the background thread of a log,
which must not wait for the lock, because the thread that holds it may be waiting for the head. No thread waits for a
handler's lock while it seals, or two handlers could wait for each other. Such records are put aside and sealed after
the handler's next record, once around.
"""

import logging
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import Any, Literal

from tallystick import keystore
from tallystick.errors import SealError, TallystickError, explain
from tallystick.integrations.early import PENDING
from tallystick.integrations.formatters import PlainFormatter, as_it_came, one_line, shown
from tallystick.integrations.locked import Locked
from tallystick.integrations.reporter import Reporter
from tallystick.lines import MAX_ENTRY, Splitter
from tallystick.log import Log, open_log
from tallystick.writer import lifecycle

__all__ = ["OnError", "Sealing"]

OnError = Literal["report", "raise"]

_TEXT = (str, bytes)
AGAIN_OPEN = 1.0  # seconds after which a log is tried again that could not be opened
_SHORT = MAX_ENTRY // 6  # characters that make no more bytes than an entry may have: a surrogate makes six
_MOST_ASIDE = 1000  # records that wait because sealing itself caused them

# Numbers of threads. What arises in one that drains, because it seals records that were put aside, is counted only.
_SEALING: set[int] = set()
_DRAINING: set[int] = set()


class Sealing(Locked):
    """Seals one thing after another: records of `logging`, or what a subclass knows how to `format`."""

    def __init__(
        self,
        name: str,
        output: Any,
        on_error: OnError | None,
        options: Mapping[str, Any],
        opening: Callable[..., Any] = open_log,
    ) -> None:
        """Open the log, or with `delay` see to it that the first record does; other options are `tallystick.open`'s.

        Args:
            name: Name of the log.
            output: Where its lines go.
            on_error: What becomes of trouble.
            options: What else `opening` takes.
            opening: `open_log`, or what makes something like a log in its place.

        Raises:
            TallystickError: The log cannot be opened. Nothing is left of the handler then.
        """
        if on_error not in ("report", "raise", None):
            raise ValueError(f"on_error is report or raise, not {on_error}")
        self._on_error = on_error
        self._report = Reporter().report
        self._unsealed = self._caused = 0
        self._aside: deque[Any] = deque()
        self._taken: weakref.WeakSet[logging.LogRecord] | None = None
        settings: dict[str, Any] = {"on_trouble": self._report, **options}
        self._is_delayed, self._is_over = settings.pop("delay", False), False
        self._failed: tuple[float, TallystickError] | None = None
        if self._is_delayed:
            settings["store"] = _where_it_is(settings.get("store"))
        self._opening = partial(opening, name, output=output, **settings)
        self._log: Log
        if not self._is_delayed:
            self._log = self._opening()
        # Only now: `logging` closes at the end of the process all handlers that it knows.
        super().__init__()
        self.formatter = PlainFormatter()
        _OPEN.add(self)
        _register()
        lifecycle.close_at_end()  # the first record may come in a thread that must not handle signals

    def handle(self, record: logging.LogRecord) -> bool:
        """Seal a record if no filter objects, as `logging.Handler.handle` does; the background thread never waits."""
        passed: Any = self.filter(record)
        if passed:
            self.take(record if passed is True else passed)
        return passed  # type: ignore[no-any-return]

    def take(self, item: Any) -> None:
        """Seal a thing, whichever thread it comes from.

        Raises:
            SealError: It could not be sealed, and errors are to be raised.
        """
        me = get_ident()
        if me in _SEALING or me in lifecycle.BACKGROUND or not (self.hold(0.0) or self.waited()):
            self._put_aside(item)
            return
        try:
            self._emit(item, me)
        finally:
            self.release()

    def let_go(self) -> None:
        """Seal what was put aside while the process forked, and release the lock."""
        try:
            if self._aside:
                self._settle()
        finally:
            self.release()

    def emit(self, record: Any) -> None:
        """Seal a record as one line.

        Raises:
            SealError: It could not be sealed, and errors are to be raised.
        """
        me = get_ident()
        if me in _SEALING:
            self._put_aside(record)
        else:
            self._emit(record, me)

    def _emit(self, record: Any, me: int) -> None:
        _SEALING.add(me)
        try:
            try:
                if self._is_delayed:
                    self._open()
                if PENDING:
                    self._take_early(record)
                if self._taken is None or not self._was_taken(record):
                    self._seal(record)
            except Exception as error:
                self._count(error)
                if self._raises:
                    raise
            if (self._aside or self._caused) and not self._is_delayed:
                self._drain()
        finally:
            _SEALING.discard(me)

    def _open(self) -> None:
        """Open the log that the first record was to open."""
        if self._is_over:
            raise SealError("the handler is closed", hint="make another one")
        if self._failed and time.monotonic() < self._failed[0]:
            raise self._failed[1].with_traceback(None)
        try:
            self._log = self._opening()
        except TallystickError as error:
            self._failed = (time.monotonic() + AGAIN_OPEN, error)
            raise
        self._is_delayed, self._failed = False, None

    @property
    def _raises(self) -> bool:
        """Does the program get the error of a record? Where nothing at all can be sealed, unless it asked not to."""
        if self._on_error is not None:
            return self._on_error == "raise"
        return self._is_delayed or self._log.is_inherited

    def flush(self) -> None:
        """Seal early records that wait; lines themselves wait for nothing."""
        self.acquire()
        try:
            self._settle()
        finally:
            self.release()

    def give_up(self) -> None:
        """Let nobody wait for room any more."""
        if not self._is_delayed:
            self._log.give_up()

    def close(self) -> None:
        """Close the chain; this waits for no room, whatever `on_full` says.

        Raises:
            TallystickError: It could not be closed, and errors are to be raised.
        """
        self.give_up()
        self.acquire()
        try:
            self._settle()
            self._is_over = True
            closing = (me := get_ident()) not in _SEALING
            _SEALING.add(me)  # records of the key store's client come too late from here on
            try:
                if not self._is_delayed:
                    self._log.close()
            except TallystickError as error:
                self._report(explain(error))
                if self._on_error == "raise":
                    raise
            finally:
                if closing:
                    _SEALING.discard(me)
                super().close()
                self._say_what_is_left()
        finally:
            self.release()

    def _settle(self) -> None:
        """Seal records that wait, unless this thread is sealing already or the log is closed."""
        me = get_ident()
        if me in _SEALING or (self._is_over if self._is_delayed else self._log.closed):
            return
        _SEALING.add(me)
        try:
            if self._is_delayed:
                if not PENDING:
                    return
                self._open()
            if PENDING:
                self._take_early(None)
            if self._aside or self._caused:
                self._drain()
        except TallystickError as error:  # early records go on waiting
            self._report(explain(error))
        finally:
            _SEALING.discard(me)

    def _say_what_is_left(self) -> None:
        self._unsealed += len(self._aside) + self._caused
        self._aside.clear()
        self._caused = 0
        if self._unsealed:
            self._report(f"{self._unsealed} record{'s were' * (self._unsealed > 1) or ' was'} not sealed in all")
            self._unsealed = 0

    def _seal(self, item: Any) -> None:
        leaving: BaseException | None = None
        try:
            text: Any = item if isinstance(item, _TEXT) else self.format(item)
        except BaseException as error:
            # Arguments that do not fit must not keep a record out of the log, and neither must one that leaves.
            text = as_it_came(item, error)
            leaving = None if isinstance(error, Exception) else error
        # Nearly every text is a line as it stands; `_write` sees to the others.
        if type(text) is str and len(text) < _SHORT and text.isprintable() and "\\" not in text:
            self._log.write(text)
        else:
            self._write(text)
        if leaving is not None:
            raise leaving

    def _write(self, text: str | bytes) -> None:
        """Seal one text as one line; one that is longer than an entry may be is split, and the log says so."""
        text = one_line(text) if isinstance(text, str) else text
        if len(text) <= _SHORT or not _is_split(self._log, text):
            self._log.write(text)

    def _notice(self, kind: str, text: str) -> None:
        """Have the log itself say something."""
        self._log.notice(kind, text)

    def _seal_quietly(self, item: Any) -> None:
        """Seal a record from before or beside the one that is sealed now; its trouble is not that one's."""
        try:
            self._seal(item)
        except Exception as error:
            self._count(error)

    def _take_early(self, current: Any) -> None:
        """Seal records from before there was a handler, after a line that says so; once and in order."""
        for early in list(PENDING):
            records = early.hand_over()
            wanted = [each for each in records if each is not current and each.levelno >= self.level]
            if wanted or early.dropped:
                try:
                    self._notice("early", early.report(len(wanted)))
                except Exception as error:
                    early.take_back(records)
                    self._report(_explained(error))
                    return
            # Another thread may be on its way here with one of them.
            if self._taken is None:
                self._taken = weakref.WeakSet()
            self._taken.update(each for each in records if each is not current)
            for record in wanted:
                self._seal_quietly(record)

    def _was_taken(self, item: Any) -> bool:
        if not self._taken:
            self._taken = None
            return False
        return isinstance(item, logging.LogRecord) and item in self._taken

    def _put_aside(self, item: Any) -> None:
        if len(self._aside) < _MOST_ASIDE and get_ident() not in _DRAINING:
            self._aside.append(item)
        else:
            self._caused += 1

    def _drain(self) -> None:
        """Seal records that were put aside so far; those that arise from that are only counted."""
        _DRAINING.add(me := get_ident())
        try:
            for _ in range(len(self._aside)):
                item = self._aside.popleft()
                if self._taken is None or not self._was_taken(item):
                    self._seal_quietly(item)
            if self._caused:
                which = "1 record was" if self._caused == 1 else f"{self._caused} records were"
                try:
                    self._notice("dropped", f"{which} dropped that sealing itself had caused")
                except Exception as error:
                    self._count(error)
                self._caused = 0  # records that this line has caused are not reported by another one
        finally:
            _DRAINING.discard(me)

    def begin_in_child(self) -> None:
        """Keep nothing of what was sealed or put aside before a fork: that is the parent's."""
        _SEALING.clear()
        _DRAINING.clear()
        self._aside.clear()
        self._caused = self._unsealed = 0

    def _count(self, error: Exception) -> None:
        self._unsealed += 1
        if not self._raises:
            self._report(_explained(error))


def _is_split(log: Log, text: str | bytes) -> bool:
    """Write a text that is longer than an entry may be in pieces; return False if it is not."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    if len(data) <= MAX_ENTRY:
        return False
    splitter = Splitter(log)
    splitter.feed(data.replace(b"\r", b"\\r").replace(b"\n", b"\\n"))
    splitter.finish()
    return True


def _where_it_is(url: str | None) -> str | None:
    """Return the URL of a key store that means the same from another directory."""
    store = keystore.connect(url)
    return store.url if isinstance(store, keystore.FileKeyStore) else url


def _explained(error: Exception) -> str:
    return shown(error, lambda _: explain(error))


_OPEN: "weakref.WeakSet[Sealing]" = weakref.WeakSet()
_registered = False


def _register() -> None:
    """See to it that handlers are flushed and closed before logs are: what ends first was registered last."""
    global _registered
    if not _registered:
        _registered = True
        lifecycle.before_exit(_leave)


def _begin_in_child() -> None:
    for each in list(_OPEN):
        each.begin_in_child()


def _leave() -> None:
    # A thread that waits for room has its handler's lock, for which `logging.shutdown` would wait for ever.
    for each in list(_OPEN):
        each.give_up()
    logging.shutdown()


lifecycle.in_child(_begin_in_child)

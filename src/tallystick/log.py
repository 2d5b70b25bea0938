"""A log that is being written: key store, sealer and sink, put together (spec sections 4 to 6).

>>> import tempfile, os
>>> with tempfile.TemporaryDirectory() as directory:
...     store, custody = f"file:{directory}/store", f"master-key:{directory}/master.key"
...     _ = create("payments", store=store, custody=custody, key_file=f"{directory}/payments.key")
...     with open_log("payments", output=f"{directory}/audit.log", store=store) as log:
...         log.write("user=7 action=login")
...     with open(f"{directory}/audit.log") as lines:
...         [" ".join(line.split()[:2]) for line in lines]
['tallystick/v1 open', 'user=7 action=login', 'tallystick/v1 checkpoint']
"""

import os
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal, Self

from tallystick import _core, courier, keystore, process
from tallystick._fork import KEYS_ON_THEIR_WAY
from tallystick.ceremony import create
from tallystick.errors import CustodyError, KeyStoreError, LeaseLostError, OutputError, SealError, TallystickError
from tallystick.notes import Dropped, WriterNote
from tallystick.opening import EarlyChain, fetch_early, open_chain, refuse_older_store, take_lease
from tallystick.rotation import Rotation
from tallystick.sinks import Sink, open_sink

__all__ = ["Durability", "Log", "OnFull", "create", "open_log"]

Durability = Literal["flush", "sync", "sync-each"]
OnFull = Literal["raise", "block", "drop", "stop"]

_HALF = 128  # epochs of a chain
_EARLY_AGAIN = 30.0  # seconds
_HEAD_AFTER = 0.4  # seconds for which lines gather before a head counts them; section 6 allows 1
_LOOK_AFTER = 0.005  # seconds of writing after which the output is looked at
_PASSING = (OutputError, KeyStoreError, CustodyError)  # what may be over the next time
_MEANWHILE = {"block": "waits", "drop": "drops lines until it goes on"}


class _GaveUpError(SealError):
    """Nobody waits for room any more."""


@dataclass(frozen=True, slots=True)
class _Settings:
    """What `open_log` was asked for; see there."""

    custody: str | None
    control: str
    epoch_lines: int
    epoch_age: float
    durability: Durability
    on_full: OnFull
    heartbeat: float | None
    on_trouble: Callable[[str], None]


class Log:
    """A log that is open for writing. Made by `open_log`; use it in a `with` block.

    It may be used from several threads and from signal handlers. A forked child's copy is dead: its keys are
    wiped at once, and writing to it raises SealError.
    """

    def __init__(self, lease: keystore.Lease, sink: Sink, settings: _Settings, tidied: Sequence[str] = ()) -> None:
        """Open the next chain of the log behind a lease; see `open_log` for the arguments."""
        self.name = lease.name
        self._lease, self._sink, self._output = lease, sink, sink.output
        self._asked = settings
        self._lock = threading.RLock()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()  # its put is safe in signal handlers
        self._uncounted = False
        self._heads_made = self._heads_stored = 0
        self._storing = threading.Lock()
        self._early: EarlyChain | None = None
        self._early_for, self._early_again = 0, 0.0
        self._early_trouble: str | None = None
        self._syncing = threading.RLock()
        self._writes = self._synced = 0
        self._epoch = (0, 0)
        self._epoch_began: float | None = None
        self._stated = time.monotonic()
        self._steps: deque[Callable[[], None]] = deque()
        self._stepping = self._at_ease = False
        self._looked, self._anew, self._turning = 0.0, False, False
        self._notices: deque[str] = deque()
        self._dropped = Dropped()
        self._trouble: str | None = None
        self._head_trouble: str | None = None
        self._gave_up = False
        self._broken: str | None = None
        self._closed = False
        self._note = WriterNote.begin(lease, sink, tidied)
        with KEYS_ON_THEIR_WAY:
            self._sealer = self._open_chain(partial(refuse_older_store, sink=sink))
            process.LOGS.add(self)
        self._write_note()
        self._keeper = threading.Thread(target=self._keep, name=f"tallystick {self.name}", daemon=True)
        self._keeper.start()

    @property
    def position(self) -> str:
        """The position of the next line, as `chain.epoch.index`."""
        with self._lock:
            return ".".join(map(str, self._sealer.position))

    @property
    def stopped(self) -> str | None:
        """Why the writer stopped for good, or None: `on_trouble` tells it, every write raises it."""
        return self._broken

    def write(self, record: str | bytes) -> None:
        """Seal one record and write its line.

        Args:
            record: Text, or bytes that are taken as they are. One line end behind it is dropped; line ends inside
                it are written as `\\n` and `\\r`, so nobody injects a line. Surrogates that stand for bytes
                become these bytes; where others are among them, all are written as `\\udc80`.

        Raises:
            SealError: The log is closed, was forked, or its line could not be written whole.
            KeyStoreError: The next chain could not be opened.
        """
        with self._lock:
            todo = self._sealer.write(record, self._output) if self._at_ease else _core.FIRST
            if not todo:
                return
            self._take(partial(self._write_one, record) if todo == _core.FIRST else self._after)
        if self._asked.durability == "sync-each":
            self._sync_each()

    def write_lines(self, data: bytes) -> int:
        """Seal the complete lines of some bytes, each as it stands but for one CR at its end.

        Args:
            data: Lines that end in LF, each of 2^24 bytes at most; what stands behind the last LF is left alone.

        Returns:
            How many bytes were sealed.

        Raises:
            SealError: As for `write`.
            KeyStoreError: As for `write`.
        """
        end, used = data.rfind(b"\n") + 1, 0

        def step() -> None:
            nonlocal used
            try:
                while used < end:
                    if not self._before(data.count(b"\n", used, end)):
                        return
                    used, _ = self._sealer.write_lines(data, used, self._output)
                    self._after()
            finally:
                self._note_epoch()

        if end:
            self._take(step)
            if self._asked.durability == "sync-each":
                self._sync_each()
        return end

    def checkpoint(self) -> None:
        """End the epoch with a checkpoint now, so that holders of the public key can check it."""
        self._take(self._write_checkpoint)

    def reopen(self) -> None:
        """Open the output file anew by its name before the next line, because somebody moved it.

        The writer notices that by itself as well. May be called by signal handlers.
        """
        self._anew, self._at_ease = True, False
        self._wake.put(None)

    def give_up(self) -> None:
        """Let nobody wait for room any more: whoever does gets SealError. May be called by signal handlers."""
        self._gave_up = True
        self._wake.put(None)

    def close(self) -> None:
        """Close the chain; returns when a head counts it. More than once does no harm.

        Raises:
            SealError: The last lines could not be written or made durable; what is there stays verifiable.
            KeyStoreError: The head could not be stored.
        """
        self._finish(ended=False)

    def end(self) -> None:
        """End the log for ever: no chain will follow. Its state is emptied first, so it can never be opened again.

        Raises:
            SealError: As for `close`; or it is closed already.
            KeyStoreError: As for `close`.
        """
        with self._lock:
            self._check_alive()
        self._finish(ended=True)

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the chain. What goes wrong then does not hide what went wrong in the block."""
        try:
            self.close()
        except TallystickError as problem:
            if error is None or isinstance(error, SystemExit):
                raise
            error.add_note(f"tallystick: {problem}")

    def _take(self, step: Callable[[], None]) -> None:
        """Take a step, whole: what a signal handler writes in the middle of one has its turn right after it."""
        with self._lock:
            self._steps.append(step)
            if self._stepping:
                return
            try:
                while self._steps:
                    self._stepping, self._at_ease = True, False
                    while self._steps:
                        self._check_alive()
                        self._steps.popleft()()
                    self._at_ease = self._is_at_ease()
                    self._stepping = False  # what a signal handler adds before this line is seen by the next
            except BaseException:
                self._stepping = False
                self._steps.clear()
                raise

    def _is_at_ease(self) -> bool:
        """Can lines be sealed with nothing to do before or behind them?"""
        return not (
            self._closed
            or self._broken
            or self._anew
            or self._trouble
            or self._turning
            or self._notices
            or self._dropped.count
            or self._output.kept
            or self._epoch_began is None
            or not self._uncounted
            or self._asked.durability == "sync-each"
        )

    def _check_alive(self) -> None:
        if self._broken:
            raise SealError(self._broken)
        if self._closed:
            raise SealError(f"log {self.name} is closed; open it again")

    def _write_one(self, record: str | bytes | bytearray | memoryview) -> None:
        m = _encoded(record) if isinstance(record, str) else bytes(memoryview(record))
        while self._before(1):
            if self._sealer.write(m, self._output) != _core.FIRST:
                self._after()
                return

    def _write_checkpoint(self) -> None:
        while self._before(0):
            if self._sealer.checkpoint(self._output) != _core.FIRST:
                self._after()
                return

    def _before(self, count: int) -> bool:
        """Make sure that the next line can be sealed; if it cannot, do as asked with so many lines."""
        while True:
            self._check_alive()
            if self._clear_way(count):
                self._check_alive()  # a signal handler may have closed the log meanwhile
                return True
            if self._asked.on_full != "block":
                return False

    def _clear_way(self, count: int) -> bool:
        try:
            self._make_way()
        except TallystickError as error:
            try:
                self._refused(error)
            except _PASSING as error:
                self._dropped.add(count, str(error))
                if self._asked.on_full == "raise":
                    raise
            return False
        if self._trouble:
            self._trouble, self._pause = None, 0.0
            if self._asked.on_full != "raise":
                self._asked.on_trouble(f"log {self.name} goes on")
            self._write_note()
        return True

    def _make_way(self) -> None:
        """Do all that has to be done before the next line."""
        if self._output.kept:
            self._sink.push()
        if self._anew or time.monotonic() - self._looked >= _LOOK_AFTER:
            self._look()
        while True:
            if self._output.kept:
                self._sink.push()
            if self._sealer.closed:
                self._next_chain()
            if self._dropped.count:
                self._notices.append(self._dropped.told())
                self._dropped.clear()
            if not self._notices:
                return
            if self._sealer.write_lines(f"tallystick: {self._notices[0]}\n".encode(), 0, self._output)[0]:
                self._notices.popleft()
                self._note_line()

    def _look(self) -> None:
        """See to what others did to the output, and whether a new file is due."""
        anew, self._anew = self._anew, False
        try:
            told = self._sink.look(anew=anew)
        except BaseException:
            self._anew = anew
            raise
        self._looked = time.monotonic()
        for notice in told:
            self._notices.append(notice)
            self._asked.on_trouble(notice)
        # A store that is away cannot give the next chain.
        if self._sink.due_in() == 0 and not self._head_trouble and not self._turning:
            if self._sealer.lines and not self._sealer.closed:
                self._sealer.close(self._output)
                self._note_line()
                self._turning = True
            elif not self._sealer.closed:
                self._turn()
            else:
                self._turning = True

    def _next_chain(self) -> None:
        # `closed` must be counted by a head before the next chain opens (spec section 6).
        self._store_head(self._sink.sync)
        if self._turning:
            self._turn()
        self._sealer.erase()
        self._sealer = self._open_chain()

    def _turn(self) -> None:
        self._turning = False
        try:
            self._notices.extend(self._sink.rotate(self._sealer.chain))
        except OutputError as error:
            self._asked.on_trouble(str(error))

    def _refused(self, error: TallystickError) -> None:
        """Do as asked where no line can be written now; return to try again."""
        if isinstance(error, LeaseLostError) or not isinstance(error, _PASSING) or self._asked.on_full == "stop":
            self._stop(f"{error}; log {self.name} was stopped at {'.'.join(map(str, self._sealer.position))}")
            raise SealError(self._broken or "") from error
        if str(error) != self._trouble:
            self._trouble = str(error)
            if self._asked.on_full != "raise":
                self._asked.on_trouble(f"{error}; log {self.name} {_MEANWHILE[self._asked.on_full]}")
            self._write_note()
        if self._asked.on_full != "block":
            raise error
        if self._gave_up:
            raise _GaveUpError(f"{error}; log {self.name} was told not to wait any longer") from error
        self._pause = min(0.25, self._pause * 2 or 0.01)
        time.sleep(self._pause)

    _pause = 0.0

    def _after(self) -> None:
        """Do what follows sealing: hand over what is kept, and note what a head has to count."""
        stated = self._note_line()
        while self._output.kept:
            try:
                self._sink.push()
            except TallystickError as error:
                try:
                    self._refused(error)
                except _PASSING as error:
                    if self._asked.on_full == "raise":
                        raise type(error)(f"{error}; the line is sealed, and goes out first when it can") from error
                    return
        if stated and self._asked.durability == "sync":
            self._sync()

    def _note_line(self) -> bool:
        if not self._uncounted:
            self._uncounted = True
            self._wake.put(None)
        self._writes += 1
        return self._note_epoch()

    def _note_epoch(self) -> bool:
        """Note when an epoch began; was there a checkpoint since the last note?"""
        chain, epoch, index = self._sealer.position
        stated = self._sealer.closed or self._epoch != (chain, epoch)
        if stated:
            self._epoch, self._epoch_began, self._stated = (chain, epoch), None, time.monotonic()
            self._note.stated((chain, epoch, index if self._sealer.closed else 0))
        if index and not self._sealer.closed and self._epoch_began is None:
            self._epoch_began = time.monotonic()
        return stated

    def _stop(self, why: str) -> None:
        self._broken, self._at_ease = why, False
        self._sealer.erase()

    def _sync(self) -> None:
        try:
            self._sink.sync()
        except SealError as error:
            self._stop(f"{error}; log {self.name} was stopped")
            raise

    def _sync_each(self) -> None:
        """Return when what this thread wrote is on the disk; one sync serves all that wait."""
        mine = self._writes
        with self._syncing:
            if self._synced >= mine:
                return
            with self._lock:
                self._check_kept()
                now = self._writes
            self._sync()
            self._synced = now

    def _check_kept(self) -> None:
        if self._output.kept:
            raise OutputError(f"{self._trouble or self._sink.name}; the line is sealed, and goes out first when it can")

    def _open_chain(self, check: Callable[[courier.Next], None] | None = None) -> _core.Sealer:
        with self._storing:
            asked, early, self._early = self._asked, self._early, None
            try:
                sealer = open_chain(
                    self._lease, asked.custody, asked.control, asked.epoch_lines, early=early, check=check
                )
            except TallystickError:
                self._early = early  # nothing was sealed with it
                raise
        self._epoch, self._epoch_began, self._early_trouble = (sealer.chain, 0), None, None
        return sealer

    def _store_head(self, settle: Callable[[], None]) -> None:
        """Let a head count every line so far, once they are as safe as the sink can make them."""
        with self._lock:
            if self._output.kept:
                self._sink.push()
            head = self._sealer.head()
            self._uncounted = self._at_ease = False
            self._heads_made += 1
            number, at, lines = self._heads_made, self._sealer.position, self._sealer.lines
        if head is None:
            return
        try:
            settle()
            with self._storing:
                # A slower thread must not put an older head in the place of a newer one.
                if number > self._heads_stored:
                    self._lease.replace_head(head)
                    self._heads_stored = number
                    self._note.counted(at, lines)
                    self._write_note()
        except TallystickError:
            self._uncounted = True
            raise
        finally:
            # Whoever finds an old head can go back to it.
            head[:] = bytes(len(head))

    def _write_note(self) -> None:
        """Say how the writer is, for `tallystick status`."""
        with suppress(TallystickError):
            self._lease.replace_note(
                self._note.text(
                    trouble=self._broken or self._trouble or self._head_trouble or self._early_trouble,
                    dropped=self._dropped.total,
                )
            )

    def _keep(self) -> None:
        """Rewrite the head after lines, end epochs by age, give signs of life; runs in a thread of its own."""
        while True:
            self._rest()
            if self._closed or self._broken:
                return
            try:
                if self._is_due():
                    self._take(self._tend)
                if self._uncounted:
                    self._store_head(self._sink.sync)
                self._fetch_early()
                if self._head_trouble:
                    self._head_trouble = None
                    self._write_note()
            except _PASSING as error:
                # Lines go on being sealed; the next round tries again.
                if isinstance(error, LeaseLostError):
                    self._stop_by(error)
                elif str(error) not in (self._head_trouble, self._trouble) and not self._closed:
                    self._head_trouble = str(error)
                    self._asked.on_trouble(self._head_trouble)
                    self._write_note()
            except SealError as error:
                # A sync that failed once may seem to work later, with the lines gone: no head must count them.
                self._stop_by(error)

    def _fetch_early(self) -> None:
        """Fetch the next chain when half of this one is used: time enough to mend what is in the way."""
        chain, epoch = self._epoch
        if epoch < _HALF or self._early_for == chain or time.monotonic() < self._early_again:
            return
        trouble = None
        try:
            with KEYS_ON_THEIR_WAY, self._storing:
                if self._early is None and not self._closed:
                    self._early = fetch_early(self._lease, self._asked.custody)
            self._early_for = chain
        except LeaseLostError:
            raise
        except (KeyStoreError, CustodyError) as error:
            self._early_again = time.monotonic() + _EARLY_AGAIN
            trouble = f"the next chain of log {self.name} cannot be fetched yet: {error}"
        if trouble not in (None, self._early_trouble):
            self._asked.on_trouble(trouble)
        self._early_trouble = trouble
        self._write_note()

    def _stop_by(self, error: TallystickError) -> None:
        with self._lock:
            if self._closed:
                return
            if self._broken is None:
                self._stop(str(error))
        self._asked.on_trouble(f"{error}; log {self.name} was stopped")

    def _tend(self) -> None:
        """Do what time demands."""
        if self._is_over() and self._before(0) and self._is_over():
            self._write_checkpoint()
        else:
            self._before(0)

    def _rest(self) -> None:
        """Wait until there is something to do, and then a little, so that lines gather."""
        while not (self._closed or self._broken or self._uncounted or self._is_due()):
            with self._lock:
                left = self._due_in()
            with suppress(queue.Empty):
                self._wake.get(timeout=None if left is None else min(left, threading.TIMEOUT_MAX))
        until = time.monotonic() + _HEAD_AFTER
        while not (self._closed or self._broken) and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._wake.get(timeout=left)

    def _is_due(self) -> bool:
        with self._lock:
            return self._due_in() == 0.0

    def _is_over(self) -> bool:
        """Is the epoch over, or a sign of life due?"""
        return 0.0 in (
            self._left(self._epoch_began, self._asked.epoch_age),
            self._left(self._stated, self._asked.heartbeat),
        )

    def _due_in(self) -> float | None:
        """Return the seconds until something has to be done even if no line comes."""
        if self._anew or self._trouble or self._dropped.count or self._head_trouble:
            return 0.0
        due = (
            self._left(self._epoch_began, self._asked.epoch_age),
            self._left(self._stated, self._asked.heartbeat),
            self._sink.due_in(),
        )
        return min((each for each in due if each is not None), default=None)

    @staticmethod
    def _left(since: float | None, age: float | None) -> float | None:
        return None if since is None or age is None else max(0.0, since + age - time.monotonic())

    def _finish(self, *, ended: bool) -> None:
        try:
            with self._lock:
                if self._closed:
                    return
                # From here on nothing else is sealed, not even by a signal handler.
                self._closed, self._at_ease = True, False
                self._wake.put(None)
                try:
                    self._last_lines(ended=ended)
                    self._store_head(self._sink.drain)
                finally:
                    self._sealer.erase()
                    self._note.closed(well=not (self._broken or self._output.kept))
                    self._write_note()
        finally:
            self._let_go()

    def _last_lines(self, *, ended: bool) -> None:
        if self._broken:
            raise SealError(self._broken)
        if ended:
            self._wait_for_way()
            courier.end(self._lease, self._asked.custody)
            self._sealer.end(self._output)
        elif not self._sealer.closed or self._output.kept or self._dropped.count:
            self._wait_for_way()
            self._sealer.close(self._output)
        self._after()
        if self._output.kept:
            raise OutputError(self._left_behind())

    def _wait_for_way(self) -> None:
        while not self._clear_way(0):
            if self._asked.on_full != "block":
                raise OutputError(self._left_behind())

    def _left_behind(self) -> str:
        return (
            f"{self._trouble or self._sink.name}; log {self.name} is closed with {self._output.kept} bytes of sealed "
            f"lines that were not written, and {self._dropped.count} lines that were dropped and not told"
        )

    def _let_go(self) -> None:
        if threading.current_thread() is not self._keeper:
            self._keeper.join()
        self._sink.close()
        self._lease.release()

    def _dies_in_child(self) -> None:
        self._stop(
            f"log {self.name} belongs to process {os.getppid()}; a forked child cannot write it: "
            "open one log for each process, or let `tallystick run` seal the output of all"
        )
        self._closed = True


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Such text comes from outside, by JSON: it must not keep a record out of the log.
        return text.encode("utf-8", "backslashreplace")


def open_log(
    name: str,
    *,
    output: str | os.PathLike[str] | int | Callable[[bytes], object],
    store: str | None = None,
    custody: str | None = None,
    control: str = "auto",
    epoch_lines: int = 4096,
    epoch_age: float = 60.0,
    durability: Durability = "flush",
    on_full: OnFull = "raise",
    heartbeat: float | None = None,
    rotation: Rotation | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> Log:
    """Open a log for writing: take the right to write it and begin its next chain.

    While a log is open, SIGTERM closes it before it ends the process, if nothing else was to happen; so does the end of
    the interpreter.

    Args:
        name: The name that the log was set up with.
        output: Path of the file that sealed lines are appended to, or an open file descriptor, or what is called with
            sealed bytes (whole lines, one or more).
        store: URL of the key store; the default is that of `tallystick.keystore.connect`.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        control: Form of control lines: `plain`, `json`, or `auto` for that of the first line.
        epoch_lines: Lines after which an epoch ends, 1 to 65,534.
        epoch_age: Seconds after which an epoch with lines ends.
        durability: `flush` hands each line to the operating system at once; `sync` also has each checkpoint on the disk
            before it goes on; `sync-each` has each line there when `write` returns, one sync for all threads that wait.
        on_full: What becomes of lines while the output takes none, or the next chain cannot be opened: `raise`
            SealError or KeyStoreError for each, `block` until it goes on, `drop` them, or `stop` for good. Dropped and
            refused lines are counted, and the log says how many when it goes on.
        heartbeat: Seconds without a checkpoint after which there is one, even without lines.
        rotation: When to begin a new file, and what becomes of the old ones.
        on_trouble: Called with a message, also from another thread, when something is wrong that `write` does not
            raise; the default warns.

    Returns:
        The open log; close it, best by a `with` block.

    Raises:
        KeyStoreError: There is no such log, someone else writes it, or the store is older than the log.
        CustodyError: The sealing state cannot be opened.
        SealError: The output cannot be written, or the log has ended.
    """
    settings = _Settings(custody, control, epoch_lines, epoch_age, durability, on_full, heartbeat, on_trouble or _warn)
    lease, tidied = take_lease(keystore.connect(store), name, custody)
    try:
        sink = open_sink(output, rotation, settings.on_trouble)
        try:
            log = Log(lease, sink, settings, tidied)
        except BaseException:
            sink.close()
            raise
    except BaseException:
        lease.release()
        raise
    process.close_on_sigterm()
    return log


def _warn(message: str) -> None:
    warnings.warn(f"tallystick: {message}", RuntimeWarning, stacklevel=1)

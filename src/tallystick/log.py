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
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tallystick import _core, keystore
from tallystick._fork import KEYS_ON_THEIR_WAY
from tallystick.ceremony import create
from tallystick.errors import LostRightError, SealError, TallystickError
from tallystick.opening import end_state, now, open_chain, refuse_older_store
from tallystick.sinks import Sink, open_sink

__all__ = ["Log", "create", "open_log"]

MAX_ENTRY = 2**24  # bytes, spec section 1
_HEAD_AFTER = 0.4  # seconds for which lines gather before a head counts them; section 6 allows 1


class Log:
    """A log that is open for writing. Made by `open_log`; use it in a `with` block.

    It may be used from several threads and from signal handlers. A forked child's copy is dead: its keys are
    wiped at once, and writing to it raises SealError.
    """

    def __init__(
        self,
        lease: keystore.Lease,
        sink: Sink,
        *,
        custody_url: str | None,
        control: str,
        epoch_lines: int,
        epoch_age: float,
        on_trouble: Callable[[str], None],
    ) -> None:
        """Open the next chain of the log behind a lease; see `open_log` for the arguments."""
        self.name = lease.name
        self._lease, self._sink = lease, sink
        self._custody_url = custody_url
        self._control, self._epoch_lines, self._epoch_age = control, epoch_lines, epoch_age
        self._on_trouble = on_trouble
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._leaving = threading.Event()
        self._uncounted = False
        self._heads_made = self._heads_stored = 0
        self._storing = threading.Lock()
        self._epoch: tuple[int, int] | None = None
        self._epoch_began: float | None = None
        self._steps: deque[Callable[[], None]] = deque()
        self._stepping = False
        self._broken: str | None = None
        self._closed = False
        with KEYS_ON_THEIR_WAY:
            refuse_older_store(lease, sink)
            self._sealer = self._open_chain()
            _LOGS.add(self)
        self._keeper = threading.Thread(target=self._keep_head, name=f"tallystick {self.name}", daemon=True)
        self._keeper.start()

    @property
    def position(self) -> str:
        """The position of the next line, as `chain.epoch.index`."""
        return ".".join(map(str, self._sealer.position))

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
        m = _encoded(record) if isinstance(record, str) else bytes(record)
        m = m.removesuffix(b"\n").removesuffix(b"\r")
        if b"\n" in m or b"\r" in m:
            m = m.replace(b"\r", b"\\r").replace(b"\n", b"\\n")
        if len(m) > MAX_ENTRY:
            raise SealError(f"an entry has {MAX_ENTRY} bytes at most, this one has {len(m)}; split it")
        self._take(lambda: self._emit(lambda: self._sealer.seal(m, now())))

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

        def seal() -> bytes:
            nonlocal used
            sealed, used = self._sealer.seal_lines(data, used, now())
            return sealed

        def step() -> None:
            while used < end:
                self._before()
                self._emit(seal)

        if end:
            self._take(step)
        return end

    def checkpoint(self) -> None:
        """End the epoch with a checkpoint now, so that holders of the public key can check it."""
        self._take(lambda: self._emit(lambda: self._sealer.checkpoint(now())))

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
            self._before()
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
                self._stepping = True
                while self._steps:
                    self._before()
                    self._steps.popleft()()
            finally:
                self._stepping = False
                self._steps.clear()

    def _before(self) -> None:
        """Make sure that the next line can be sealed; opens the next chain when this one is full."""
        if self._broken:
            raise SealError(self._broken)
        if self._closed:
            raise SealError(f"log {self.name} is closed; open it again")
        self._roll_if_full()

    def _roll_if_full(self) -> None:
        if self._sealer.closed:
            # `closed` must be counted by a head before the next chain opens (spec section 6).
            self._store_head(self._sink.sync)
            self._sealer.erase()
            self._sealer = self._open_chain()

    def _emit(self, seal: Callable[[], bytes]) -> None:
        try:
            self._sink.write(seal())
        except BaseException as error:
            # What is sealed has its place taken: nothing but these very bytes may follow, and some are lost.
            self._stop(f"{str(error) or type(error).__name__}; log {self.name} was stopped at {self.position}")
            if isinstance(error, SealError):
                raise SealError(self._broken) from error
            raise
        self._note_epoch()
        self._uncounted = True
        self._changed.notify()

    def _note_epoch(self) -> None:
        chain, epoch, index = self._sealer.position
        if index == 0 or self._sealer.closed:
            self._epoch = self._epoch_began = None
        elif self._epoch != (chain, epoch):
            self._epoch, self._epoch_began = (chain, epoch), time.monotonic()

    def _stop(self, why: str) -> None:
        self._broken = why
        self._sealer.erase()

    def _open_chain(self) -> _core.Sealer:
        return open_chain(self._lease, self._custody_url, self._control, self._epoch_lines)

    def _store_head(self, settle: Callable[[], None]) -> None:
        """Let a head count every line so far, once they are as safe as the sink can make them."""
        with self._lock:
            head = self._sealer.head()
            self._uncounted = False
            self._heads_made += 1
            number = self._heads_made
        if head is None:
            return
        try:
            settle()
            with self._storing:
                # A slower thread must not put an older head in the place of a newer one.
                if number > self._heads_stored:
                    self._lease.replace_head(head)
                    self._heads_stored = number
        except TallystickError:
            self._uncounted = True
            raise
        finally:
            # Whoever finds an old head can go back to it.
            head[:] = bytes(len(head))

    def _keep_head(self) -> None:
        """Rewrite the head after lines, and end epochs by age; runs in a thread of its own."""
        told = None
        while True:
            with self._changed:
                while not (self._closed or self._broken or self._uncounted or self._epoch_is_over()):
                    left = self._epoch_left()
                    self._changed.wait(None if left is None else min(left, threading.TIMEOUT_MAX))
            self._leaving.wait(_HEAD_AFTER)
            try:
                with self._lock:
                    if self._closed or self._broken:
                        return
                    if self._epoch_is_over():
                        self.checkpoint()
                self._store_head(self._sink.sync)
                told = None
            except (LostRightError, SealError) as error:
                # A sync that failed once may seem to work later, with the lines gone: no head must count them.
                with self._lock:
                    self._stop(str(error))
                if not self._leaving.is_set():
                    self._on_trouble(f"{error}; log {self.name} was stopped")
            except TallystickError as error:
                # Lines go on being sealed; the next round tries again.
                if str(error) != told and not self._leaving.is_set():
                    told = str(error)
                    self._on_trouble(told)

    def _epoch_left(self) -> float | None:
        if self._epoch_began is None:
            return None
        return max(0.0, self._epoch_began + self._epoch_age - time.monotonic())

    def _epoch_is_over(self) -> bool:
        return self._epoch_left() == 0.0

    def _finish(self, *, ended: bool) -> None:
        try:
            with self._lock:
                if self._closed:
                    return
                # From here on nothing else is sealed, not even by a signal handler.
                self._closed = True
                self._leaving.set()
                try:
                    self._last_lines(ended=ended)
                    self._store_head(self._sink.drain)
                finally:
                    self._sealer.erase()
                    self._changed.notify()
        finally:
            self._let_go()

    def _last_lines(self, *, ended: bool) -> None:
        if self._stepping and not self._broken:
            self._stop(f"log {self.name} was closed by a signal handler in the middle of a line")
        if self._broken:
            raise SealError(self._broken)
        if ended:
            self._roll_if_full()
            end_state(self._lease, self._custody_url)
            self._emit(lambda: self._sealer.end(now()))
        elif not self._sealer.closed:
            self._emit(lambda: self._sealer.close(now()))

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


_LOGS: weakref.WeakSet[Log] = weakref.WeakSet()
_HELD: list[Log] = []


def _before_fork() -> None:
    # With every lock held no thread is in the middle of a line, so a child can wipe its copies.
    _HELD[:] = list(_LOGS)
    for log in _HELD:
        log._lock.acquire()


def _after_fork_in_parent() -> None:
    for log in _HELD:
        log._lock.release()
    _HELD.clear()


def _after_fork_in_child() -> None:
    for log in _HELD:
        log._dies_in_child()
        log._lock.release()
    _HELD.clear()
    _LOGS.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def open_log(
    name: str,
    *,
    output: str | os.PathLike[str] | int,
    store: str | None = None,
    custody: str | None = None,
    control: str = "auto",
    epoch_lines: int = 4096,
    epoch_age: float = 60.0,
    on_trouble: Callable[[str], None] | None = None,
) -> Log:
    """Open a log for writing: take the right to write it and begin its next chain.

    Args:
        name: The name that the log was set up with.
        output: Path of the file that sealed lines are appended to, or an open file descriptor.
        store: URL of the key store; the default is that of `tallystick.keystore.connect`.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        control: Form of control lines: `plain`, `json`, or `auto` for that of the first line.
        epoch_lines: Lines after which an epoch ends, 1 to 65,534.
        epoch_age: Seconds after which an epoch with lines ends.
        on_trouble: Called with a message, from another thread, when the head cannot be stored for the time
            being; the default warns.

    Returns:
        The open log; close it, best by a `with` block.

    Raises:
        KeyStoreError: There is no such log, someone else writes it, or the store is older than the log.
        CustodyError: The sealing state cannot be opened.
        SealError: The output cannot be written, or the log has ended.
    """
    lease = keystore.connect(store).lease(name)
    try:
        sink = open_sink(output)
        try:
            return Log(
                lease,
                sink,
                custody_url=custody,
                control=control,
                epoch_lines=epoch_lines,
                epoch_age=epoch_age,
                on_trouble=on_trouble or _warn,
            )
        except BaseException:
            sink.close()
            raise
    except BaseException:
        lease.release()
        raise


def _warn(message: str) -> None:
    warnings.warn(f"tallystick: {message}", RuntimeWarning, stacklevel=1)

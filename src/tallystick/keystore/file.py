"""A directory as key store: DIRECTORY/NAME/ holds `state`, `head` and `lock` of each log (spec section 6).

Directories are 0700, files 0600, their owner is who runs this; anything else is refused. The right to write a
log is a lock on its `lock`, which ends with the process. What `lock` holds is for people only.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     store = FileKeyStore(directory)
...     store.create("payments", b"state", b"set-up head")
...     with store.lease("payments"):
...         sorted(os.listdir(f"{directory}/payments")), oct(os.stat(f"{directory}/payments/state").st_mode)
(['head', 'lock', 'state'], '0o100600')
"""

import fcntl
import os
import stat
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from tallystick import _private
from tallystick._core import state_version
from tallystick.errors import FormatError, KeyStoreError, LeaseLostError
from tallystick.keystore.base import (
    HEAD_LIMIT,
    NOTE_LIMIT,
    STATE_LIMIT,
    Grant,
    HeadText,
    Stored,
    check_entry,
    check_sizes,
    ourselves,
    shown,
)

__all__ = ["FileKeyStore"]

_LOCK_LIMIT = 400  # bytes
# Seconds: `holder` takes the lock for a moment, and the courier of a writer that was killed ends right after it.
_PATIENCE = (0.02, 0.05, 0.1, 0.2, 0.4)


class FileKeyStore:
    """A key store in a directory of one host.

    Args:
        directory: Its path; it is made with the first log.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(directory)
        self.url = f"file:{self._path}"

    def __eq__(self, other: object) -> bool:
        """Is it the same directory, by its path?"""
        return isinstance(other, FileKeyStore) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        """Store a new log, whole and durable or not at all.

        Raises:
            KeyStoreError: There is a log of this name, the name is none, or the store cannot be written.
        """
        check_entry(name)
        check_sizes(name, state, head)
        with _private.telling(KeyStoreError, self._path):
            _private.make_directories(self._path)
        with self._changing() as store:
            if name in os.listdir(store):
                raise KeyStoreError(f"there is a log {name} in {self.url}; take another name")
            new = f".new-{name}"
            try:
                _fill(new, store, {"state": state, "head": head, "lock": b""})
                os.rename(new, name, src_dir_fd=store, dst_dir_fd=store)
            except OSError:
                with suppress(OSError):
                    _clear(new, store)
                raise
            os.fsync(store)

    def remove(self, name: str) -> None:
        """Erase a log whose set-up was not carried through.

        Raises:
            KeyStoreError: There is no such log, someone is writing it, or the store cannot be written.
        """
        with self.lease(name), self._changing() as store:
            gone = f".gone-{name}"
            os.rename(name, gone, src_dir_fd=store, dst_dir_fd=store)
            os.fsync(store)
            _clear(gone, store)

    def names(self) -> list[str]:
        """Return the names of all logs, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        with ExitStack() as stack, _private.telling(KeyStoreError, self._path):
            return _names(self._open(stack))

    def under_way(self) -> list[str]:
        """Return the names of entries that a change of keys or place made and has not finished, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        with ExitStack() as stack, _private.telling(KeyStoreError, self._path):
            store = self._open(stack)
            return sorted(name for name in os.listdir(store) if name.startswith("~") and _holds_state(name, store))

    def grant(self) -> Grant:
        """Return what another process needs to use this store."""
        return Grant({"url": self.url})

    def load(self, name: str) -> Stored:
        """Return what the store holds for a log, without the right to write it.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        path = self._path_of(name)
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return _load(log, path)

    def head(self, name: str) -> HeadText | None:
        """Return the head of a log, without its state.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        path = self._path_of(name)
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return _head(log, path)

    def note(self, name: str) -> bytes | None:
        """Return what the writer of a log last said of itself, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return _note(log, self._path_of(name))

    def holder(self, name: str) -> str | None:
        """Return who has the right to write a log now, in words for people, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        with ExitStack() as stack, _private.telling(KeyStoreError, self._path_of(name)):
            _, log = self._open_log(name, stack)
            try:
                lock = _private.open_file("lock", log, os.O_RDONLY)
            except FileNotFoundError:
                return None
            stack.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _writer(lock)
            fcntl.flock(lock, fcntl.LOCK_UN)
            return None

    def lease(self, name: str) -> "FileLease":
        """Take the exclusive right to write a log.

        Raises:
            KeyStoreError: Someone else has it (named), there is no such log, or it cannot be written.
        """
        path = self._path_of(name)
        self._sweep()
        with ExitStack() as stack, _private.telling(KeyStoreError, path):
            store, log = self._open_log(name, stack)
            lock = _private.open_file("lock", log, os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, lock)
            if not _take(lock):
                raise KeyStoreError(f"log {name} is being written by {_writer(lock)}; only one writer at a time")
            stack.callback(fcntl.flock, lock, fcntl.LOCK_UN)
            lease = FileLease(name, path, store, log, lock)
            lease._claim()
            stack.pop_all()  # from here on the lease closes them
            return lease

    def borrow(self, name: str, store: int, log: int, lock: int) -> "FileLease":
        """Return the lease that another process of ours has, by descriptors that were inherited from it.

        It is never released here: the lock is that of the other process.
        """
        return FileLease(name, self._path_of(name), store, log, lock)

    def _path_of(self, name: str) -> str:
        check_entry(name)
        return os.path.join(self._path, name)

    def _open(self, stack: ExitStack) -> int:
        with _private.telling(KeyStoreError, self._path):
            try:
                store = _private.open_directory(self._path)
            except FileNotFoundError:
                raise KeyStoreError(
                    f"there is no key store at {self._path}; `tallystick init NAME` makes one, --store names another"
                ) from None
        stack.callback(os.close, store)
        return store

    def _open_log(self, name: str, stack: ExitStack) -> tuple[int, int]:
        store = self._open(stack)
        with _private.telling(KeyStoreError, self._path):
            try:
                log = _private.open_directory(name, store)
            except FileNotFoundError:
                held = ", ".join(_names(store))
                raise KeyStoreError(
                    f"there is no log {name} in {self.url}; "
                    + (f"it holds {held}" if held else f"make it with `tallystick init {name}`")
                ) from None
        stack.callback(os.close, log)
        return store, log

    def _sweep(self) -> None:
        """Erase what crashes left of logs that were made or removed, unless somebody makes or removes one just now."""
        with ExitStack() as stack, _private.telling(KeyStoreError, self._path):
            store = self._open(stack)
            if _take(store, ()):
                stack.callback(fcntl.flock, store, fcntl.LOCK_UN)
                _clear_all(store)

    @contextmanager
    def _changing(self) -> Iterator[int]:
        """Give the open store, free of what crashes left, to the only one who makes or removes logs now."""
        with ExitStack() as stack, _private.telling(KeyStoreError, self._path):
            store = self._open(stack)
            fcntl.flock(store, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, store, fcntl.LOCK_UN)
            _clear_all(store)
            yield store


class FileLease:
    """The exclusive right to write one log of a FileKeyStore; made by its `lease`."""

    def __init__(self, name: str, path: str, store: int, log: int, lock: int) -> None:
        self.name = name
        self._path = path
        self._store, self._log, self._lock = store, log, lock
        self._pid = os.getpid()
        self._released = False

    def load(self) -> Stored:
        """Return what the store holds. Never called in a writer, whose memory must not hold a state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        self._check()
        return _load(self._log, self._path)

    def head(self) -> HeadText | None:
        """Return the head, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        self._check()
        return _head(self._log, self._path)

    def state_version(self) -> int:
        """Return a number that grows whenever the state is replaced, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        self._check()
        with _private.telling(KeyStoreError, self._path):
            fd = _private.open_file("state", self._log, os.O_RDONLY)
            try:
                return state_version(fd)
            except FormatError as error:
                raise KeyStoreError(f"{self._path}/state is damaged: {error}; restore it") from None
            finally:
                os.close(fd)

    def confirm(self) -> None:
        """Look whether the right is still there.

        Raises:
            KeyStoreError: It is gone, or that cannot be found out.
        """
        self._check()

    def grant(self) -> Grant:
        """Return what another process needs to work under this lease as long as this one waits for it."""
        self._check()
        return Grant(
            {"url": f"file:{os.path.dirname(self._path)}", "name": self.name}, (self._store, self._log, self._lock)
        )

    def store(self) -> FileKeyStore:
        """Return the key store."""
        return FileKeyStore(os.path.dirname(self._path))

    def replace_state(self, state: bytes) -> None:
        """Put another state in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new state is there.
        """
        check_sizes(self.name, state, b"")
        self._replace("state", state)

    def replace_head(self, head: bytes | bytearray) -> None:
        """Put another head in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new head is there.
        """
        check_sizes(self.name, b"", head)
        self._replace("head", head)

    def note(self) -> bytes | None:
        """Return what a writer last said of itself, or None.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        self._check()
        return _note(self._log, self._path)

    def replace_note(self, note: bytes) -> None:
        """Say something of the writer, for people: at most 4,096 bytes, not secret, and it need not outlast a crash.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone.
        """
        self._check()
        with _private.telling(KeyStoreError, self._path):
            _private.put_file("note", note[:NOTE_LIMIT], self._log)

    def release(self) -> None:
        """Give the right back. In a forked child this does nothing: the right is its parent's."""
        if self._released or self._pid != os.getpid():
            return
        self._released = True
        # Not by closing alone: forked children may hold copies of the descriptor.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._close()

    def __enter__(self) -> Self:
        """Return the lease itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the right back."""
        self.release()

    def _claim(self) -> None:
        """Begin to write: say who we are, and erase what a crashed writer left behind."""
        self._check()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, ourselves().encode(), 0)
        _private.sweep("state", self._log)
        _private.sweep("head", self._log)
        _LEASES.add(self)

    def _replace(self, file: str, data: bytes | bytearray) -> None:
        self._check()
        with _private.telling(KeyStoreError, self._path):
            _private.replace_file(file, data, self._log)

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise LeaseLostError(
                f"the right to write log {self.name} stays with process {self._pid}; "
                "a forked child must open a log of its own"
            )
        if self._released:
            raise LeaseLostError(f"the right to write log {self.name} has been given back; open the log anew")
        with _private.telling(KeyStoreError, self._path):
            there = _private.is_at(self._log, self.name, self._store)
            ours = there and _private.is_at(self._lock, "lock", self._log)
        if not ours:
            raise LeaseLostError(
                f"{self._path} was moved, removed or unlocked while log {self.name} was being written; "
                "look into who did it, then open the log anew"
            )

    def _close(self) -> None:
        for fd in (self._lock, self._log, self._store):
            os.close(fd)

    def _forget(self) -> None:
        """Close what a forked child got from its parent, so that the right ends with the parent."""
        if not self._released:
            self._close()


_LEASES: weakref.WeakSet[FileLease] = weakref.WeakSet()


def _after_fork() -> None:
    for lease in list(_LEASES):
        lease._forget()
    _LEASES.clear()


os.register_at_fork(after_in_child=_after_fork)


def _fill(name: str, store: int, files: Mapping[str, bytes | bytearray]) -> None:
    """Make the directory of a log that is none yet."""
    _private.make_directory(name, store)
    log = _private.open_directory(name, store)
    try:
        for file, data in files.items():
            _private.create_file(file, data, log)
        os.fsync(log)
    finally:
        os.close(log)


def _clear_all(store: int) -> None:
    for left in os.listdir(store):
        if left.startswith((".new-", ".gone-")):
            _clear(left, store)


def _clear(name: str, store: int) -> None:
    """Erase the directory of a log that is none yet, or none any more."""
    log = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=store)
    try:
        for file in os.listdir(log):
            _private.wipe_file(file, log)
    finally:
        os.close(log)
    os.rmdir(name, dir_fd=store)
    os.fsync(store)


def _names(store: int) -> list[str]:
    return sorted(name for name in os.listdir(store) if not name.startswith("~") and _holds_state(name, store))


def _holds_state(name: str, store: int) -> bool:
    try:
        check_entry(name)
        return stat.S_ISREG(os.stat(f"{name}/state", dir_fd=store, follow_symlinks=False).st_mode)
    except (KeyStoreError, FileNotFoundError, NotADirectoryError):
        return False


def _load(log: int, path: str) -> Stored:
    with _private.telling(KeyStoreError, path):
        state = bytes(_private.read_file("state", log, bytearray, limit=STATE_LIMIT))
        return Stored(state, _head(log, path), private=True)


def _head(log: int, path: str) -> HeadText | None:
    with _private.telling(KeyStoreError, path):
        try:
            return _private.read_file("head", log, HeadText, limit=HEAD_LIMIT)
        except FileNotFoundError:
            return None


def _note(log: int, path: str) -> bytes | None:
    with _private.telling(KeyStoreError, path):
        try:
            return bytes(_private.read_file("note", log, bytearray, limit=NOTE_LIMIT))
        except FileNotFoundError:
            return None


def _take(lock: int, patience: Sequence[float] = _PATIENCE) -> bool:
    for pause in (*patience, None):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause is not None:
                time.sleep(pause)
        else:
            return True
    return False


def _writer(lock: int) -> str:
    """Return who wrote into a lock that he has it. Anyone may have written anything there."""
    return shown(os.pread(lock, _LOCK_LIMIT, 0))

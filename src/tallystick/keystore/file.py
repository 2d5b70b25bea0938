"""A directory as key store: DIRECTORY/NAME/ holds `state`, `head` and `lock` of each log (spec section 6).

Directories are 0700, files 0600, their owner is the user of this process; anything else is refused. The lease of a
log is a lock on its `lock`, which ends with the process. The content of `lock` is for people only.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     store = FileKeyStore(directory)
...     store.create("payments", b"state", b"set-up head")
...     with store.lease("payments"):
...         sorted(os.listdir(f"{directory}/payments")), oct(os.stat(f"{directory}/payments/state").st_mode)
(['head', 'lock', 'note', 'state'], '0o100600')
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tallystick import securefile
from tallystick._core import state_version
from tallystick.errors import ONE_WRITER, FormatError, KeyStoreError, LeaseLostError, LogBusyError
from tallystick.keystore import directory
from tallystick.keystore.base import (
    NOTE_LIMIT,
    Grant,
    HeadText,
    KeyStore,
    Lease,
    Stored,
    check_sizes,
    forget_in_children,
)
from tallystick.keystore.names import check_entry, ourselves

__all__ = ["FileKeyStore"]

_NO_NOTE = b"null".ljust(NOTE_LIMIT)


class FileKeyStore(KeyStore):
    """A key store in a directory of one host; `KeyStore` describes its methods.

    Args:
        path: Its path; it is made with the first log.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)
        self.url = f"file:{self._path}"

    def __eq__(self, other: object) -> bool:
        """Is it the same directory, by its path?"""
        return isinstance(other, FileKeyStore) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def path(self) -> str:
        """Its path."""
        return self._path

    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        check_entry(name)
        check_sizes(name, state, head)
        self.prepare()
        with self._changing() as store:
            if name in securefile.names(store):
                raise self._present(name)
            new = f".new-{name}"
            try:
                # A note that is there can be written over when the disk is full.
                directory.fill(new, store, {"state": state, "head": head, "lock": b"", "note": _NO_NOTE})
                os.rename(new, name, src_dir_fd=store, dst_dir_fd=store)
            except OSError:
                with suppress(OSError):
                    directory.clear(new, store)
                raise
            os.fsync(store)

    def remove(self, name: str) -> None:
        with self.lease(name), self._changing() as store:
            gone = f".gone-{name}"
            os.rename(name, gone, src_dir_fd=store, dst_dir_fd=store)
            os.fsync(store)
            directory.clear(gone, store)

    def prepare(self) -> None:
        try:
            with securefile.reporting(KeyStoreError, self._path):
                securefile.make_directories(self._path)
        except KeyStoreError as error:
            other = "or name another key store: --store file:DIR, or TALLYSTICK_STORE"
            raise KeyStoreError(str(error), hint=f"{error.hint}, {other}") from error
        with ExitStack() as stack:
            self._open(stack)

    def names(self) -> list[str]:
        with ExitStack() as stack, securefile.reporting(KeyStoreError, self._path):
            return directory.names(self._open(stack))

    def under_way(self) -> list[str]:
        with ExitStack() as stack, securefile.reporting(KeyStoreError, self._path):
            store = self._open(stack)
            return sorted(
                name for name in securefile.names(store) if name.startswith("~") and directory.holds_state(name, store)
            )

    def grant(self) -> Grant:
        return Grant({"url": self.url})

    def load(self, name: str) -> Stored:
        path = self._path_of(name)
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return directory.load(log, path)

    def head(self, name: str) -> HeadText | None:
        path = self._path_of(name)
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return directory.head(log, path)

    def note(self, name: str) -> bytes | None:
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return directory.note(log, self._path_of(name))

    def holder(self, name: str) -> str | None:
        path = self._path_of(name)
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            return directory.holder(log, path)

    def standing(self, name: str) -> tuple[HeadText | None, str | None]:
        path, holder = self._path_of(name), None
        with ExitStack() as stack:
            _, log = self._open_log(name, stack)
            head = directory.head(log, path)
            with suppress(KeyStoreError):
                holder = directory.holder(log, path)
            return head, holder

    def lease(self, name: str) -> "FileLease":
        path = self._path_of(name)
        self._sweep()
        with ExitStack() as stack, securefile.reporting(KeyStoreError, path):
            store, log = self._open_log(name, stack)
            lock = securefile.open_file("lock", log, os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, lock)
            if not directory.take(lock):
                raise LogBusyError(f"log {name} is being written by {directory.writer(lock)}", hint=ONE_WRITER)
            stack.callback(securefile.unlock, lock)
            lease = FileLease(name, path, store, log, lock)
            lease._claim()
            stack.pop_all()  # from here on the lease closes them
            return lease

    def borrow(self, grant: Grant) -> "FileLease":
        # Never released here: the lock is that of the other process, whose descriptors were inherited.
        name = grant.place["name"]
        return FileLease(name, self._path_of(name), *grant.fds)

    def _path_of(self, name: str) -> str:
        check_entry(name)
        return os.path.join(self._path, name)

    def _open(self, stack: ExitStack) -> int:
        with securefile.reporting(KeyStoreError, self._path):
            try:
                store = securefile.open_path(self._path)
            except FileNotFoundError:
                raise KeyStoreError(
                    f"there is no key store at {self._path}",
                    hint="`tallystick init NAME` makes one, --store names another",
                ) from None
        stack.callback(os.close, store)
        return store

    def _open_log(self, name: str, stack: ExitStack) -> tuple[int, int]:
        store = self._open(stack)
        with securefile.reporting(KeyStoreError, self._path):
            try:
                log = securefile.open_directory(name, store)
            except FileNotFoundError:
                raise self._absent(name, directory.names(store)) from None
        stack.callback(os.close, log)
        return store, log

    def _sweep(self) -> None:
        """Erase the remains of crashes while logs were made or removed, unless one is made or removed just now."""
        with ExitStack() as stack, securefile.reporting(KeyStoreError, self._path):
            store = self._open(stack)
            if directory.take(store, ()):
                stack.callback(securefile.unlock, store)
                directory.clear_all(store)

    @contextmanager
    def _changing(self) -> Iterator[int]:
        """Give the open store, free of remains of crashes, to the only process that makes or removes logs now."""
        with ExitStack() as stack, securefile.reporting(KeyStoreError, self._path):
            store = self._open(stack)
            securefile.lock(store)
            stack.callback(securefile.unlock, store)
            directory.clear_all(store)
            yield store


class FileLease(Lease):
    """The lease of one log of a FileKeyStore, made by its `lease`; `Lease` describes its methods."""

    def __init__(self, name: str, path: str, store: int, log: int, lock: int) -> None:
        super().__init__(name)
        self._path = path
        self._store, self._log, self._lock = store, log, lock

    def load(self) -> Stored:
        self._check()
        return directory.load(self._log, self._path)

    def head(self) -> HeadText | None:
        self._check()
        return directory.head(self._log, self._path)

    def state_version(self) -> int:
        self._check()
        with securefile.reporting(KeyStoreError, self._path):
            fd = securefile.open_file("state", self._log, os.O_RDONLY)
            try:
                return state_version(fd)
            except FormatError as error:
                raise KeyStoreError(f"{self._path}/state is damaged: {error}", hint="restore it") from None
            finally:
                os.close(fd)

    def confirm(self) -> None:
        self._check()

    def grant(self) -> Grant:
        self._check()
        return Grant(
            {"url": f"file:{os.path.dirname(self._path)}", "name": self.name}, (self._store, self._log, self._lock)
        )

    def store(self) -> FileKeyStore:
        return FileKeyStore(os.path.dirname(self._path))

    def replace_state(self, state: bytes) -> None:
        check_sizes(self.name, state, b"")
        self._replace("state", state)

    def replace_head(self, head: bytes | bytearray) -> None:
        check_sizes(self.name, b"", head)
        self._replace("head", head)

    def note(self) -> bytes | None:
        self._check()
        return directory.note(self._log, self._path)

    def replace_note(self, note: bytes) -> None:
        self._check()
        with securefile.reporting(KeyStoreError, self._path):
            securefile.put_file("note", note[:NOTE_LIMIT], self._log)

    def release(self) -> None:
        if self._released or self._pid != os.getpid():
            return
        self._released = True
        # Not by closing alone: forked children may hold copies of the descriptor.
        securefile.unlock(self._lock)
        self._close()

    def _claim(self) -> None:
        """Begin to write: say who we are, and erase the remains of a crashed writer."""
        self._check()
        try:
            os.ftruncate(self._lock, os.pwrite(self._lock, ourselves().encode(), 0))
        except OSError as problem:  # the lock holds without a name as well
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(self._lock, 0)
        securefile.sweep("state", self._log)
        securefile.sweep("head", self._log)
        forget_in_children(self)

    def _replace(self, file: str, data: bytes | bytearray) -> None:
        self._check()
        with securefile.reporting(KeyStoreError, self._path):
            securefile.replace_file(file, data, self._log)

    def _check(self) -> None:
        self._check_held()
        with securefile.reporting(KeyStoreError, self._path):
            there = securefile.is_at(self._log, self.name, self._store)
            ours = there and securefile.is_at(self._lock, "lock", self._log)
        if not ours:
            raise LeaseLostError(
                f"{self._path} was moved, removed or unlocked while log {self.name} was being written",
                hint="look into who did it, then open the log again",
            )

    def _close(self) -> None:
        for fd in (self._lock, self._log, self._store):
            os.close(fd)

    def _forget(self) -> None:
        if not self._released:
            self._close()

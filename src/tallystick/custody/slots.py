"""Two slots in a file beside a master key, by which it forgets: a key of their own for the states of one log.

A key goes into the slot that the present state does not name. Once a newer state is durable, the older key is
overwritten in place (spec section 6). Keys never become objects of Python.

>>> name = Name(slot=1, number=7, digest=bytes(16))
>>> Name.read(name.to_bytes()) == name
True
"""

import base64
import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from tallystick import securefile
from tallystick._core import Slot
from tallystick.custody.base import Owner
from tallystick.errors import CustodyError, reason

__all__ = ["Name", "Slots", "has_slots", "path_of"]

_BLOCK = 4096  # bytes of a slot; rust/core/src/seal/slot.rs
PATIENCE = 10.0  # seconds that another process may take for its own writing
_TAG = b"tallystick-slots1 "
_ROOT = re.compile(r"[a-z2-7]{52}")  # of 32 bytes, as `path_of` writes it


@dataclass(frozen=True, slots=True)
class Name:
    """The name, in a wrapped key, of the key in a slot that it was wrapped with.

    Args:
        slot: Where it is, 0 or 1.
        number: Each key of a log has a greater one than those before.
        digest: Tells it from any other key.
    """

    slot: int
    number: int
    digest: bytes

    length = len(_TAG) + 1 + 8 + 16  # bytes

    def to_bytes(self) -> bytes:
        """Return the form in which it leads a wrapped key."""
        return _TAG + bytes([self.slot]) + self.number.to_bytes(8, "big") + self.digest

    @classmethod
    def read(cls, data: bytes) -> Self | None:
        """Return the name that leads a wrapped key; None if there is none."""
        rest = data[len(_TAG) : cls.length]
        if data[: len(_TAG)] != _TAG or len(rest) != 25 or rest[0] > 1:
            return None
        return cls(rest[0], int.from_bytes(rest[1:9], "big"), rest[9:])

    def names(self, slot: Slot | None) -> bool:
        """Return whether this is the name of a key."""
        return slot is not None and (slot.number, slot.digest) == (self.number, self.digest)


def path_of(master: str, root: bytes) -> str:
    """Return the path of the file beside a master key for the log with P as its root."""
    return f"{master}.{base64.b32encode(root).decode().lower().rstrip('=')}"


def has_slots(master: str) -> bool:
    """Return whether there is a file beside a master key that may be that of a log."""
    lead = os.path.basename(master) + "."
    names = (name.removeprefix(lead) for name in os.listdir(os.path.dirname(master)) if name.startswith(lead))
    return any(_ROOT.fullmatch(name) for name in names)


class Slots:
    """The slots of one log. Each change of them holds a lock, and confirms the lease under it."""

    def __init__(self, master: str, owner: Owner) -> None:
        self.path = path_of(master, owner.root)
        self._owner = owner

    def find(self, name: Name) -> Slot:
        """Return a key.

        Raises:
            CustodyError: It is not there any more or not yet; says why.
        """
        with securefile.reporting(CustodyError, self.path):
            try:
                fd = securefile.open_file(self.path, None, os.O_RDONLY)
            except FileNotFoundError:
                raise self._gone() from None
            try:
                return self._named(name, self._read(fd))
            finally:
                os.close(fd)

    def fresh(self, replacing: Name | None) -> tuple[Name, Slot]:
        """Make a key, in the slot that is free.

        Args:
            replacing: The key of the state that is going to be replaced; None where the log is new here.

        Raises:
            CustodyError: It cannot be written durably, or the file belongs to another log or another state.
            KeyStoreError: The lease is lost.
        """
        with self._locked(make=replacing is None) as (fd, _):
            slots = self._read(fd)
            number = 1 + max((slot.number for slot in slots if slot is not None), default=0)
            if replacing is None:
                free, after = self._free(slots), 0
            else:
                self._named(replacing, slots)
                free, after = 1 - replacing.slot, replacing.number
            made = Slot.fresh(self._owner.root, number, after)
            name = Name(free, number, made.digest)
            made.write(fd, free * _BLOCK)
            os.fsync(fd)
            return name, self._named(name, self._read(fd))

    def forget(self, name: Name) -> None:
        """Overwrite all that is older than a key.

        Raises:
            CustodyError: It could not be overwritten, or that key is not there.
            KeyStoreError: The lease is lost.
        """
        with self._locked() as (fd, _):
            slots = self._read(fd)
            self._named(name, slots)
            other = slots[1 - name.slot]
            if other is None or other.number < name.number:
                self._overwrite(fd, 1 - name.slot)

    def destroy(self, name: Name) -> None:
        """Overwrite all keys up to one, and remove the file once it holds none.

        While that key is there, one that was made to replace it is that of a state which never became the present one,
        or `forget` would have overwritten the older one. It goes, too, and first.

        Raises:
            CustodyError: A key could not be overwritten.
            KeyStoreError: The lease is lost.
        """
        try:
            with self._locked() as (fd, directory):
                slots = self._read(fd)
                last = name.number if name.names(slots[name.slot]) else 0
                old = [slot is None or slot.number <= name.number or 0 < slot.after == last for slot in slots]
                for at in (1 - name.slot, name.slot):
                    if old[at]:
                        self._overwrite(fd, at)
                if all(old):
                    self._remove(directory)
        except _GoneError:
            return

    @contextmanager
    def _locked(self, *, make: bool = False) -> Iterator[tuple[int, int]]:
        """Give descriptors of the file, which nobody else changes in the block, and of its directory."""
        with securefile.reporting(CustodyError, self.path), ExitStack() as held, securefile.naming(self.path):
            try:
                directory, name = held.enter_context(securefile.directory_of(self.path))
            except FileNotFoundError:
                if not make:
                    raise self._gone() from None
                raise
            fd, made = self._lock(directory, name, make=make)
            try:
                self._owner.confirm()
                if make:
                    _fill(fd)
                    securefile.sync_held(directory)
                yield fd, directory
            except BaseException:
                if made:  # nothing names it yet
                    with suppress(OSError):
                        os.unlink(name, dir_fd=directory)
                raise
            finally:
                securefile.unlock(fd)  # a child that was forked meanwhile may still have it open
                os.close(fd)

    def _lock(self, directory: int, name: str, *, make: bool) -> tuple[int, bool]:
        end = time.monotonic() + PATIENCE
        while True:
            fd, made = self._open(directory, name, make=make)
            try:
                securefile.lock(fd, wait=False)
                if securefile.is_at(fd, name, directory):
                    return fd, made
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(fd)
                    raise CustodyError(
                        f"another process has had {self.path} locked for {PATIENCE:g} s, so it stands still",
                        hint="end it",
                    ) from None
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
            time.sleep(0.01)

    def _open(self, directory: int, name: str, *, make: bool) -> tuple[int, bool]:
        """Open the file; also tell whether it was made for that, without anything in it yet."""
        while True:
            try:
                return securefile.open_file(name, directory, os.O_RDWR), False
            except FileNotFoundError:
                if not make:
                    raise self._gone() from None
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with suppress(FileExistsError):
                try:
                    fd = securefile.opened(name, flags, within=directory)
                except OSError as problem:
                    if problem.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                        raise
                    raise CustodyError(
                        f"{self.path} cannot be made: {reason(problem)}",
                        hint="the keys of each log stand beside the master "
                        "key, so name one in a directory in which this user may make files",
                    ) from None
                os.fchmod(fd, 0o600)  # whatever the umask took away
                return fd, True

    def _read(self, fd: int) -> list[Slot | None]:
        size = os.fstat(fd).st_size
        slots = [Slot.read(fd, at * _BLOCK) for at in (0, 1)]
        if size > 2 * _BLOCK:
            raise CustodyError(
                f"{self.path} has {size} bytes, which is no file of ours", hint="name another master key"
            )
        if any(slot is not None and slot.root != self._owner.root for slot in slots):
            raise CustodyError(
                f"{self.path} holds keys of another log", hint="move it away, and put the right one there"
            )
        return slots

    def _free(self, slots: list[Slot | None]) -> int:
        """Return the slot for a log that comes here, where others may be from attempts before or from when it left."""
        first, second = slots
        if first is None or second is None:
            return 0 if first is None else 1
        if first.after == second.number or second.after == first.number:
            raise CustodyError(
                f"{self.path} holds two keys of this log already, and either may be that of its state",
                hint="if the log is here, write a line to it and do this again; if it has left, remove that file",
            )
        # One that came here before and is not needed; never one that a log has gone on with.
        return 0 if (first.after > 0, first.number) < (second.after > 0, second.number) else 1

    def _named(self, name: Name, slots: list[Slot | None]) -> Slot:
        slot = slots[name.slot]
        if slot is not None and name.names(slot):
            return slot
        newest = max((slot.number for slot in slots if slot is not None), default=0)
        if newest == 0:
            what = "it holds no key, so the log has ended or moved, or the file is damaged"
        elif newest < name.number:
            what = f"it is older than the state, as after a restored backup (key {newest}, not {name.number})"
        elif newest > name.number:
            what = f"the state is older than it, as after a restored backup (key {name.number} was destroyed)"
        else:
            what = "it holds another key of that number: it is another file, or the state was changed"
        raise CustodyError(
            f"{self.path} does not open the state of this log: {what}",
            hint="a log does not go on from its past, begin a new one",
        )

    def _overwrite(self, fd: int, slot: int) -> None:
        at = slot * _BLOCK
        written = os.pwrite(fd, bytes(_BLOCK), at)
        os.fsync(fd)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, at, _BLOCK, os.POSIX_FADV_DONTNEED)  # so that the disk is asked
        if written != _BLOCK or not Slot.is_blank(fd, at):
            raise CustodyError(
                f"{self.path}: a key could not be overwritten, it is still there", hint="look into the system's log"
            )

    def _remove(self, directory: int) -> None:
        # Where files of this directory may not be removed, one without keys stays.
        with suppress(PermissionError):
            os.unlink(os.path.basename(self.path), dir_fd=directory)
            securefile.sync_held(directory)

    def _gone(self) -> "_GoneError":
        return _GoneError(
            f"{self.path} is not there, so the master key does not open the state of this log: wrong master key, or "
            "the log is written on another host",
            hint="if the file is lost, begin a new log",
        )


class _GoneError(CustodyError):
    """The file is not there."""


def _fill(fd: int) -> None:
    """Give a file that was just made its blocks, which it keeps."""
    size = os.fstat(fd).st_size
    while size < 2 * _BLOCK:
        size += os.pwrite(fd, bytes(2 * _BLOCK - size), size)
    os.fsync(fd)

"""The directory of a log in a key store, by descriptors: its files, and the locks on it and on the store.

The directory of a log under set-up is called `.new-NAME`, and of one under removal `.gone-NAME`, so that a crash leaves
whole logs and remains that are known as such.
"""

import os
import stat
import time
from collections.abc import Mapping, Sequence

from tallystick import securefile
from tallystick.errors import KeyStoreError
from tallystick.keystore.base import HEAD_LIMIT, NOTE_LIMIT, STATE_LIMIT, HeadText, Stored
from tallystick.keystore.names import check_entry, shown

__all__ = ["clear", "clear_all", "fill", "head", "holder", "holds_state", "load", "names", "note", "take", "writer"]

_LOCK_LIMIT = 400  # bytes
# Seconds: `holder` takes the lock for a moment, and the courier of a writer that was killed ends right after it.
_PATIENCE = (0.02, 0.05, 0.1, 0.2, 0.4)


def fill(name: str, store: int, files: Mapping[str, bytes | bytearray]) -> None:
    """Make the directory of a log, under a name that no log has.

    Args:
        name: Its name in the store.
        store: Descriptor of the store.
        files: The content of each file.
    """
    securefile.make_directory(name, store)
    log = securefile.open_directory(name, store)
    try:
        for file, data in files.items():
            securefile.create_file(file, data, log)
        os.fsync(log)
    finally:
        os.close(log)


def clear_all(store: int) -> None:
    """Erase the remains of crashes while logs were made or removed."""
    for left in securefile.names(store):
        if left.startswith((".new-", ".gone-")):
            clear(left, store)


def clear(name: str, store: int) -> None:
    """Erase the directory of a log whose set-up or removal is not complete."""
    log = securefile.opened(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, within=store)
    try:
        for file in securefile.names(log):
            securefile.wipe_file(file, log)
    finally:
        os.close(log)
    os.rmdir(name, dir_fd=store)
    os.fsync(store)


def names(store: int) -> list[str]:
    """Return the names of all logs in a store, sorted."""
    return sorted(name for name in securefile.names(store) if not name.startswith("~") and holds_state(name, store))


def holds_state(name: str, store: int) -> bool:
    """Tell whether an entry of a store is that of a log, or of one under way."""
    try:
        check_entry(name)
        return stat.S_ISREG(os.stat(f"{name}/state", dir_fd=store, follow_symlinks=False).st_mode)
    except (KeyStoreError, FileNotFoundError, NotADirectoryError):
        return False


def load(log: int, path: str) -> Stored:
    """Return state and head from the open directory of a log, whose path is for errors."""
    with securefile.reporting(KeyStoreError, path):
        state = bytes(securefile.read_file("state", log, bytearray, limit=STATE_LIMIT))
        return Stored(state, head(log, path), private=True)


def head(log: int, path: str) -> HeadText | None:
    """Return the head; None if it is not there."""
    with securefile.reporting(KeyStoreError, path):
        try:
            return securefile.read_file("head", log, HeadText, limit=HEAD_LIMIT)
        except FileNotFoundError:
            return None


def note(log: int, path: str) -> bytes | None:
    """Return the note; None if it is not there."""
    with securefile.reporting(KeyStoreError, path):
        try:
            return bytes(securefile.read_file("note", log, bytearray, limit=NOTE_LIMIT))
        except FileNotFoundError:
            return None


def take(lock: int, patience: Sequence[float] = _PATIENCE) -> bool:
    """Lock a file or directory for this process alone; False if another one holds it for longer than a moment.

    Args:
        lock: Its descriptor.
        patience: Seconds to wait between attempts.
    """
    for pause in (*patience, None):
        try:
            securefile.lock(lock, wait=False)
        except BlockingIOError:
            if pause is not None:
                time.sleep(pause)
        else:
            return True
    return False


def holder(log: int, path: str) -> str | None:
    """Return who holds the lease of a log, in words; None if nobody does."""
    with securefile.reporting(KeyStoreError, path):
        try:
            lock = securefile.open_file("lock", log, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            securefile.lock(lock, shared=True, wait=False)
        except BlockingIOError:
            return writer(lock)
        else:
            securefile.unlock(lock)
            return None
        finally:
            os.close(lock)


def writer(lock: int) -> str:
    """Return the holder that a lock names. Anyone may have written anything there."""
    return shown(os.pread(lock, _LOCK_LIMIT, 0))

"""Says in which directories something moved, as the kernel does; on file systems that cannot, nothing is said.

What it misses (files on network file systems that others write to, queues that overflow, directories that come later)
is seen by the service, which asks files and directories themselves from time to time.
"""

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from watchfiles import watch

__all__ = ["Notifier", "telling"]

_SILENT = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs", "lustre", "gpfs", "afs", "virtiofs")


class Notifier:
    """Watches directories in a thread of its own.

    Args:
        moved: Called from that thread with the paths at which something moved; with none of them once all directories
            are watched: what moved before that, nobody says.
        pause: Seconds for which movements are gathered.
    """

    def __init__(self, moved: Callable[[set[str]], None], pause: float) -> None:
        self._moved, self._pause = moved, pause
        self._wanted: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def watched(self) -> Collection[str]:
        """The directories that are watched."""
        return self._wanted if self._thread is not None and self._thread.is_alive() else ()

    def watch(self, directories: Iterable[str]) -> None:
        """Watch these directories from now on, and no others. The kernel knows them by their inodes, not by names."""
        wanted = {one: found for one in directories if (found := _identity(one)) is not None}
        if wanted == self.watched:
            return
        before, self._wanted, self._stop, self._thread = self._stop, wanted, threading.Event(), None
        if not wanted:
            before.set()
            return
        self._thread = threading.Thread(
            target=self._run, args=(sorted(wanted), self._stop, before), name="tallystick notifier", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def _run(self, directories: Sequence[str], stop: threading.Event, before: threading.Event) -> None:
        pause = max(10, int(self._pause * 1000))
        try:
            for changes in watch(
                *directories,
                watch_filter=None,
                debounce=pause,
                step=min(50, pause),
                stop_event=stop,
                rust_timeout=500,
                yield_on_timeout=True,
                recursive=False,
                raise_interrupt=False,
            ):
                if not before.is_set():  # no moment is unwatched
                    before.set()
                    self._moved(set())
                if changes:
                    self._moved({path for _, path in changes})
        except (OSError, RuntimeError):
            pass  # too many are watched, or one vanished: the service asks by itself
        finally:
            before.set()


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        status = os.stat(directory)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def telling(directories: Iterable[str]) -> frozenset[str]:
    """Return those directories in which nobody changes files without this kernel's knowing."""
    devices = set()
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
        for fields in map(str.split, lines):
            major, minor = fields[2].split(":")
            if not fields[fields.index("-") + 1].startswith(_SILENT):
                devices.add(os.makedev(int(major), int(minor)))
    except (OSError, ValueError, IndexError):
        return frozenset()
    return frozenset(one for one in directories if (found := _identity(one)) is not None and found[0] in devices)

"""Says in which directories something moved, as the kernel does; on file systems that cannot, nothing is said.

What it misses (files on network file systems that others write to, queues that overflow, directories that come later)
is seen by the service, which asks files and directories themselves from time to time.
"""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from watchfiles import watch

__all__ = ["Notifier", "is_silent"]

_SILENT = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs", "lustre", "gpfs", "afs", "virtiofs")


class Notifier:
    """Watches directories in a thread of its own.

    Args:
        moved: Called from that thread with the directories in which something moved.
        pause: Seconds for which movements are gathered.
    """

    def __init__(self, moved: Callable[[set[str]], None], pause: float) -> None:
        self._moved, self._pause = moved, pause
        self._watched: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def watched(self) -> frozenset[str]:
        """The directories that are watched."""
        return self._watched if self._thread is not None and self._thread.is_alive() else frozenset()

    def watch(self, directories: Iterable[str]) -> None:
        """Watch these directories from now on, and no others."""
        wanted = frozenset(one for one in directories if os.path.isdir(one))
        if wanted == self.watched:
            return
        self.stop()
        self._watched, self._stop = wanted, threading.Event()
        if wanted:
            self._thread = threading.Thread(
                target=self._run, args=(wanted, self._stop), name="tallystick notifier", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)
            self._thread = None

    def _run(self, directories: frozenset[str], stop: threading.Event) -> None:
        pause = max(10, int(self._pause * 1000))
        with suppress(OSError, RuntimeError):  # too many are watched, or one vanished: the service asks by itself
            for changes in watch(
                *directories,
                watch_filter=None,
                debounce=pause,
                step=min(50, pause),
                stop_event=stop,
                rust_timeout=500,
                recursive=False,
                raise_interrupt=False,
            ):
                self._moved({place for _, path in changes for place in (path, os.path.dirname(path))})


def is_silent(directory: str) -> bool:
    """Can others change files in a directory without this kernel's knowing?"""
    try:
        device = os.stat(directory).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == f"{os.major(device)}:{os.minor(device)}":
                    return fields[fields.index("-") + 1].startswith(_SILENT)
    except (OSError, ValueError, IndexError):
        return True
    return True

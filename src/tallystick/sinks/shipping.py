"""Rotated files on their way into an archive: put there, seen to be there, said by the log, and only then removed.

A thread of its own puts them, the oldest first, and tries again for as long as it takes: until then they stay. The log
says of each where it is (a notice of kind `shipped`); once a head counts that, the file is removed. A kill in between
costs nothing: the next writer finds the file, and the store says that it has it.

>>> import io
>>> class Shelf:
...     def put(self, name, file):
...         return f"shelf:{name}"
>>> shipping = Shipping(Shelf(), lambda: ["a.log.1"], lambda path: io.BytesIO(b""), print, print)
>>> shipping.wake()
>>> shipping.leave(10.0)
>>> [(one.text, one.done()) for one in shipping.taken()]
a.log.1
[('shelf:a.log.1', None)]
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Protocol

from tallystick.securefile import in_words

__all__ = ["Port", "Shipped", "Shipping"]

_SOON, _LATE = 1.0, 60.0  # seconds between two tries


class Port(Protocol):
    """Takes files for good."""

    def put(self, name: str, file: IO[bytes]) -> object:
        """Return what the log says of it, once it is there.

        Raises:
            OSError, TallystickError: It is not there, or not yet.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file that is in the archive.

    Args:
        text: What the log says of it.
        done: Called when the log has said so, and a head counts it.
    """

    text: str
    done: Callable[[], None]


class Shipping:
    """Ships the rotated files of one log.

    State: files that were shipped and are still there, and what the log has to say of them.
    Invariant: each file is shipped once, and is removed only after the log has said so.

    Args:
        port: Takes them.
        waiting: Returns the paths of files that are ready, the oldest first.
        open: Opens one of them.
        remove: Removes one of them, when its time has come.
        report: Called with what is in the way.
    """

    def __init__(
        self,
        port: Port,
        waiting: Callable[[], Sequence[str]],
        open: Callable[[str], IO[bytes]],
        remove: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        self._port, self._waiting, self._open, self._remove, self._report = port, waiting, open, remove, report
        self._lock, self._woken = threading.Lock(), threading.Event()
        self._shipped: set[str] = set()
        self._said: list[Shipped] = []
        self._troubles: set[str] = set()  # what was in the way in the last round
        self._leaving = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look whether there is something to ship."""
        with self._lock:
            if self._thread is None and not self._leaving:
                self._thread = threading.Thread(target=self._work, name="tallystick ship", daemon=True)
                self._thread.start()
        self._woken.set()

    def taken(self) -> list[Shipped]:
        """Return what was shipped since this was asked last."""
        with self._lock:
            said, self._said = self._said, []
        return said

    def leave(self, within: float) -> None:
        """Begin no other file; one that is under way is waited for, for some seconds, and else given up."""
        self._leaving = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(within)
        with self._lock:  # from here on no file is opened
            self._open = _gone

    def _work(self) -> None:
        pause = 0.0
        while True:
            self._woken.wait(pause or _LATE)  # a directory that could not be listed then is listed again
            self._woken.clear()
            left = self._left()
            if not left and self._leaving:
                return
            before, self._troubles = self._troubles, set()
            failed = [path for path in left if not self._ship(path, before)]
            if before and not failed:
                self._report("rotated files are shipped again")
            if self._leaving:
                return
            pause = min(_LATE, pause * 2 or _SOON) if failed else 0.0

    def _left(self) -> list[str]:
        return [path for path in self._waiting() if path not in self._shipped]

    def _ship(self, path: str, known: set[str]) -> bool:
        """Ship one file; is nothing in the way? Trouble is reported once for all files, unless it is known."""
        name = os.path.basename(path)
        try:
            with self._lock:
                file = self._open(path)
            with file:
                there = self._port.put(name, file)
        except FileNotFoundError:
            return True  # it was removed meanwhile
        except Exception as error:  # one file that cannot be shipped must not keep others from it
            why = in_words(error)
            if why not in known | self._troubles:
                self._report(f"{path} could not be shipped: {why}; it stays until it can be")
            self._troubles.add(why)
            return False
        with self._lock:
            self._shipped.add(path)
            self._said.append(Shipped(str(there), partial(self._remove, path)))
        return True


def _gone(path: str) -> IO[bytes]:
    raise FileNotFoundError(path)

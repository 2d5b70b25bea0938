"""Which logs a witness knows: by public files in a directory, by its store, or any, up to a number.

A log that got a receipt is never forgotten, whatever becomes of its file.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from tallystick import _core
from tallystick.errors import FormatError, reason
from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.store import KnownLog, Store

__all__ = ["KnownLogs"]

_LONGEST = 4 << 20  # bytes of a public file: an `open` for each of the generations that ended
_CACHED = 4096  # logs of the store whose certs stay parsed
_PAUSE = 1.0  # seconds between two looks into the directory


class KnownLogs:
    """The logs that a witness knows.

    Args:
        directory: Where public files `*.pub` are; None for none.
        most: How many logs are taken that nobody named.
        say: Takes a line about what is wrong with a file, for people.

    Raises:
        WitnessServiceError: The directory cannot be read.
    """

    def __init__(self, directory: str | None, most: int, say: Callable[[str], None]) -> None:
        self._directory, self.most, self._say = directory, most, say
        self._roots: set[bytes] = set()
        self._named: dict[bytes, str] = {}  # public files of the directory
        self._parsed: OrderedDict[bytes, _core.WitnessedLog] = OrderedDict()
        self._told: dict[str, str] = {}
        self._looked, self._seen = -_PAUSE, 0
        self._turn = threading.Lock()
        self._look()

    def load(self, store: Store) -> None:
        """Take over what the store knows; within no transaction."""
        self._roots |= set(store.roots())

    def knows(self, root: bytes) -> bool:
        """Is the log of P known? Looks into the directory again, now and then, if it is not."""
        if root in self._roots or root in self._named:
            return True
        with self._turn:
            if time.monotonic() - self._looked >= _PAUSE or self._changed() != self._seen:
                self._look()
        return root in self._named

    def get(self, store: Store, root: bytes) -> tuple[KnownLog, _core.WitnessedLog] | None:
        """Return a known log, from the store, which it is added to if only a file names it."""
        row, named = store.log(root), self._named.get(root)
        if row is None:
            if named is None:
                return None
            log = _core.WitnessedLog(named.encode())
            return store.add(root, log.name, named, is_open=False), log
        log = self._parsed.get(root) or _core.WitnessedLog(row.public.encode())
        if named is not None and (fresh := _core.WitnessedLog(named.encode())).generations > log.generations:
            log = fresh  # somebody brought a newer public file
            store.learn(row.number, named)
            row = KnownLog(row.number, root, named)
        self._parsed[root] = log
        self._parsed.move_to_end(root)
        if len(self._parsed) > _CACHED:
            self._parsed.popitem(last=False)
        return row, log

    def kept(self, root: bytes) -> None:
        """Note that a log stands in the store."""
        self._roots.add(root)

    def _look(self) -> None:
        """Read the public files of the directory."""
        self._looked, self._seen = time.monotonic(), self._changed()
        if self._directory is None:
            return
        try:
            names = sorted(name for name in os.listdir(self._directory) if name.endswith(".pub"))
        except OSError as error:
            if self._looked_before():
                self._tell(self._directory, reason(error))
                return
            raise WitnessServiceError(
                f"{self._directory}: {reason(error)}", hint="name a directory with public files NAME.pub"
            ) from None
        found: dict[bytes, str] = {}
        for name in names:
            path = os.path.join(self._directory, name)
            try:
                with open(path, "rb") as file:
                    text = file.read(_LONGEST + 1)
                if len(text) > _LONGEST:
                    raise FormatError(f"has more than {_LONGEST} bytes")
                lines = [line.strip() for line in text.decode().split("\n")]
                public = "".join(f"{line}\n" for line in lines if line)
                found.setdefault(_core.WitnessedLog(public.encode()).root, public)
            except OSError as error:
                self._tell(path, reason(error))
            except (FormatError, ValueError) as error:
                self._tell(path, str(error))
            else:
                self._told.pop(path, None)
        self._named = found

    def _changed(self) -> int:
        """Return when names in the directory changed."""
        try:
            return os.stat(self._directory).st_mtime_ns if self._directory is not None else 0
        except OSError:
            return 0

    def _looked_before(self) -> bool:
        return bool(self._named or self._roots)

    def _tell(self, path: str, trouble: str) -> None:
        if self._told.get(path) != trouble:
            self._told[path] = trouble
            self._say(f"{path}: {trouble}; it is passed over")

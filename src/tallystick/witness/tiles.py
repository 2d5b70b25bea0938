"""The tree of a witness as others read it: checkpoints and tiles of C2SP (spec section 11).

>>> number_of("x001/234"), number_of("067"), number_of("1"), number_of("x000/001")
(1234, 67, None, None)
"""

import base64
import hashlib
import re
from collections.abc import Callable

from tallystick.witness.completing import Completing
from tallystick.witness.desk import Job
from tallystick.witness.store import Store
from tallystick.witness.tree import WIDTH, Tree

__all__ = ["Tiles", "number_of"]

_TILE = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tiles:
    """What is published of the tree.

    Args:
        tree: The tree.
        completing: What completes receipts, and signs checkpoints.
    """

    def __init__(self, tree: Tree, completing: Completing) -> None:
        self._tree, self._completing = tree, completing

    def publish(self, store: Store, now: int) -> Callable[[], int]:
        """Append an entry for each log of which something was accepted, and publish the tree; a job.

        Gives how many entries there are.
        """
        database = store.database
        due = database.run("SELECT id, root FROM logs WHERE due = 1 ORDER BY id")
        size = self._tree.size()
        for log, root in due:
            newest = store.newest(log)
            if newest is not None:
                digest = hashlib.sha256(newest.text).digest()
                self._tree.append(_entry(bytes(root), digest, newest.time))
                self._completing.include(store, log, size, newest)
                size += 1
        if due:
            database.run("UPDATE logs SET due = 0 WHERE due = 1")
        if size and (due or not database.run("SELECT 1 FROM published")):
            database.run("DELETE FROM published")
            database.run("INSERT INTO published VALUES (?, ?)", (size, self._tree.root(size)))
            self._completing.forget(store)
        return lambda: size

    def checkpoint(self, store: Store, now: int) -> Callable[[], str | None]:
        """Give the published checkpoint, a signed note; a job. None where nothing was published yet."""
        rows = store.database.run("SELECT size, root FROM published")
        return self._completing.note(store, *rows[0]) if rows else lambda: None

    def tile(self, path: str) -> Job[bytes | None]:
        """Give a tile; None where there is none."""

        def job(store: Store, now: int) -> Callable[[], bytes | None]:
            match = _TILE.fullmatch(path)
            number = number_of(match[2]) if match is not None else None
            if match is None or number is None:
                return lambda: None
            count = int(match[3] or WIDTH)
            if match[1] == "entries":
                found = [len(one).to_bytes(2) + one for one in self._tree.entries(number * WIDTH, count)]
            else:
                found = self._tree.hashes(int(match[1]), number * WIDTH, count)
            return lambda: b"".join(found) if len(found) == count else None

        return job


def number_of(path: str) -> int | None:
    """Return the number of a tile from its path; None for a path that is not the one of a number."""
    digits = path.replace("x", "").replace("/", "")
    if len(digits) > 18 or not re.fullmatch(r"(?:x[0-9]{3}/)*[0-9]{3}", path) or path.startswith("x000"):
        return None
    return int(digits)


def _entry(root: bytes, text: bytes, time: int) -> bytes:
    log = hashlib.sha256(root).digest()
    return f"tallystick/v1 entry\nlog {_url64(log)}\ntext {_url64(text)}\ntime {time}\n".encode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""The tree of a witness as others read it: checkpoints and tiles of C2SP, and proofs (spec section 11).

>>> number_of("x001/234"), number_of("067"), number_of("1"), number_of("x000/001")
(1234, 67, None, None)
"""

import base64
import hashlib
import re
from collections.abc import Callable

from tallystick import _core
from tallystick.witness.desk import Job
from tallystick.witness.store import Store
from tallystick.witness.tree import WIDTH, Tree

__all__ = ["Tiles", "number_of"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS published (size BIGINT PRIMARY KEY, root BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS stamped (size BIGINT PRIMARY KEY, root BLOB NOT NULL, token BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS included (log BIGINT, text BLOB, number BIGINT NOT NULL, PRIMARY KEY (log, text))",
)
_TILE = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tiles:
    """What is published of the tree.

    Args:
        store: Where it is.
        signer: The witness's key, whose name is the tree's origin.
    """

    def __init__(self, store: Store, signer: _core.NoteSigner) -> None:
        self._signer = signer
        store.database.begin()
        self._tree = Tree(store.database)
        for table in _TABLES:
            store.database.run(table)
        store.database.commit()

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
                statement = "INSERT INTO included VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
                database.run(statement, (log, digest, size))
                size += 1
        if due:
            database.run("UPDATE logs SET due = 0 WHERE due = 1")
        if size and (due or not database.run("SELECT 1 FROM published")):
            database.run("DELETE FROM published")
            database.run("INSERT INTO published VALUES (?, ?)", (size, self._tree.root(size)))
        return lambda: size

    def checkpoint(self, store: Store, now: int) -> Callable[[], str | None]:
        """Give the published checkpoint, a signed note; a job. None where nothing was published yet."""
        rows = store.database.run("SELECT size, root FROM published")
        return lambda: self._note(*rows[0]) if rows else None

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

    def proof(self, root: bytes, text: bytes) -> Job[str | None]:
        """Give the proof that the text of a hash is in the published tree; None where it is not."""

        def job(store: Store, now: int) -> Callable[[], str | None]:
            database = store.database
            query = "SELECT number FROM included, logs WHERE id = log AND root = ? AND text = ?"
            rows = database.run(query, (root, text))
            if not rows:
                return lambda: None
            number = int(rows[0][0])
            # The first token after the text was accepted says the most about when that was.
            query = "SELECT size, root, token FROM stamped WHERE size > ? ORDER BY size LIMIT 1"
            found = database.run(query, (number,)) or database.run("SELECT size, root, NULL FROM published")
            size, tree_root, token = found[0]
            extra = f"extra {_base64(bytes(token))}\n" if token is not None else ""
            hashes = "".join(f"{_base64(one)}\n" for one in self._tree.inclusion(number, size))
            head = f"c2sp.org/tlog-proof@v1\n{extra}index {number}\n{hashes}\n"
            return lambda: head + self._note(size, tree_root)

        return job

    def unstamped(self, store: Store, now: int) -> Callable[[], tuple[int, bytes, bytes] | None]:
        """Give size, root and text of the published checkpoint, if no token is over it yet; a job."""
        rows = store.database.run(
            "SELECT size, root FROM published WHERE NOT EXISTS (SELECT 1 FROM stamped WHERE size = published.size)"
        )
        if not rows:
            return lambda: None
        size, root = rows[0][0], bytes(rows[0][1])
        return lambda: (size, root, self._text(size, root).encode())

    def keep_token(self, size: int, root: bytes, token: bytes) -> Job[None]:
        """Keep a time-stamp token over a checkpoint."""

        def job(store: Store, now: int) -> Callable[[], None]:
            statement = "INSERT INTO stamped VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            store.database.run(statement, (size, root, token))
            return lambda: None

        return job

    def _text(self, size: int, root: bytes) -> str:
        return f"{self._signer.key.name}\n{size}\n{_base64(root)}\n"

    def _note(self, size: int, root: bytes) -> str:
        return self._signer.sign(self._text(size, bytes(root)))


def number_of(path: str) -> int | None:
    """Return the number of a tile from its path; None for a path that is not the one of a number."""
    digits = path.replace("x", "").replace("/", "")
    if len(digits) > 18 or not re.fullmatch(r"(?:x[0-9]{3}/)*[0-9]{3}", path) or path.startswith("x000"):
        return None
    return int(digits)


def _entry(root: bytes, text: bytes, time: int) -> bytes:
    log = hashlib.sha256(root).digest()
    return f"tallystick/v1 entry\nlog {_url64(log)}\ntext {_url64(text)}\ntime {time}\n".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

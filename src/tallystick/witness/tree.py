"""The tree of a witness (RFC 6962 section 2.1), as rows of its store: entries, and the hashes that tiles are made of.

Of each 256 hashes of a level the root stands in the level above, which is what a tile of C2SP tlog-tiles covers.

>>> import tempfile
>>> from tallystick.witness.database import open_database
>>> with tempfile.TemporaryDirectory() as directory:
...     database = open_database(directory)
...     tree = Tree(database)
...     for entry in (b"one", b"two", b"three"):
...         tree.append(entry)
...     root, size = tree.root(3), tree.size()
...     proof = tree.inclusion(2, 3)
...     database.close()
>>> size, proof == [_node(_leaf(b"one"), _leaf(b"two"))], root == _node(proof[0], _leaf(b"three"))
(3, True, True)
"""

import hashlib
from collections.abc import Sequence

from tallystick.witness.database import Database

__all__ = ["WIDTH", "Tree"]

WIDTH = 256
"""Hashes of a full tile."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS entries (number BIGINT PRIMARY KEY, entry BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS nodes (level BIGINT, number BIGINT, hash BLOB NOT NULL, PRIMARY KEY (level, number))",
)


class Tree:
    """The tree. It is read and written within the transactions of the store.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        for table in _TABLES:
            database.run(table)

    def size(self) -> int:
        """Return how many entries there are."""
        return int(self._database.run("SELECT coalesce(max(number) + 1, 0) FROM entries")[0][0])

    def append(self, entry: bytes) -> None:
        """Append an entry."""
        number = self.size()
        self._database.run("INSERT INTO entries VALUES (?, ?)", (number, entry))
        level, digest = 0, _leaf(entry)
        while True:
            self._database.run("INSERT INTO nodes VALUES (?, ?, ?)", (level, number, digest))
            if number % WIDTH != WIDTH - 1:
                return
            digest = _root(self.hashes(level, number - WIDTH + 1, WIDTH))
            level, number = level + 1, number // WIDTH

    def hashes(self, level: int, first: int, count: int) -> list[bytes]:
        """Return hashes of a level; fewer than asked for where there are no more."""
        statement = "SELECT hash FROM nodes WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
        return [bytes(row[0]) for row in self._database.run(statement, (level, first, first + count))]

    def entries(self, first: int, count: int) -> list[bytes]:
        """Return entries; fewer than asked for where there are no more."""
        statement = "SELECT entry FROM entries WHERE number >= ? AND number < ? ORDER BY number"
        return [bytes(row[0]) for row in self._database.run(statement, (first, first + count))]

    def root(self, size: int) -> bytes:
        """Return the root of the tree over the first entries."""
        return self._over(0, size)

    def inclusion(self, number: int, size: int) -> list[bytes]:
        """Return the inclusion proof of an entry (RFC 6962 section 2.1.1)."""
        first, end, proof = 0, size, list[bytes]()
        while end - first > 1:
            middle = first + _split(end - first)
            if number < middle:
                proof.append(self._over(middle, end))
                end = middle
            else:
                proof.append(self._over(first, middle))
                first = middle
        return proof[::-1]

    def consistency(self, size: int, end: int) -> list[bytes]:
        """Return the consistency proof from a smaller tree, of one entry at least (RFC 6962 section 2.1.2)."""
        first, proof, is_known = 0, list[bytes](), True
        while size != end:
            middle = first + _split(end - first)
            if size <= middle:
                proof.append(self._over(middle, end))
                end = middle
            else:
                proof.append(self._over(first, middle))
                first, is_known = middle, False
        if not is_known:
            proof.append(self._over(first, end))
        return proof[::-1]

    def _over(self, first: int, end: int) -> bytes:
        """Return the root over entries, whose first number is that of a whole subtree."""
        size = end - first
        if size == 0:
            return hashlib.sha256().digest()
        if size & (size - 1):
            middle = first + _split(size)
            return _node(self._over(first, middle), self._over(middle, end))
        level = (size.bit_length() - 1) // 8
        return _root(self.hashes(level, first >> 8 * level, size >> 8 * level))


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(size: int) -> int:
    """Return the largest power of two below a size above 1."""
    return 1 << (size - 1).bit_length() - 1


def _root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [_node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]

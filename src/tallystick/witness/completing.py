"""What completes receipts: proofs that their texts are in the witness's tree, and what others say of that tree.

Others are cosigners, who sign its checkpoints, and a time-stamp authority. Of each log the newest text in the tree is
kept, and the newest one in a tree that enough cosigners signed, or that has a token: so receipts that are fetched later
are complete.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tallystick import _core
from tallystick.witness.desk import Job
from tallystick.witness.store import Held, Store
from tallystick.witness.tree import Tree

__all__ = ["Completing", "Signing"]

T = TypeVar("T")

_TABLES = (
    "CREATE TABLE IF NOT EXISTS published (size BIGINT PRIMARY KEY, root BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS stamped (size BIGINT PRIMARY KEY, root BLOB NOT NULL, token BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS enough (size BIGINT PRIMARY KEY, root BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS cosigned (
        size BIGINT, cosigner TEXT, line TEXT NOT NULL, PRIMARY KEY (size, cosigner))""",
    "CREATE TABLE IF NOT EXISTS included (log BIGINT, text BLOB, number BIGINT NOT NULL, PRIMARY KEY (log, text))",
    """CREATE TABLE IF NOT EXISTS completed (
        log BIGINT, number BIGINT, time BIGINT NOT NULL, gap BIGINT NOT NULL, text BLOB NOT NULL,
        PRIMARY KEY (log, number))""",
)
_NEWEST = 16  # texts that no later one contains, of which receipts are given; each takes a signature
_TREES = ("published", "enough", "stamped")


@dataclass(frozen=True, slots=True)
class Signing:
    """A published checkpoint that others may sign.

    Args:
        size: Size of the tree.
        root: Its root.
        note: The checkpoint, signed by the witness.
        cosigners: Keys of those that have cosigned it.
    """

    size: int
    root: bytes
    note: str
    cosigners: frozenset[str]

    @property
    def text(self) -> str:
        """The text that is signed."""
        return self.note.partition("\n\n")[0] + "\n"


class Completing:
    """What completes receipts.

    Args:
        store: Where it is.
        tree: The tree.
        signer: The witness's key, whose name is the tree's origin.
    """

    def __init__(self, store: Store, tree: Tree, signer: _core.NoteSigner) -> None:
        self._tree, self._signer = tree, signer
        for table in _TABLES:
            store.database.run(table)

    def include(self, store: Store, log: int, number: int, held: Held) -> None:
        """Remember which entry is that of a text; forget texts that others took the place of."""
        run, digest = store.database.run, hashlib.sha256(held.text).digest()
        if run("SELECT 1 FROM included WHERE log = ? AND text = ?", (log, digest)):
            return
        run("INSERT INTO included VALUES (?, ?, ?)", (log, digest, number))
        run("INSERT INTO completed VALUES (?, ?, ?, ?, ?)", (log, number, held.time, int(held.gap), held.text))
        kept = [number]
        for name in ("enough", "stamped"):
            ((size,),) = run(f"SELECT coalesce(max(size), 0) FROM {name}")
            query = "SELECT coalesce(max(number), -1) FROM completed WHERE log = ? AND number < ?"
            kept.append(int(run(query, (log, size))[0][0]))
        run("DELETE FROM completed WHERE log = ? AND number NOT IN (?, ?, ?)", (log, *kept))

    def forget(self, store: Store) -> None:
        """Forget cosignatures of trees that no proof is from any more."""
        sizes = " UNION ".join(f"SELECT size FROM {name}" for name in _TREES)
        store.database.run(f"DELETE FROM cosigned WHERE size NOT IN ({sizes})")

    def note(self, store: Store, size: int, root: bytes) -> Callable[[], str]:
        """Give the checkpoint of a tree, with the cosignatures that there are; a job's end."""
        rows = store.database.run("SELECT line FROM cosigned WHERE size = ? ORDER BY cosigner", (size,))
        text = f"{self._signer.key.name}\n{size}\n{_base64(bytes(root))}\n"
        return lambda: self._signer.sign(text) + "".join(line for (line,) in rows)

    def signing(self, store: Store, now: int) -> Callable[[], Signing | None]:
        """Give the published checkpoint; a job. None where nothing was published yet."""
        rows = store.database.run("SELECT size, root FROM published")
        if not rows:
            return lambda: None
        size, root = int(rows[0][0]), bytes(rows[0][1])
        done = store.database.run("SELECT cosigner FROM cosigned WHERE size = ?", (size,))
        note, cosigners = self.note(store, size, root), frozenset(one for (one,) in done)
        return lambda: Signing(size, root, note(), cosigners)

    def sizes(self, store: Store) -> tuple[int, int]:
        """Return the size of the published tree, and of the newest one that enough cosigners signed; 0 for none."""
        found = [
            store.database.run(f"SELECT coalesce(max(size), 0) FROM {name}")[0][0] for name in ("published", "enough")
        ]
        return int(found[0]), int(found[1])

    def consistency(self, size: int, end: int) -> Job[list[bytes]]:
        """Give the consistency proof from a smaller tree; a job."""
        return lambda store, now: _constant(self._tree.consistency(size, end) if size else [])

    def keep_cosignatures(self, signing: Signing, lines: dict[str, str], is_enough: bool) -> Job[None]:
        """Keep cosignatures of a checkpoint, by the keys of the cosigners; a job."""

        def job(store: Store, now: int) -> Callable[[], None]:
            for cosigner, line in lines.items():
                statement = "INSERT INTO cosigned VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
                store.database.run(statement, (signing.size, cosigner, line))
            if is_enough:
                store.database.run("DELETE FROM enough")
                store.database.run("INSERT INTO enough VALUES (?, ?)", (signing.size, signing.root))
            return lambda: None

        return job

    def is_stamped(self, size: int) -> Job[bool]:
        """Is there a token over the checkpoint of a size? A job."""
        return lambda store, now: _constant(bool(store.database.run("SELECT 1 FROM stamped WHERE size = ?", (size,))))

    def keep_token(self, signing: Signing, token: bytes) -> Job[None]:
        """Keep a time-stamp token over a checkpoint; a job."""

        def job(store: Store, now: int) -> Callable[[], None]:
            statement = "INSERT INTO stamped VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            store.database.run(statement, (signing.size, signing.root, token))
            return lambda: None

        return job

    def proof(self, root: bytes, text: bytes) -> Job[str | None]:
        """Give the proof that the text of a hash is in the published tree; a job. None where it is not."""

        def job(store: Store, now: int) -> Callable[[], str | None]:
            row = store.log(root)
            return self._proof(store, row.number, text) if row is not None else lambda: None

        return job

    def receipts(self, root: bytes) -> Job[str | None]:
        """Give a file of receipts, with what completes them, of the log of P; a job. None where it is not known."""

        def job(store: Store, now: int) -> Callable[[], str | None]:
            row = store.log(root)
            if row is None:
                return lambda: None
            statement = "SELECT time, gap, text FROM completed WHERE log = ? ORDER BY number"
            kept = [
                Held(time, bool(gap), bytes(text)) for time, gap, text in store.database.run(statement, (row.number,))
            ]
            texts = {one.text: one for one in [*kept, *store.held(row.number)[-_NEWEST:]]}.values()
            found = [(one, self._proof(store, row.number, hashlib.sha256(one.text).digest())) for one in texts]

            def finish() -> str:
                return "".join(
                    f"{one.text.decode()}\n"
                    f"{_core.make_receipt(self._signer, root, one.text, one.time, one.gap)}{proof() or ''}"
                    for one, proof in found
                )

            return finish

        return job

    def _proof(self, store: Store, log: int, text: bytes) -> Callable[[], str | None]:
        rows = store.database.run("SELECT number FROM included WHERE log = ? AND text = ?", (log, text))
        if not rows:
            return lambda: None
        number, found = int(rows[0][0]), list[tuple[int, bytes, bytes | None]]()
        # The first token after the text was accepted says the most about when that was.
        for what in ("token FROM stamped", "NULL FROM enough", "NULL FROM published"):
            query = f"SELECT size, root, {what} WHERE size > ? ORDER BY size LIMIT 1"
            found = found or store.database.run(query, (number,))
        if not found:
            return lambda: None
        size, root, token = found[0]
        extra = f"extra {_base64(bytes(token))}\n" if token is not None else ""
        hashes = "".join(f"{_base64(one)}\n" for one in self._tree.inclusion(number, size))
        head, note = f"c2sp.org/tlog-proof@v1\n{extra}index {number}\n{hashes}\n", self.note(store, size, root)
        return lambda: head + note()


def _constant(value: T) -> Callable[[], T]:
    return lambda: value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

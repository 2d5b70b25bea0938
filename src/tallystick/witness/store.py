"""What a witness remembers of logs (spec section 11): rows of a database, read and written within its transactions.

>>> import tempfile
>>> from tallystick.witness.database import open_database
>>> with tempfile.TemporaryDirectory() as directory:
...     store = Store(open_database(directory), "w.example+…")
...     for clock in (1000, 900):      # time never goes back
...         print(store.begin(clock))
...         store.database.commit()
...     store.database.close()
1000
1000
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.witness.database import Database
from tallystick.witness.errors import StoreError

__all__ = ["Ahead", "Held", "KnownLog", "Overview", "Store"]

_FORMAT = 1
_FORKS = 32  # pairs of texts that are kept of one log; more are counted

_TABLES = (
    "CREATE TABLE IF NOT EXISTS witness (format BIGINT, key TEXT, clock BIGINT, stopped TEXT)",
    """CREATE TABLE IF NOT EXISTS logs (
        id BIGINT PRIMARY KEY, root BLOB UNIQUE NOT NULL, name TEXT NOT NULL, public TEXT NOT NULL,
        is_open BIGINT NOT NULL,
        due BIGINT NOT NULL DEFAULT 0, older BIGINT NOT NULL DEFAULT 0, forks BIGINT NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS texts (
        log BIGINT, number BIGINT, time BIGINT NOT NULL, gap BIGINT NOT NULL, text BLOB NOT NULL,
        PRIMARY KEY (log, number))""",
    """CREATE TABLE IF NOT EXISTS forks (
        log BIGINT, number BIGINT, time BIGINT NOT NULL, known BLOB NOT NULL, shown BLOB NOT NULL,
        PRIMARY KEY (log, number))""",
    """CREATE TABLE IF NOT EXISTS ahead (
        log BIGINT, hash BLOB, time BIGINT NOT NULL, gap BIGINT NOT NULL, text BLOB NOT NULL,
        PRIMARY KEY (log, hash))""",
    "CREATE INDEX IF NOT EXISTS logs_due ON logs (due)",
)


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log that the witness knows.

    Args:
        number: Its number here.
        root: P.
        public: Its public file, with an `open` of each generation that was met.
    """

    number: int
    root: bytes
    public: str


@dataclass(frozen=True, slots=True)
class Held:
    """A text that was accepted.

    Args:
        time: When, ms since 1970.
        gap: Does nothing prove that it contains the one before it?
        text: The text.
    """

    time: int
    gap: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class Ahead:
    """A text that this witness signed for, as its receipt shows, and does not remember."""

    log: int
    held: Held


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows of a log.

    Args:
        root: P.
        name: Its name.
        newest: The text accepted last; None if there is none yet.
        kept: How many texts are kept.
        older: How often older texts were shown.
        forks: How many texts were shown that cannot be true together with what was accepted.
    """

    root: bytes
    name: str
    newest: Held | None
    kept: int
    older: int
    forks: int


class Store:
    """Logs, and the texts that were accepted of them.

    Args:
        database: Where they are.
        key: The witness's public key. A store belongs to one.

    Raises:
        StoreError: It cannot be read, or belongs to another key.
    """

    def __init__(self, database: Database, key: str) -> None:
        self.database = database
        database.begin()
        try:
            for table in _TABLES:
                database.run(table)
            rows = database.run("SELECT format, key FROM witness")
            if not rows:
                database.run("INSERT INTO witness VALUES (?, ?, 0, NULL)", (_FORMAT, key))
            elif rows[0][0] != _FORMAT:
                raise StoreError("the store was made by a newer version", hint="update this one")
            elif rows[0][1] != key:
                raise StoreError(f"the store is that of the key {rows[0][1]}", hint="name its key, or another store")
            database.commit()
        except BaseException:
            database.rollback()
            raise

    def begin(self, clock: int) -> int:
        """Begin a transaction; give the time that holds in it, ms since 1970, which never goes back."""
        self.database.begin()
        # Always written: so one transaction waits for another even where two witnesses share a database.
        self.advance(clock)
        ((now,),) = self.database.run("SELECT clock FROM witness")
        return int(now)

    def advance(self, time: int) -> None:
        """Let the time be no earlier than this."""
        self.database.run("UPDATE witness SET clock = CASE WHEN clock < ? THEN ? ELSE clock END", (time, time))

    def stopped(self) -> str | None:
        """Return why nothing is signed; None if it is."""
        return self.database.run("SELECT stopped FROM witness")[0][0]  # type: ignore[no-any-return]

    def stop(self, why: str | None) -> None:
        """Sign nothing any more, or go on."""
        self.database.run("UPDATE witness SET stopped = ?", (why,))

    def log(self, root: bytes) -> KnownLog | None:
        """Return the log of P, if it is known."""
        rows = self.database.run("SELECT id, root, public FROM logs WHERE root = ?", (root,))
        return KnownLog(*rows[0]) if rows else None

    def roots(self) -> list[bytes]:
        """Return P of each log."""
        return [bytes(root) for (root,) in self.database.run("SELECT root FROM logs ORDER BY id")]

    def open_logs(self) -> int:
        """Return how many logs are known that nobody named."""
        return int(self.database.run("SELECT count(*) FROM logs WHERE is_open = 1")[0][0])

    def add(self, root: bytes, name: str, public: str, *, is_open: bool) -> KnownLog:
        """Add a log."""
        ((number,),) = self.database.run("SELECT coalesce(max(id), 0) + 1 FROM logs")
        statement = "INSERT INTO logs (id, root, name, public, is_open) VALUES (?, ?, ?, ?, ?)"
        self.database.run(statement, (number, root, name, public, int(is_open)))
        return KnownLog(number, root, public)

    def learn(self, log: int, public: str) -> None:
        """Replace the public file of a log."""
        self.database.run("UPDATE logs SET public = ? WHERE id = ?", (public, log))

    def held(self, log: int) -> list[Held]:
        """Return the texts that no later one contains, in the order of acceptance."""
        rows = self.database.run("SELECT time, gap, text FROM texts WHERE log = ? ORDER BY number", (log,))
        return [Held(time, bool(gap), bytes(text)) for time, gap, text in rows]

    def newest(self, log: int) -> Held | None:
        """Return the text accepted last."""
        rows = self.database.run("SELECT time, gap, text FROM texts WHERE log = ? ORDER BY number DESC LIMIT 1", (log,))
        return Held(rows[0][0], bool(rows[0][1]), bytes(rows[0][2])) if rows else None

    def hold(self, log: int, held: Sequence[Held], unchanged: int) -> None:
        """Replace the texts of a log, but for the first ones, which are as they were."""
        self.database.run("DELETE FROM texts WHERE log = ? AND number >= ?", (log, unchanged))
        for number, one in enumerate(held[unchanged:], unchanged):
            values = (log, number, one.time, int(one.gap), one.text)
            self.database.run("INSERT INTO texts VALUES (?, ?, ?, ?, ?)", values)
        self.database.run("UPDATE logs SET due = 1 WHERE id = ?", (log,))

    def count_older(self, log: int, count: int) -> None:
        """Count older texts that were shown."""
        self.database.run("UPDATE logs SET older = older + ? WHERE id = ?", (count, log))

    def fork(self, log: int, time: int, known: bytes, shown: bytes) -> bool:
        """Keep two texts that cannot both be true, as evidence; return whether that is news."""
        values = (log, known, shown)
        if self.database.run("SELECT 1 FROM forks WHERE log = ? AND known = ? AND shown = ?", values):
            return False
        ((count,),) = self.database.run("SELECT forks FROM logs WHERE id = ?", (log,))
        self.database.run("UPDATE logs SET forks = forks + 1 WHERE id = ?", (log,))
        if count < _FORKS:
            self.database.run("INSERT INTO forks VALUES (?, ?, ?, ?, ?)", (log, count, time, known, shown))
        return True

    def forks(self, log: int) -> list[tuple[bytes, bytes]]:
        """Return pairs of texts that cannot both be true: the one that was known, and the one that was shown."""
        rows = self.database.run("SELECT known, shown FROM forks WHERE log = ? ORDER BY number", (log,))
        return [(bytes(known), bytes(shown)) for known, shown in rows]

    def put_ahead(self, one: Ahead, digest: bytes) -> None:
        """Keep a text that this witness signed for and does not remember; `digest` is its SHA-256."""
        held = one.held
        statement = "INSERT INTO ahead VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self.database.run(statement, (one.log, digest, held.time, int(held.gap), held.text))

    def take_ahead(self) -> list[Ahead]:
        """Take all of them, the oldest first."""
        rows = self.database.run("SELECT log, time, gap, text FROM ahead ORDER BY time")
        self.database.run("DELETE FROM ahead")
        return [Ahead(log, Held(time, bool(gap), bytes(text))) for log, time, gap, text in rows]

    def overview(self) -> list[Overview]:
        """Return what the page shows, in the order of names."""
        rows = self.database.run(
            """SELECT root, name, older, forks, n, time, gap, text FROM logs LEFT JOIN
            (SELECT log, max(number) + 1 AS n FROM texts GROUP BY log) AS newest ON newest.log = logs.id
            LEFT JOIN texts ON texts.log = logs.id AND texts.number = n - 1 ORDER BY name, root"""
        )
        return [
            Overview(
                bytes(root),
                name,
                Held(time, bool(gap), bytes(text)) if text is not None else None,
                n or 0,
                older,
                forks,
            )
            for root, name, older, forks, n, time, gap, text in rows
        ]

"""The database of a witness: SQLite in a directory, or PostgreSQL at a URL; held by one process at a time.

Statements are those that both understand; `?` stands for a value.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     database = open_database(directory)
...     database.begin()
...     _ = database.run("CREATE TABLE t (a BIGINT PRIMARY KEY, b BLOB)")
...     _ = database.run("INSERT INTO t VALUES (?, ?)", (1, b"x"))
...     database.commit()
...     print(database.run("SELECT a, b FROM t"))
...     database.close()
[(1, b'x')]
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tallystick import securefile
from tallystick._services import library
from tallystick.errors import reason
from tallystick.keystore.postgresql import connection_options
from tallystick.keystore.remote import Place
from tallystick.secreturl import SecretUrl
from tallystick.witness.errors import StoreError

__all__ = ["Database", "Row", "open_database"]

Row = tuple[Any, ...]

_LOCK = 0x74616C6C79776974  # of PostgreSQL: one witness in a database
_SETTINGS = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"


class Database(Protocol):
    """A database. Everything raises `StoreError`; one thread at a time."""

    def begin(self) -> None:
        """Begin a transaction."""

    def commit(self) -> None:
        """End it; what it wrote is durable."""

    def rollback(self) -> None:
        """End it; nothing of it is left. Never raises."""

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run a statement; give its rows."""

    def close(self) -> None:
        """Close it."""


def open_database(where: str) -> Database:
    """Open the database at a URL of PostgreSQL, or in a directory, which is made where there is none.

    Raises:
        StoreError: It cannot be opened, or another witness has it.
    """
    if where.startswith(("postgresql://", "postgres://")):
        return _Postgres(SecretUrl(where))
    return _Sqlite(os.path.abspath(where))


class _Sqlite:
    def __init__(self, directory: str) -> None:
        with securefile.reporting(StoreError, directory):
            securefile.make_directories(directory)
            self._directory = securefile.open_path(directory)
        try:
            self._hold(directory)
            path = Path(directory, "witness.db")
            with suppress(FileExistsError), securefile.creating(path.name, self._directory):
                pass
            with securefile.reporting(StoreError, str(path)):
                os.close(securefile.open_file(path.name, self._directory, os.O_RDWR))
            self._where, self._open = str(path), sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # Each commit is on the disk when it returns.
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
        except BaseException:
            os.close(self._directory)
            raise

    def _hold(self, directory: str) -> None:
        """Keep other witnesses from the directory, as long as this process lives."""
        self._lock = securefile.opened("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, within=self._directory)
        try:
            securefile.lock(self._lock, wait=False)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(
                f"{directory}: {'another witness has it' if isinstance(error, BlockingIOError) else reason(error)}",
                hint="end that one, or name another directory",
            ) from None

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        with suppress(sqlite3.Error):
            if self._open.in_transaction:
                self._open.execute("ROLLBACK")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._open.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._where}: {error}", hint="is there room on the disk?") from error

    def close(self) -> None:
        self._open.close()
        os.close(self._lock)
        os.close(self._directory)


class _Postgres:
    def __init__(self, url: SecretUrl) -> None:
        self._psycopg = library("psycopg", "postgresql", StoreError)
        options = connection_options(self._psycopg, Place.parse(url, None, ()))
        if options is None:
            raise StoreError(f"{url} is malformed", hint="write postgresql://USER@HOST:PORT/DATABASE")
        self._url, self._options = url, options
        self._open: Any = None
        self._connected()

    def _connected(self) -> Any:
        """Return the connection, with which the lock ends; a new one where that is broken."""
        if self._open is not None and not self._open.broken and not self._open.closed:
            return self._open
        options = {
            **self._options,
            "connect_timeout": 10,
            "options": _SETTINGS,
            "application_name": "tallystick witness",
        }
        try:
            made = self._psycopg.connect(**options, autocommit=True)
            if not made.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()[0]:
                made.close()
                raise StoreError(f"{self._url}: another witness has it", hint="end that one, or name another database")
            if made.execute("SHOW synchronous_commit").fetchone()[0] == "off":
                made.execute("SET synchronous_commit TO on")
        except self._psycopg.Error as error:
            raise self._trouble(error) from None
        self._open = made
        return made

    def begin(self) -> None:
        self._connected()
        self.run("BEGIN")

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        with suppress(Exception):
            self._open.execute("ROLLBACK")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        statement = statement.replace("?", "%s").replace("BLOB", "bytea")
        try:
            done = self._open.execute(statement, values or None)
            return done.fetchall() if done.description is not None else []
        except self._psycopg.Error as error:
            raise self._trouble(error) from None

    def close(self) -> None:
        with suppress(Exception):
            self._open.close()

    def _trouble(self, error: Exception) -> StoreError:
        # What the library says may hold parts of the URL, the password too.
        return StoreError(f"{self._url}: {type(error).__name__}", hint="see that the server runs and takes this user")

"""PostgreSQL as key store: `postgresql://[USER@]HOST[:PORT]/DATABASE[?OPTION=VALUE...]`, options as for libpq.

A server on another host must show a certificate for its name (`sslmode=verify-full`), unless the URL says otherwise.
A row of the table `tallystick_logs` holds all of a log. The lease is an advisory lock, which ends with the connection,
and a token in the row, without which nothing is replaced. The password comes best from ~/.pgpass or from the
environment variable PGPASSWORD.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import zip_longest
from typing import Any, LiteralString
from urllib.parse import urlencode

from tallystick._services import AwayError, Line, is_here, library
from tallystick.errors import KeyStoreError, NoRoomError
from tallystick.keystore.base import HeadText, Stored
from tallystick.keystore.remote import Field, Place, Record, RemoteStore, Session
from tallystick.secreturl import SecretUrl

__all__ = ["connection_options", "open_store"]

# Options of libpq that are not secret, and name the place of a store.
_HARMLESS = ("dbname", "host", "hostaddr", "port", "service", "sslmode", "sslrootcert", "target_session_attrs", "user")
_PATIENCE = (0.02, 0.1, 0.3)  # seconds: a writer that has just got the lease may not have named itself yet

_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS tallystick_logs (
    name text PRIMARY KEY, state bytea NOT NULL, head bytea, note bytea,
    state_version bigint NOT NULL DEFAULT 1, head_version bigint NOT NULL DEFAULT 1, token text NOT NULL, who bytea
)
"""
_LOAD: LiteralString = """
SELECT {}, head, state_version, head_version, token,
    CASE WHEN EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32) + objid::bigint = %s
    ) THEN coalesce(who, '') END
FROM tallystick_logs WHERE name = %s
"""
_REPLACE: dict[Field, tuple[LiteralString, LiteralString]] = {
    "state": (
        """UPDATE tallystick_logs SET state = %s, state_version = %s
        WHERE name = %s AND token = %s AND state_version BETWEEN %s AND %s""",
        "SELECT FROM tallystick_logs WHERE name = %s AND token = %s AND state_version = %s",
    ),
    "head": (
        """UPDATE tallystick_logs SET head = %s, head_version = %s
        WHERE name = %s AND token = %s AND head_version BETWEEN %s AND %s""",
        "SELECT FROM tallystick_logs WHERE name = %s AND token = %s AND head_version = %s",
    ),
}
# A writer whose host died must not keep its lock for the two hours that are the rule.
_SETTINGS = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"


def open_store(url: SecretUrl) -> RemoteStore:
    """Return the key store at a URL; nothing is opened yet.

    Raises:
        KeyStoreError: It is malformed, or the package psycopg is not installed.
    """
    psycopg = library("psycopg", "postgresql", KeyStoreError)
    place = Place.parse(url, None, _HARMLESS)
    if connection_options(psycopg, place) is None:
        raise KeyStoreError(
            "the URL of the key store on postgresql is malformed, or libpq does not know one of its options",
            hint="write postgresql://USER@HOST:PORT/DATABASE",
        )
    return RemoteStore(place, lambda place: PostgresSession(place, psycopg))


def connection_options(psycopg: Any, place: Place) -> dict[str, Any] | None:
    """Return the options of a connection, which may hold a password; None if the URL is malformed."""
    query = urlencode(place.options).replace("+", "%20")
    try:
        url = place.url.reveal().partition("?")[0] + (f"?{query}" if query else "")
        options: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(url)
        [int(port) for port in str(options.get("port") or "0").split(",") if port]
    except (psycopg.Error, ValueError):
        return None
    if not ("sslmode" in options or "PGSSLMODE" in os.environ or _is_here(options)):
        options["sslmode"] = "verify-full"
    return options


def _is_here(options: Mapping[str, str]) -> bool:
    """Is each server that these options name on this host? As libpq finds them: the environment says the rest."""

    def given(name: str) -> list[str]:
        return (options.get(name) or os.environ.get(f"PG{name.upper()}", "")).split(",")

    if given("service") != [""]:  # a file says where that is
        return False
    # Where there is an address, it is the one that is asked, and the host is only a name.
    places = (address or host for host, address in zip_longest(given("host"), given("hostaddr"), fillvalue=""))
    return all(place.startswith(("/", "@")) or not place or is_here(place) for place in places)


class PostgresSession(Session):
    """A connection to PostgreSQL, with which the lock of a lease ends; `Session` describes its methods."""

    provider = "PostgreSQL"
    remedy = "see that the server runs, and that address, TLS and password are right"

    def __init__(self, place: Place, psycopg: Any) -> None:
        self._place, self._psycopg = place, psycopg
        self.patience, self._line = place.timeout / 2, Line()
        self._open: Any = None
        self._name: str | None = None  # the log whose lock we want to have
        self._locked = False

    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        with self._connected() as connection:
            if connection.execute("SELECT to_regclass('tallystick_logs')").fetchone()[0] is None:
                try:
                    connection.execute(_TABLE)
                except self._psycopg.errors.UniqueViolation:  # another process makes it just now
                    raise AwayError("makes its table just now") from None
            insert = (
                "INSERT INTO tallystick_logs (name, state, head, token) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
            )
            connection.execute(insert, (name, state, head, token))
            mine = connection.execute("SELECT FROM tallystick_logs WHERE name = %s AND token = %s", (name, token))
            return mine.fetchone() is not None

    def names(self) -> list[str]:
        with self._connected() as connection:
            try:
                return [name for (name,) in connection.execute("SELECT name FROM tallystick_logs").fetchall()]
            except self._psycopg.errors.UndefinedTable:
                return []

    def load(self, name: str) -> Record | None:
        return self._record(name, _LOAD.format("state"))

    def peek(self, name: str) -> Record | None:
        return self._record(name, _LOAD.format("''::bytea"))

    def _record(self, name: str, load: LiteralString) -> Record | None:
        with self._connected() as connection:
            try:
                row = connection.execute(load, (_key(name), name), binary=True).fetchone()
            except self._psycopg.errors.UndefinedTable:
                return None
            if row is None:
                return None
            state, head, state_version, head_version, token, who = row
            stored = Stored(state, head and HeadText(head))
            return Record(stored, {"state": state_version, "head": head_version}, token, who)

    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        with self._connected() as connection:
            if not self._lock(connection, name):
                for pause in _PATIENCE:
                    row = connection.execute("SELECT who FROM tallystick_logs WHERE name = %s", (name,)).fetchone()
                    if row and row[0]:
                        return bytes(row[0])
                    time.sleep(pause)
                return b""
            self._name = name
            connection.execute("UPDATE tallystick_logs SET token = %s, who = %s WHERE name = %s", (token, who, name))
            return None

    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        update, look = _REPLACE[field]
        with self._connected() as connection:
            try:
                if connection.execute(update, (data, high + 1, name, token, low, high)).rowcount == 1:
                    return True
            except self._psycopg.errors.UndefinedTable:
                return False
            return connection.execute(look, (name, token, high + 1)).fetchone() is not None

    def renew(self, name: str, token: str) -> bool:
        with self._connected() as connection:
            if not self._locked:  # the server may not have noticed yet that our last connection ended
                self._lock(connection, name)
            query = "SELECT FROM tallystick_logs WHERE name = %s AND token = %s"
            return connection.execute(query, (name, token)).fetchone() is not None

    def release(self, name: str, token: str) -> None:
        self._name = None
        with self._connected() as connection:
            connection.execute("UPDATE tallystick_logs SET who = NULL WHERE name = %s AND token = %s", (name, token))
            if self._locked:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_key(name),))
                self._locked = False

    def remove(self, name: str, token: str) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM tallystick_logs WHERE name = %s AND token = %s", (name, token))

    def note(self, name: str) -> bytes | None:
        with self._connected() as connection:
            query = "SELECT note FROM tallystick_logs WHERE name = %s"
            row = connection.execute(query, (name,), binary=True).fetchone()
            return row[0] if row else None

    def replace_note(self, name: str, note: bytes, token: str) -> None:
        with self._connected() as connection:
            update = "UPDATE tallystick_logs SET note = %s WHERE name = %s AND token = %s"
            connection.execute(update, (note, name, token))

    def close(self) -> None:
        """Close the connection, and with it give up the lock; the next call makes another."""
        connection, self._open, self._locked = self._open, None, False
        if connection is not None:
            with suppress(Exception):
                connection.close()
        self._line.close()

    def forget(self) -> None:
        """In a forked child: make our copy of the connection lead nowhere, as closing it would end it for both."""
        connection, self._open = self._open, None
        self._line.forget()
        if connection is None or connection.closed:
            return
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nowhere, connection.fileno(), inheritable=False)
        os.close(nowhere)

    def _lock(self, connection: Any, name: str) -> bool:
        # A second attempt may come on the same connection, and locks are counted.
        if not self._locked:
            self._locked = connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),)).fetchone()[0]
        return self._locked

    def _connect(self) -> Any:
        given = connection_options(self._psycopg, self._place) or {}
        options = {
            **given,
            "options": f"{_SETTINGS} {given.get('options', '')}".strip(),
            "connect_timeout": max(2, round(self._place.timeout / 2)),  # for each address of each host
        }
        connection = self._line.open(lambda: self._psycopg.connect(autocommit=True, prepare_threshold=None, **options))
        connection.execute(f"SET statement_timeout = {round(self._place.timeout * 500)}")
        if connection.execute("SHOW synchronous_commit").fetchone()[0] == "off":
            connection.execute("SET synchronous_commit = on")
        return connection

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Give a block an open connection, and turn its trouble into errors for people."""
        # The client library waits for ever, so half of the time is left for another attempt.
        with self._line.within(min(self.patience, self._place.timeout / 2)), self._words():
            if self._open is None:
                self._open = self._connect()
                if self._name is not None:
                    self._lock(self._open, self._name)
            yield self._open

    @contextmanager
    def _words(self) -> Iterator[None]:
        errors = self._psycopg.errors
        try:
            yield
        except (errors.QueryCanceled, self._psycopg.errors.ConnectionTimeout):
            raise AwayError("does not answer in time") from None
        except (errors.InsufficientPrivilege, errors.InvalidAuthorizationSpecification, errors.InvalidPassword):
            raise self._refused() from None
        except errors.DiskFull:
            raise NoRoomError(f"PostgreSQL at {self._place.shown} has no room left", hint="make room there") from None
        except self._psycopg.OperationalError as error:
            # A connection that could not be made has no code, only text, which may quote its options.
            text = str(error)
            if "authentication failed" in text or "no password supplied" in text or "pg_hba.conf" in text:
                raise self._refused() from None
            if "does not exist" in text and "FATAL" in text:
                raise KeyStoreError(
                    f"PostgreSQL at {self._place.shown} has no such database or user", hint="make it there"
                ) from None
            if "certificate" in text or "SSL" in text:
                raise KeyStoreError(
                    f"PostgreSQL at {self._place.shown} and this host do not agree on TLS",
                    hint="a server on another host "
                    "must show a certificate for its name, whose authority sslrootcert=FILE names, if the URL does "
                    "not say another sslmode",
                ) from None
            raise AwayError("cannot be reached, or the connection broke") from None
        except OSError:
            raise AwayError("cannot be reached, or the connection broke") from None
        except self._psycopg.ProgrammingError as error:
            code = f"SQLSTATE {error.sqlstate}" if error.sqlstate else "an option of its URL is not known"
            raise KeyStoreError(
                f"PostgreSQL at {self._place.shown} refuses a command ({code})", hint="look at its log"
            ) from None
        except (self._psycopg.Error, ValueError, TypeError, UnicodeError) as error:
            raise AwayError(f"answers what PostgreSQL would not ({type(error).__name__})") from None

    def _refused(self) -> KeyStoreError:
        return KeyStoreError(
            f"PostgreSQL at {self._place.shown} refuses user or password",
            hint="give the password by ~/.pgpass or by the "
            "environment variable PGPASSWORD, and the user the right to the table tallystick_logs",
        )


def _key(name: str) -> int:
    """Return the number of a log's advisory lock: 63 bits, as the server's list of locks shows them."""
    return int.from_bytes(hashlib.sha256(b"tallystick " + name.encode()).digest()[:8], "big") >> 1

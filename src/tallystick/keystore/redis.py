"""Redis or Valkey as key store: `redis://[USER@]HOST[:PORT][/DATABASE]`, with TLS `rediss://`.

Without TLS a server must be on this host, or the URL says `tls=off`.
A hash `tallystick:NAME` holds all of a log; scripts on the server change it, so each change is whole and looks at
the lease first. The lease expires by the server's clock. The password comes best from the environment variable
TALLYSTICK_REDIS_PASSWORD. A server that could forget what it has confirmed is refused: it must sync its append-only
file before it answers.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from tallystick._services import AwayError, Line, is_here, library
from tallystick.errors import KeyStoreError, NoRoomError
from tallystick.keystore.base import HeadText, Stored
from tallystick.keystore.remote import Field, Place, Record, RemoteStore, Session
from tallystick.secreturl import SecretUrl

__all__ = ["open_store"]

_PREFIX = "tallystick:"

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HGET', KEYS[1], 'token') == ARGV[3] and 1 or 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'head', ARGV[2], 'token', ARGV[3], 'state version', 1, 'head version', 1)
return 1
"""
_LOAD = f"""{_NOW}
local h = redis.call('HMGET', KEYS[1], ARGV[1], 'head', 'state version', 'head version', 'token', 'who', 'until')
h[6] = (tonumber(h[7] or 0) > now) and h[6] or false
return h
"""
_TAKE = f"""{_NOW}
local h = redis.call('HMGET', KEYS[1], 'token', 'who', 'until')
if not h[1] then return '' end
if tonumber(h[3] or 0) > now and h[1] ~= ARGV[1] then return h[2] end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'who', ARGV[2], 'until', now + ARGV[3])
return false
"""
_REPLACE = f"""{_NOW}
local h = redis.call('HMGET', KEYS[1], 'token', ARGV[1] .. ' version')
local version = tonumber(h[2] or 0)
if h[1] ~= ARGV[3] then return 0 end
if version == ARGV[5] + 1 then return 1 end
if version < tonumber(ARGV[4]) or version > tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[1] .. ' version', ARGV[5] + 1, 'until', now + ARGV[6])
return 1
"""
_RENEW = f"""{_NOW}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
return 1
"""
_RELEASE = "if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('HDEL', KEYS[1], 'until', 'who') end"
_REMOVE = "if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_NOTE = "if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('HSET', KEYS[1], 'note', ARGV[2]) end"


def open_store(url: SecretUrl) -> RemoteStore:
    """Return the key store at a URL; nothing is opened yet.

    Raises:
        KeyStoreError: It is malformed, names another host without TLS, or the package redis is not installed.
    """
    redis = library("redis", "redis", KeyStoreError)
    place = Place.parse(url, {"cacert": "", "tls": ""})
    guarded, tls = url.scheme == "rediss", place.options["tls"]
    if tls not in ("", "on" if guarded else "off"):
        raise KeyStoreError("write rediss:// for Redis with TLS, or redis:// and ?tls=off for Redis without")
    if not (guarded or tls or is_here(urlsplit(url.reveal()).hostname or "")):
        raise KeyStoreError(
            f"{place.shown} is on another host, and without TLS others on the way can read and change all",
            hint="write rediss://, or add tls=off if the way there is guarded",
        )
    return RemoteStore(place, lambda place: RedisSession(place, redis))


class RedisSession(Session):
    """A connection to Redis; `Session` describes its methods."""

    provider = "Redis"
    remedy = "see that the server runs, and that address, TLS and password are right"

    def __init__(self, place: Place, redis: Any) -> None:
        self._place, self._redis = place, redis
        self.patience, self._line = place.timeout / 2, Line()
        self._open: Any = None
        self._durably: Callable[[], None] = lambda: None

    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        return bool(self._write(_CREATE, name, state, head, token))

    def names(self) -> list[str]:
        with self._connected() as client:
            found = [key.decode("utf-8", "replace") for key in client.scan_iter(match=f"{_PREFIX}*", count=1000)]
        return [key.removeprefix(_PREFIX) for key in set(found)]

    def load(self, name: str) -> Record | None:
        return self._record(name, "state")

    def peek(self, name: str) -> Record | None:
        return self._record(name, "")

    def _record(self, name: str, wanted: str) -> Record | None:
        with self._connected() as client:
            state, head, *versions, token, who, _ = client.eval(_LOAD, 1, _PREFIX + name, wanted)
            if (wanted and state is None) or token is None:
                return None
            state = state or b""
            numbers: dict[Field, int] = {"state": int(versions[0]), "head": int(versions[1])}
            return Record(Stored(state, head and HeadText(head)), numbers, token.decode(), who)

    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        return self._write(_TAKE, name, token, who, self._expiry)  # type: ignore[no-any-return]

    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        return bool(self._write(_REPLACE, name, field, data, token, low, high, self._expiry))

    def renew(self, name: str, token: str) -> bool:
        with self._connected() as client:
            return bool(client.eval(_RENEW, 1, _PREFIX + name, token, self._expiry))

    def release(self, name: str, token: str) -> None:
        with self._connected() as client:
            client.eval(_RELEASE, 1, _PREFIX + name, token)

    def remove(self, name: str, token: str) -> None:
        self._write(_REMOVE, name, token)

    def note(self, name: str) -> bytes | None:
        with self._connected() as client:
            return client.hget(_PREFIX + name, "note")  # type: ignore[no-any-return]

    def replace_note(self, name: str, note: bytes, token: str) -> None:
        with self._connected() as client:
            client.eval(_NOTE, 1, _PREFIX + name, token, note)

    def close(self) -> None:
        client, self._open = self._open, None
        if client is not None:
            with suppress(Exception):
                client.close()
        self._line.close()

    def forget(self) -> None:
        """In a forked child: the client sees the fork itself, and closes without a word."""
        self._open = None
        self._line.forget()

    @property
    def _expiry(self) -> int:
        return round(self._place.expiry * 1000)

    def _write(self, script: str, name: str, *arguments: bytes | str | int) -> Any:
        with self._connected() as client:
            answer = client.eval(script, 1, _PREFIX + name, *arguments)
            self._durably()
            return answer

    def _connect(self) -> Any:
        redis, line, patience = self._redis, self._line, self._place.timeout / 2
        guarded, cacert = self._place.url.scheme == "rediss", self._place.options["cacert"]
        options: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True} if guarded else {}
        if cacert:
            options["ssl_ca_certs"] = cacert
        if "TALLYSTICK_REDIS_PASSWORD" in os.environ:
            options["password"] = os.environ["TALLYSTICK_REDIS_PASSWORD"]
        kind: Any = redis.SSLConnection if guarded else redis.Connection

        class Held(kind):  # type: ignore[misc]
            def _connect(self) -> Any:
                return line.open(super()._connect)

        client = redis.Redis.from_url(
            self._place.url.reveal().partition("?")[0],
            connection_class=Held,
            protocol=2,  # in the next one a server may send its clients to another host
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # attempts are ours to make
            single_connection_client=True,  # WAITAOF covers the writes of its own connection
            **options,
        )
        self._durably = self._find_durability(client)
        return client

    def _find_durability(self, client: Any) -> Callable[[], None]:
        """Return the call that makes a write outlast a crash of the server."""
        info = client.info("persistence")
        if not info.get("aof_enabled"):
            raise KeyStoreError(
                f"Redis at {self._place.shown} keeps no append-only file, so a crash would bring old states back",
                hint="set `appendonly yes` and `appendfsync always` there",
            )
        if tuple(int(part) for part in str(client.info("server")["redis_version"]).split(".")[:2]) >= (7, 2):
            return lambda: self._wait_for_disk(client)
        try:
            policy = client.config_get("appendfsync").get("appendfsync")
        except self._redis.NoPermissionError:
            policy = None
        if policy != "always":
            raise KeyStoreError(
                f"Redis at {self._place.shown} answers before its append-only file is on the disk",
                hint="set "
                "`appendfsync always` there and let this user read it by CONFIG GET, or take Redis 7.2 or newer",
            )
        return lambda: None

    def _wait_for_disk(self, client: Any) -> None:
        if not client.execute_command("WAITAOF", 1, 0, round(self._place.timeout * 500))[0]:
            raise AwayError("its append-only file did not reach the disk in time")

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Give a block an open client, and turn its trouble into errors for people."""
        with self._line.within(self.patience), self._words():
            if self._open is None:
                self._open = self._connect()
            yield self._open

    @contextmanager
    def _words(self) -> Iterator[None]:
        errors = self._redis.exceptions
        try:
            yield
        except (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError):
            raise KeyStoreError(
                f"Redis at {self._place.shown} refuses user or password",
                hint="give the password by the environment variable "
                "TALLYSTICK_REDIS_PASSWORD, and the user the rights that the documentation lists",
            ) from None
        except errors.TimeoutError:
            raise AwayError("does not answer in time") from None
        except errors.ReadOnlyError:
            raise AwayError("is a replica that takes no writes") from None
        except errors.OutOfMemoryError:
            raise NoRoomError(f"Redis at {self._place.shown} has no memory left", hint="make room there") from None
        except (errors.InvalidResponse, ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise AwayError("answers what Redis would not") from None
        except errors.BusyLoadingError:
            raise AwayError("is still loading its data") from None
        except (errors.ConnectionError, OSError):
            raise AwayError("cannot be reached, or the connection broke") from None
        except errors.ResponseError as error:
            code = str(error).split(" ", 1)[0]
            if code in ("NOAUTH", "WRONGPASS", "NOPERM"):
                raise KeyStoreError(
                    f"Redis at {self._place.shown} refuses user or password",
                    hint="give the password by the environment variable TALLYSTICK_REDIS_PASSWORD",
                ) from None
            raise AwayError(f"refuses a command ({code[:40]!r})") from None
        except errors.RedisError as error:
            raise AwayError(f"fails ({type(error).__name__})") from None

"""The configuration file of the service: TOML, read strictly, so that a slip of the pen is no gap in what is watched.

    state = "/var/lib/tallystick-watch"

    [alerts]
    repeat = "4h"

    [[alerts.command]]
    arguments = ["/usr/local/bin/page-me"]

    [[log]]
    name = "payments"
    paths = ["/var/log/payments/audit.log*"]
    keys = ["payments.key"]
    silence = "15m"

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     path = f"{place}/watch.toml"
...     Path(f"{place}/app.key").touch()
...     lines = ['state = "state"', "[[log]]", 'name = "app"', 'paths = ["app.log"]', 'keys = ["app.key"]']
...     _ = Path(path).write_text("\\n".join(lines))
...     config = read_config(path)
...     [entry.name for entry in config.entries], config.state == Path(place) / "state"
(['app'], True)
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tallystick.errors import FormatError, ReportError, reason
from tallystick.verify.catalogue import kinds_allowed
from tallystick.verify.request import Request
from tallystick.verify.witnesses import FRESH, Witness
from tallystick.watch.config import AlertCommand, Alerts, Config, Entry, Syslog, Web, Webhook
from tallystick.web.access import listen_address

__all__ = ["read_config"]

T = TypeVar("T")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 2**24  # bytes of a file


def read_config(path: str | os.PathLike[str]) -> Config:
    """Read a configuration file. Relative paths in it are relative to its directory.

    Args:
        path: The file.

    Raises:
        FormatError: It is no TOML, or something in it is not known, of another type, there twice or not there.
        ReportError: It cannot be read.
    """
    where = os.fspath(path)
    try:
        with open(where, "rb") as file:
            data = file.read(_MOST)
    except OSError as error:
        raise ReportError(f"{where}: {reason(error)}", hint="check the name of the configuration file") from error
    try:
        said = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"this is no TOML: {error}", hint="see docs/watch.md for an example", path=where) from None
    top = _Table(said, "the top", where)
    alerts, web = top.table("alerts"), top.table("web")
    entries = [_entry(table) for table in top.tables("log")]
    names: set[str] = set()
    for entry in entries:
        if entry.name in names:
            raise top.wrong(f"two entries have the name {entry.name!r}", "give each [[log]] a name of its own")
        names.add(entry.name)
    if not entries:
        raise top.wrong("there is nothing to watch", "add a [[log]] with name, paths and keys")
    config = Config(
        tuple(entries),
        top.need("state", top.path("state")),
        top.seconds("interval") or 1.0,
        top.number("stale_after", 2, 10_000) or 10,
        _alerts(alerts) if alerts is not None else Alerts(),
        _web(web) if web is not None else None,
        top.number("jobs", 1, 256) or 2,
    )
    top.end()
    return config


class _Table:
    """A table of the file; each value is taken once, and what is left over is refused."""

    def __init__(self, values: Mapping[str, Any], name: str, file: str) -> None:
        self._left, self._name, self._file = dict(values), name, file
        self._base = os.path.dirname(os.path.abspath(file))

    def wrong(self, what: str, hint: str) -> FormatError:
        """Return an error about this table."""
        return FormatError(f"in {self._name}: {what}", hint=hint, path=self._file)

    def need(self, key: str, value: T | None) -> T:
        """Return a value that must be there."""
        if value is None:
            raise self.wrong(f"{key} is not there", f"add a line with {key} =")
        return value

    def text(self, key: str) -> str | None:
        """Take a text."""
        return self._take(key, str, "a text in quotes")

    def one_of(self, key: str, words: Sequence[str]) -> str | None:
        """Take one of some words."""
        word = self.text(key)
        if word is not None and word not in words:
            raise self.wrong(f"{key} is {word!r}", f"write one of: {', '.join(words)}")
        return word

    def flag(self, key: str) -> bool:
        """Take true or false."""
        return bool(self._take(key, bool, "true or false"))

    def number(self, key: str, least: int, most: int) -> int | None:
        """Take a whole number."""
        value = self._take(key, int, "a whole number")
        if value is not None and (isinstance(value, bool) or not least <= value <= most):
            raise self.wrong(f"{key} is {value!r}", f"write a whole number from {least} to {most}")
        return value

    def seconds(self, key: str) -> float | None:
        """Take a duration."""
        text = self.text(key)
        if text is None:
            return None
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)", text)
        if match is None or not float(match[1]):
            raise self.wrong(f"{key} is {text!r}, which is no duration", 'write it like "60s", "15m" or "1d"')
        return float(match[1]) * _UNITS[match[2]]

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts."""
        values = self._take(key, list, "a list of texts in quotes") or []
        if not all(isinstance(value, str) and value for value in values):
            raise self.wrong(f"{key} is no list of texts", f'write it like {key} = ["one", "two"]')
        return tuple(values)

    def path(self, key: str) -> Path | None:
        """Take a path, which need not be there."""
        text = self.text(key)
        return Path(os.path.join(self._base, text)) if text else None

    def paths(self, key: str) -> tuple[str, ...]:
        """Take paths or patterns, which need not be there."""
        return tuple(os.path.join(self._base, text) for text in self.texts(key))

    def file(self, key: str) -> Path | None:
        """Take the path of a file that is there."""
        path = self.path(key)
        return self._there(key, path) if path is not None else None

    def files(self, key: str) -> tuple[Path, ...]:
        """Take paths of files that are there."""
        return tuple(self._there(key, Path(path)) for path in self.paths(key))

    def labels(self, key: str) -> dict[str, str]:
        """Take a table of texts."""
        values = self._take(key, dict, 'a table such as {team = "payments"}') or {}
        for name, value in values.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or not isinstance(value, str):
                raise self.wrong(f"{key} has {name!r}", "use letters, digits and _ in names, and texts as values")
        return values

    def table(self, key: str) -> "_Table | None":
        """Take a table."""
        values = self._take(key, dict, f"a table: [{key}]")
        return _Table(values, f"[{key}]", self._file) if values is not None else None

    def tables(self, key: str, within: str = "") -> list["_Table"]:
        """Take a list of tables."""
        name = f"[[{within}{key}]]"
        values = self._take(key, list, f"a list of tables: {name}") or []
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(f"{key} is no list of tables", f"begin each with {name}")
        return [_Table(value, f"{name} number {number}", self._file) for number, value in enumerate(values, 1)]

    def end(self) -> None:
        """Refuse what is left over."""
        if self._left:
            raise self.wrong(f"{min(self._left)!r} is not known", "correct its name, or take it out")

    def _take(self, key: str, kind: type[T], what: str) -> T | None:
        value = self._left.pop(key, None)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(f"{key} must be {what}", f"correct {key}")
        return value

    def _there(self, key: str, path: Path) -> Path:
        if not path.is_file():
            raise self.wrong(f"{key}: there is no file {path}", "correct the path; it is relative to this file")
        return path


def _entry(table: _Table) -> Entry:
    name = table.need("name", table.text("name"))
    if not name.isprintable() or not 0 < len(name) <= 100 or name in (".", ".."):
        raise table.wrong(f"{name!r} is no name", "use at most 100 printable characters, not . or ..")
    keys, public, paths = table.files("keys"), table.files("public"), table.paths("paths")
    if not paths:
        raise table.wrong("paths is not there", "add a line with paths =")
    if not keys and not public:
        raise table.wrong("no key was given", "add keys = with verification keys, or public = with public files")
    allow = table.texts("allow")
    if unknown := set(allow) - set(kinds_allowed()):
        raise table.wrong(f"{min(unknown)!r} cannot be allowed", f"only these can: {', '.join(kinds_allowed())}")
    store, witnesses = table.text("store"), table.texts("witnesses")
    fresh, quorum = table.seconds("fresh"), table.number("quorum", 1, 1000)
    if not witnesses and (fresh is not None or quorum is not None):
        raise table.wrong("fresh and quorum go with witnesses", "add witnesses =, or take them out")
    try:
        for text in witnesses:
            Witness.parse(text)
    except FormatError as error:
        raise table.wrong(f"witnesses: {error}", "write each as URL=KEY") from None
    request = Request(
        paths=paths,
        keys=keys,
        public=public,
        store=store,
        head=table.file("head"),
        pins=table.texts("pins"),
        start=table.number("from", 1, 2**32 - 1),
        last=table.number("to", 1, 2**32 - 1),
        expect=frozenset(table.texts("expect")),
        allow=frozenset(allow),
        subset=table.flag("subset"),
        envelope=table.text("envelope"),
        field=table.text("field"),
        added=table.texts("added"),
        exceptions=table.file("exceptions"),
        witnesses=witnesses,
        receipts=table.files("receipts"),
        fresh=fresh or FRESH,
        quorum=quorum,
    )
    entry = Entry(name, request, table.seconds("silence"), table.seconds("rescan") or 86400.0, table.labels("labels"))
    table.end()
    return entry


def _alerts(table: _Table) -> Alerts:
    to: list[AlertCommand | Webhook | Syslog] = []
    for one in table.tables("command", "alerts."):
        arguments = one.texts("arguments")
        if not arguments:
            raise one.wrong("arguments is not there", "name the program and its arguments")
        to.append(AlertCommand(arguments))
        one.end()
    for one in table.tables("webhook", "alerts."):
        form = one.one_of("form", ("json", "cloudevents")) or "json"
        url = one.need("url", one.text("url"))
        if not re.match(r"https://|http://(?:localhost|127\.[0-9.]+|\[::1\])(?:[:/]|$)", url):
            raise one.wrong("url must be https://…, or http://… on loopback", "correct the URL")
        to.append(Webhook(url, form, one.file("token_file"), one.file("hmac_file")))
        one.end()
    for one in table.tables("syslog", "alerts."):
        to.append(Syslog(one.text("address") or Syslog().address, one.text("facility") or Syslog().facility))
        one.end()
    never = table.flag("never_again")
    repeat = table.seconds("repeat") or Alerts().repeat
    table.end()
    return Alerts(tuple(to), None if never else repeat)


def _web(table: _Table) -> Web:
    try:
        host, port = listen_address(table.need("listen", table.text("listen")))
    except FormatError as error:
        raise table.wrong(f"listen: {error}", error.hint or "") from None
    web = Web(
        host,
        port,
        table.file("token_file"),
        table.file("certificate"),
        table.file("private_key"),
        table.file("client_ca"),
    )
    table.end()
    return web

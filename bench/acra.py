"""Audit logs of Acra: how fast they are verified, beside a loop in pure Python that does the same arithmetic."""

import hashlib
import hmac
import json
import statistics
from collections.abc import Callable
from pathlib import Path

from measure import run, timed

KEY = bytes(range(32))
_CHAIN = 5000  # lines
_LAST = "End of current audit log chain"


def acra_section(place: Path, rounds: int) -> list[str]:
    """Measure, and return the section."""
    key = place / "acra.key"
    key.write_text(KEY.hex())
    lines = [
        "## Audit logs of Acra",
        "",
        f"`tallystick acra`, whole processes, {rounds} rounds; chains of {_CHAIN:,} lines.",
        "",
        "| lines | million lines/s: median (min to max) | times a loop in pure Python | at least |",
        "| --- | --- | --- | --- |",
    ]
    for form, count, least, data in (("plaintext", 1_000_000, 1.2, text_line), ("JSON", 500_000, 0.5, json_members)):
        path = place / f"acra-{form}.log"
        write(path, count, data, in_json=form == "JSON")
        rates, times = [], []
        for _ in range(rounds):
            seconds = timed(lambda path=path: run("acra", path, "--key", key, "--accept-scheme-limits"))
            loop = timed(lambda path=path, form=form: _python(path, in_json=form == "JSON"))
            rates.append(count / seconds / 1e6)
            times.append(loop / seconds)
        spread = f"{statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})"
        lines.append(f"| {count:,} of {form} | {spread} | {statistics.median(times):.1f} | {least} million |")
        path.unlink()
    return [*lines, ""]


def text_line(chain: int, number: int, message: str, last: bool) -> tuple[bytes, dict[str, object]]:
    """Return what a plaintext line covers."""
    end = " chain=end" if last else ""
    text = f'time="2026-11-23T03:35:07Z" level=info msg="{message}" client_id=user-{number % 97} code=500{end}'
    return f"{text} unixTime={1795404907 + chain}.679".encode(), {}


def json_members(chain: int, number: int, message: str, last: bool) -> tuple[bytes, dict[str, object]]:
    """Return what a JSON line covers, and its members."""
    members: dict[str, object] = {
        "client_id": f"user-{number % 97}", "code": 500, "level": "info", "msg": message, "product": "acra-server",
        "timestamp": "2026-11-23T03:35:07Z", "unixTime": f"{1795404907 + chain}.679", "version": "0.96.0",
    } | ({"chain": "end"} if last else {})  # fmt: skip
    return _covered(members), members


def _covered(members: dict[str, object]) -> bytes:
    d = "delimiter"
    return "".join(f"{d}{name}{d}{json.dumps(value)}{d}" for name, value in sorted(members.items())).encode()


def write(
    path: Path, count: int, make: Callable[..., tuple[bytes, dict[str, object]]], *, in_json: bool, length: int = _CHAIN
) -> None:
    """Write a log of so many lines, in chains of so many."""
    with open(path, "wb") as file:
        for chain in range(count // length):
            key, tag = hashlib.sha256(KEY).digest(), b""
            for number in range(length):
                last = number == length - 1
                message = _LAST if last else f"Prepared statement {number} of a client was executed and logged"
                data, members = make(chain, number, message, last)
                tag = hmac.digest(key, data + tag, "sha256")
                key, integrity = hashlib.sha256(key).digest(), hashlib.sha256(tag).hexdigest()
                if in_json:
                    members |= {"integrity": integrity} | ({} if number else {"chain": "new"})
                    file.write(json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n")
                else:
                    file.write(data + b" integrity=" + integrity.encode() + b" chain=new" * (not number) + b"\n")


def _python(path: Path, *, in_json: bool) -> None:
    key = tag = b""
    with open(path, "rb") as file:
        for line in file:
            if in_json:
                members = json.loads(line)
                integrity = members.pop("integrity")
                new = members.get("chain") == "new" and bool(members.pop("chain"))
                data = _covered(members)
            else:
                data, _, rest = line[:-1].rpartition(b" integrity=")
                integrity, new = rest[:64].decode(), rest.endswith(b" chain=new")
            if new:
                key, tag = hashlib.sha256(KEY).digest(), b""
            tag = hmac.digest(key, data + tag, "sha256")
            key = hashlib.sha256(key).digest()
            assert hashlib.sha256(tag).hexdigest() == integrity

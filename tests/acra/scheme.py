"""The scheme of Acra's audit logs a second time, from its description alone: what writes, verifies and doctors lines.

>>> lines = made("cef")
>>> intact(lines, KEY), intact(lines[1:], KEY), intact(lines[:-1], KEY)
(True, False, False)
"""

import hashlib
import hmac
import json
import re
from decimal import Decimal
from typing import Any

__all__ = [
    "BETWEEN", "FORMS", "KEY", "LAST", "Writer", "changed", "intact", "json_line", "made", "stripped",
    "with_other_integrity", "written",
]  # fmt: skip

FORMS = ["plaintext", "cef", "json"]
KEY = bytes(range(32))
LAST = "End of current audit log chain"
BETWEEN = "delimiterdelimiter"  # what stands between a value and the next name

Members = dict[str, Any]
_FIELD = rb' [\w.]+=(?:[^ "]*|"(?:[^"\\]|\\.)*")'
_END_OF_TEXT = re.compile(
    rb'time="[^"]*"(?:%s)*? msg="%s"(?:%s)*? chain=end(?:%s)*' % (_FIELD, LAST.encode(), _FIELD, _FIELD)
)
_END_OF_CEF = re.compile(rb"CEF:0(?:\|[^|]*){4}\|%s\|\d+\|(?:.* )?chain=end(?: .*)?" % LAST.encode(), re.DOTALL)


# As Go writes JSON


def _number(value: float) -> str:
    if value and not 1e-6 <= abs(value) < 1e21:
        digits, _, exponent = repr(value).partition("e")
        return f"{digits}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def _string(text: str) -> str:
    text = json.dumps(text, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def written(value: Any) -> str:
    """Return a value as Go writes it."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{_string(name)}:{written(value[name])}' for name in _sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return _number(float(value))


def _sorted(members: Members) -> list[str]:
    return sorted(members, key=str.encode)


def json_line(members: Members) -> bytes:
    """Return the line of members."""
    return written(members).encode()


def _json_data(members: Members) -> bytes:
    names = (n for n in _sorted(members) if n != "integrity" and not (n == "chain" and members[n] == "new"))
    return "".join(f"delimiter{name}delimiter{written(members[name])}delimiter" for name in names).encode()


# Writing


class Writer:
    """Writes lines as Acra does."""

    def __init__(self, key: bytes = KEY) -> None:
        self.key, self.lines = key, []

    def seal(self, *datas: "bytes | Members") -> "Writer":
        """Write a chain of lines, each given as the text, or the members, that is covered."""
        key, tag = hashlib.sha256(self.key).digest(), b""
        for number, data in enumerate(datas):
            covered = _json_data(data) if isinstance(data, dict) else data
            tag = hmac.new(key, covered + tag, hashlib.sha256).digest()
            key, integrity = hashlib.sha256(key).digest(), hashlib.sha256(tag).hexdigest()
            if isinstance(data, dict):
                self.lines.append(json_line(data | {"integrity": integrity} | ({} if number else {"chain": "new"})))
            else:
                self.lines.append(data + f" integrity={integrity}".encode() + b" chain=new" * (not number))
        return self

    def chain(self, *messages: bytes, time: str = "2026-01-01T00:00:00Z") -> "Writer":
        """Write a chain of plain text, with its end."""
        begin = b'time="%s" level=info msg="' % time.encode()
        return self.seal(*(b'%s%s"' % (begin, each) for each in messages), b'%s%s" chain=end' % (begin, LAST.encode()))


def made(form: str) -> list[bytes]:
    """Return three chains of 42 lines: in plain text all are the same, in the others times tell them apart."""
    writer = Writer()
    for chain in range(3):
        datas: list[bytes | Members] = []
        for number in range(42):
            message, at = (LAST, "end") if number == 41 else (f"<line> {number} & /сталося/", None)
            time = f"179540490{chain}.6{number}"
            if form == "json":
                members = {
                    "level": "info",
                    "msg": message,
                    "product": "acra-server",
                    "code": 500 + number,
                    "unixTime": time,
                }
                datas.append(members | ({"chain": at} if at else {}))
            elif form == "cef":
                end = "chain=end " if at else ""
                datas.append(f"CEF:0|cossacklabs|acra-server|0.96.0|100|{message}|1|{end}unixTime={time}".encode())
            else:
                end = " chain=end" if at else ""
                datas.append(f'time="2026-11-23T03:35:07Z" level=info msg="{message}"{end}'.encode())
        writer.seal(*datas)
    return writer.lines


# Verifying


def intact(lines: list[bytes], key: bytes) -> bool:
    """Are these whole chains, each with its end, in the bytes that Acra writes?"""
    tag, step, ended = b"", b"", True
    for line in lines:
        try:
            data, integrity, new, last = _parsed(line)
        except (ValueError, KeyError, RecursionError, AttributeError):
            return False
        if new:
            if not ended:
                return False
            tag, step = b"", hashlib.sha256(key).digest()
        elif not step:
            return False
        tag = hmac.new(step, data + tag, hashlib.sha256).digest()
        step, ended = hashlib.sha256(step).digest(), last
        if hashlib.sha256(tag).hexdigest().encode() != integrity:
            return False
    return ended


def _parsed(line: bytes) -> tuple[bytes, bytes, bool, bool]:
    """Return what is covered, the integrity, and whether a chain begins or ends here."""
    if line.startswith(b"{"):
        members = json.loads(line.decode(), parse_int=float)
        if json_line(members) != line or any(BETWEEN in name for name in members):
            raise ValueError("other bytes")
        chain = members.get("chain")
        last = chain == "end" and members.get("msg") == LAST
        return _json_data(members), members["integrity"].encode(), chain == "new", last
    data, _, rest = line.rpartition(b" integrity=")
    if not data.startswith((b"time=", b"CEF:")):
        raise ValueError("no line of Acra")
    new = rest.endswith(b" chain=new")
    last = (_END_OF_CEF if data.startswith(b"CEF:") else _END_OF_TEXT).fullmatch(data)
    return data, rest.removesuffix(b" chain=new"), new, last is not None


# Doctoring


def changed(line: bytes) -> bytes:
    """Change a letter of what the integrity covers."""
    at = line.index(b"acra-server" if b"acra-server" in line else b"level")
    return line[:at] + b"X" + line[at + 1 :]


def with_other_integrity(line: bytes) -> bytes:
    """Change a digit of the integrity, the last field of that name."""
    at = line.rindex(b"integrity=" if not line.startswith(b"{") else b'"integrity":"') + 14
    return line[:at] + (b"0" if line[at : at + 1] != b"0" else b"1") + line[at + 1 :]


def stripped(line: bytes) -> bytes:
    """Take the integrity away."""
    if line.startswith(b"{"):
        return re.sub(rb'"integrity":"[0-9a-f]{64}",?', b"", line)
    return line.rpartition(b" integrity=")[0] or line

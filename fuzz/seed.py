"""Makes the corpora that the fuzz targets begin with, from spec/vectors and logs of others in tests."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick import _core

ROOT = Path(__file__).resolve().parent.parent
VECTORS, CARRIERS = ROOT / "spec/vectors", ROOT / "tests/carriers"
ACRA = [ROOT / f"tests/acra/data/{form}.log" for form in ("plaintext", "cef", "json")]
KINDS = ["docker.json", "cri.log", "journal.export", "journal.json", "loki.jsonl", "rsyslog-file.log"]
SEAL = re.compile(rb'(?: tally=|",?"tally).*$')


def strings(value: Any) -> Iterator[bytes]:
    """Give the strings in a JSON value."""
    if isinstance(value, str):
        yield value.encode()
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def public_keys() -> _core.Keys:
    """Return the public key of the log of spec/vectors."""
    keys = _core.Keys()
    with tempfile.TemporaryFile() as file:
        file.write(json.loads((VECTORS / "keys.json").read_text())["text"]["public_key"].encode())
        file.seek(0)
        keys.add_public(file.fileno())
    return keys


def samples() -> Iterator[tuple[str, bytes]]:
    """Give targets with bytes to begin with."""
    texts = [text for path in VECTORS.glob("*.json") for text in strings(json.loads(path.read_text()))]
    logs = [path.read_bytes() for path in VECTORS.glob("*.log")]
    lines = [line for log in logs for line in log.split(b"\n")]
    for text in {*texts, *lines}:
        yield "line", text
        if text.startswith((b"{", b'{"')):
            yield "canon", text
        if text.startswith(b"tally"):
            yield "text", text
        if b"tallystick/v1" in text[:40]:
            yield "statement", SEAL.sub(b"", text.removeprefix(b'{"tallystick":"'))
        if text.startswith(
            (b"tallystick/v1 head ", b"tallystick/v1 answer\n", b"tallystick/v1 receipt\n", b"w.example+")
        ):
            yield "witness", text
        if text.startswith(b"tallystick/v1 evidence\n"):
            yield "evidence", text
    for number in (1, 5, 1 << 40):
        yield "slot", b"tallystick-slot1" + number.to_bytes(8, "big") + bytes(8) + bytes(range(64))
    for form, data in enumerate([b'one\r\n{"origin":1}\ntwo', b"5 <1>ab<2>cd\n<3>\0"]):
        yield "framing", bytes([16 + form]) + data
    for each in json.loads((VECTORS / "agent.json").read_text())["conversations"]:
        yield "conversation", b"".join(bytes.fromhex(one["hex"]) for one in each["frames"] if one["from"] == "client")
    for number, name in enumerate(KINDS):
        yield "envelope", bytes([number]) + (CARRIERS / name).read_bytes()[:4000]
    for path in ACRA:
        lines = path.read_bytes().split(b"\n")
        begins = [number for number, line in enumerate(lines) if b"chain=new" in line[-10:] or b':"new"' in line[:20]]
        for begin in begins:
            yield "acra", b"\n".join(line for line in lines[begin : begin + 16] if len(line) < 1000)
    keys = public_keys()
    for log in logs:
        at = log.split(b"\n")
        for start in range(0, min(len(at), 60), 6):
            data = b"\n".join(at[start : start + 12])
            yield "scan", data
            yield "summary", _core.scan(keys, _core.Mode.all(), data, len(data), file=0, chunk=0, offset=0).to_bytes()


def main() -> None:
    """Write one file for each sample, named by its hash."""
    for target, data in samples():
        place = Path(__file__).resolve().parent / "corpus" / target
        place.mkdir(parents=True, exist_ok=True)
        (place / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()

"""Audit logs of Acra are verified in less processor time than by a loop in pure Python, in the best of some rounds."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from tallystick import acra
from tests.acra.scheme import KEY, LAST, Writer
from tests.test_speed import seconds

CHAINS, LINES = 20, 2000


def log(form):
    """Chains of lines as Acra writes most."""
    writer = Writer()
    for chain in range(CHAINS):
        datas = []
        for number in range(LINES):
            message = LAST if number == LINES - 1 else f"Prepared statement {number} was executed and logged"
            end = {"chain": "end"} if number == LINES - 1 else {}
            if form == "json":
                datas.append({"client_id": "user-7", "code": 500, "level": "info", "msg": message} | end)
            else:
                text = f'time="2026-11-23T03:{chain:02}:07Z" level=info msg="{message}" client_id=user-7 code=500'
                datas.append((text + " chain=end" * bool(end)).encode())
        writer.seal(*datas)
    return writer.lines


def loop(lines, form):
    """What a script would do, without a look at what is wrong."""
    key = tag = b""
    for line in lines:
        if form == "json":
            members = json.loads(line)
            integrity, new = members.pop("integrity"), members.get("chain") == "new"
            names = (name for name in sorted(members) if not (new and name == "chain"))
            parts = (f"delimiter{name}delimiter{json.dumps(members[name])}delimiter" for name in names)
            data = "".join(parts).encode()
        else:
            data, _, rest = line.rpartition(b" integrity=")
            integrity, new = rest[:64].decode(), rest.endswith(b" chain=new")
        if new:
            key, tag = hashlib.sha256(KEY).digest(), b""
        tag = hmac.digest(key, data + tag, "sha256")
        key = hashlib.sha256(key).digest()
        assert hashlib.sha256(tag).hexdigest() == integrity


# With SHA instructions they are about 4.6 and 9.2 on one thread; much less means that something broke.
@pytest.mark.parametrize(("form", "least", "without_sha"), [("plaintext", 2, 0.7), ("json", 4, 1.5)])
def test_verifying_beats_a_loop_in_python(logs, form, least, without_sha):
    lines = log(form)
    path = logs.directory / "audit.log"
    path.write_bytes(b"\n".join([*lines, b""]))
    times = {"loop": [], "verify": []}
    for _ in range(3):
        times["loop"].append(seconds(lambda: loop(lines, form)))
        report = []
        took = seconds(lambda: report.append(acra.verify([path], key=logs.directory / "key", jobs=1)))  # noqa: B023
        assert {finding.kind for finding in report[0].findings} <= {"scheme limit", "duplicate"}
        times["verify"].append(took)
    there = "sha_ni" in Path("/proc/cpuinfo").read_text()
    assert min(times["loop"]) > (least if there else without_sha) * min(times["verify"]), times

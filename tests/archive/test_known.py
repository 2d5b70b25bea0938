"""A run over an archive that is known already costs little more than a list of its objects.

TALLYSTICK_KNOWN_OBJECTS says how many there are; with 100,000 the limits hold that a user feels.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import doctoring
from tests.processes import Started

COUNT = int(os.environ.get("TALLYSTICK_KNOWN_OBJECTS", "600"))
SIZE = 200  # bytes of each

RUN = """
import json, re, resource, sys, time, tallystick
from tallystick.objects import connect

def spent():
    return time.process_time()

began = spent()
listed = sum(1 for _ in connect("s3://many").list("logs"))
listing = spent() - began
began = spent()
keys = {"keys": [sys.argv[1]], "store": "none"}
report = tallystick.verify(["s3://many/logs/"], **keys, resume=sys.argv[2], rescan=1e9, jobs=2)
memory = int(re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[0]) // 1024
said = {"listed": listed, "listing": listing, "run": spent() - began, "memory": memory}
print(json.dumps({**said, "files": len(report.files), "unread": report.remembered.size}))
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a store of many objects; give the environment that finds it."""
    program = str(Path(__file__).with_name("lists.py"))
    server = Started([sys.executable, program, str(COUNT), str(SIZE)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    named = {"ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none", "REGION": "eu-central-1", "CONFIG_FILE": "/dev/null"}
    named |= {"ENDPOINT_URL_S3": f"http://127.0.0.1:{int(server.stdout.readline())}", "EC2_METADATA_DISABLED": "true"}
    yield os.environ | {f"AWS_{name}": text for name, text in named.items()}
    server.kill()
    server.wait()
    server.stdout.close()


def test_a_resumed_run_over_known_objects_reads_none_and_little_of_what_is_known(
    store: dict[str, str], tmp_path: Path
) -> None:
    doctoring.write(tmp_path, doctoring.seal(random.Random(7)))
    command = [sys.executable, "-c", RUN, str(tmp_path / "log.key"), str(tmp_path / "memory")]
    first, again = (
        json.loads(subprocess.run(command, env=store, check=True, capture_output=True, timeout=3600).stdout)
        for _ in range(2)
    )
    print(first, again)
    assert first["files"] == again["files"] == again["listed"] == COUNT
    assert (first["unread"], again["unread"]) == (0, COUNT * SIZE)
    known = [path for path in (tmp_path / "memory").iterdir() if not path.name.startswith(".")]
    assert len(known) <= 1 + COUNT // 500
    assert again["run"] < first["run"]
    assert again["memory"] < 400
    if COUNT >= 100_000:
        assert again["run"] - again["listing"] < 20

"""The real logrotate, while lines come at 50,000 a second."""

import gzip
import os
import subprocess
import threading
import time
from contextlib import suppress

import pytest

import tallystick
from tests.cli.conftest import COMMAND
from tests.log.test_log import Place
from tests.sealed import entries
from tests.survival.test_contrib import tool

RATE, SECONDS, ROTATIONS = 50_000, 2.5, 4

MODES = {
    "create": "nocompress",
    "create, compress": "compress",
    "create, delaycompress": "compress\ndelaycompress",
    "dateext": "nocompress\ndateext\ndateformat -%Y%m%d-%s",
    "create, compress, postrotate": "compress\npostrotate\nkill -HUP $(cat {directory}/pid)\nendscript",
    "copytruncate": "copytruncate",
}


def feed(pipe, numbers):
    """Write numbered lines at the rate; note how many there were, and how long it took."""
    began, number = time.monotonic(), 0
    while number < RATE * SECONDS:
        with suppress(BrokenPipeError):
            pipe.write(b"".join(b"n=%d user=7 action=transfer amount=100\n" % i for i in range(number, number + 500)))
            pipe.flush()
        number += 500
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
    pipe.close()
    numbers += [number, time.monotonic() - began]


@pytest.mark.parametrize("mode", MODES)
def test_a_log_is_rotated_while_it_is_written(tmp_path, mode):
    place = Place(tmp_path)
    os.chmod(tmp_path, 0o700)
    conf, fed = tmp_path / "conf", []
    options = MODES[mode].format(directory=tmp_path)
    conf.write_text(f"{place.output} {{\nrotate 100\nmissingok\ncreate 0640\n{options}\n}}\n")
    with subprocess.Popen(
        [COMMAND, "seal", "payments", "-o", place.output, "--store", place.store],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as writer:  # fmt: skip
        (tmp_path / "pid").write_text(str(writer.pid))
        feeder = threading.Thread(target=feed, args=(writer.stdin, fed))
        feeder.start()
        time.sleep(0.4)
        for _ in range(ROTATIONS):
            subprocess.run([tool("logrotate"), "-f", "-s", tmp_path / "state", conf], check=True)
            time.sleep(1.01 if mode == "dateext" else 0.3)  # its names are by the second
        feeder.join()
        said = writer.stderr.read()
        assert writer.wait(30) == 0
    count, took = fed
    assert count / took > RATE * 0.8, "the rate was not reached"

    files = [place.output, *(path for path in tmp_path.glob("audit.log[.-]*"))]
    assert len(files) == ROTATIONS + 1
    found = [
        int(entry[2:].split()[0])
        for path in files
        for entry in entries(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        if entry.startswith(b"n=")
    ]
    report = tallystick.verify(files, keys=[place.key], store=place.store)
    kinds = {finding.kind for finding in report.findings}
    if mode == "copytruncate":
        assert said.count(b"was cut from") == ROTATIONS
        assert len(found) == len(set(found))
        assert (report.verdict.value == "ok") == (len(found) == count), kinds
        assert kinds <= {"missing"}
    else:
        assert said == b""
        assert sorted(found) == list(range(count))
        assert (report.verdict.value, kinds) == ("ok", set())

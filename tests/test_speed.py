"""Sealing and verifying are faster than the same in pure Python, by a ratio of the same run."""

import hashlib
import hmac
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick import _core
from tests.doctoring import TIME

LINES = 40_000
LINE = (
    b"2026-11-23T06:00:00Z app api[4711]: user=000042 action=login ok=true path=/v1/items/00000042 ms=001 region=eu-1"
)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def python_loop() -> None:
    key = bytes(32)
    for _ in range(LINES):
        key = hashlib.sha256(key).digest()
        hmac.new(key, LINE, hashlib.sha256).digest()


@pytest.mark.alone
def test_sealing_and_verifying_beat_the_two_primitives_in_python(tmp_path: Path) -> None:
    setup = _core.setup("app")
    state = setup.state()
    with open(tmp_path / "key", "w+b") as file:
        setup.write_key(file.fileno())
        file.seek(0)
        keys = _core.Keys()
        keys.add_key(file.fileno())
    data, ratios = (LINE + b"\n") * LINES, {"seal": [], "verify": []}
    head = bytes(setup.head())
    for _ in range(5):
        sealer = state.open_chain(head, TIME)
        sealed = _core.Output()
        loop = seconds(python_loop)
        ratios["seal"].append(loop / seconds(lambda: sealer.write_lines(data, 0, sealed, TIME)))  # noqa: B023
        text = sealed.peek()
        scan = seconds(lambda: _core.scan(keys, _core.Mode.all(), text, len(text), file=0, chunk=0, offset=0))  # noqa: B023
        ratios["verify"].append(loop / scan)
    # Both are about three times as fast where there are SHA instructions; much less means that something broke.
    least = 1.5 if "sha_ni" in Path("/proc/cpuinfo").read_text() else 0.5
    assert {what: statistics.median(r) > least for what, r in ratios.items()} == {"seal": True, "verify": True}, ratios
    assert os.path.getsize(tmp_path / "key") > 0

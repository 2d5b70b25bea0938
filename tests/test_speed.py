"""Sealing and verifying take less processor time than the same in pure Python, each in the best of several rounds."""

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from pathlib import Path

from tallystick import _core
from tests.doctoring import TIME

LINES = 40_000
LINE = (
    b"2026-11-23T06:00:00Z app api[4711]: user=000042 action=login ok=true path=/v1/items/00000042 ms=001 region=eu-1"
)


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes: other work beside it counts little."""
    began = time.process_time()
    work()
    return time.process_time() - began


def python_loop() -> None:
    key = bytes(32)
    for _ in range(LINES):
        key = hashlib.sha256(key).digest()
        hmac.new(key, LINE, hashlib.sha256).digest()


def test_sealing_and_verifying_beat_the_two_primitives_in_python(tmp_path: Path) -> None:
    setup = _core.setup("app")
    state = setup.state()
    with open(tmp_path / "key", "w+b") as file:
        setup.write_key(file.fileno())
        file.seek(0)
        keys = _core.Keys()
        keys.add_key(file.fileno())
    data, times = (LINE + b"\n") * LINES, {"loop": [], "seal": [], "verify": []}
    head = bytes(setup.head())
    for _ in range(5):
        sealer = state.open_chain(head, TIME)
        sealed = _core.Output()
        times["loop"].append(seconds(python_loop))
        times["seal"].append(seconds(lambda: sealer.write_lines(data, 0, sealed, TIME)))  # noqa: B023
        text = sealed.peek()
        scan = seconds(lambda: _core.scan(keys, _core.Mode.all(), text, len(text), file=0, chunk=0, offset=0))  # noqa: B023
        times["verify"].append(scan)
    # Both are about three times as fast where there are SHA instructions; much less means that something broke.
    least = 1.5 if "sha_ni" in Path("/proc/cpuinfo").read_text() else 0.5
    assert min(times["loop"]) > least * min(times["seal"]), times
    assert min(times["loop"]) > least * min(times["verify"]), times
    assert os.path.getsize(tmp_path / "key") > 0

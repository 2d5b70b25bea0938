"""A witness costs a writer at full speed next to nothing, by the processor time of its own thread in one run."""

import time
from pathlib import Path

import pytest

import tallystick
from tests.witness.served import serving

LINES = b"".join(b"user=%d action=login from=192.0.2.%d\n" % (number, number % 256) for number in range(50_000))
ROUNDS = 7
MOST = 0.05  # what was measured is below 0.02; the rest is room for the noise of machines with other work


def spent(log: tallystick.Log) -> float:
    began = time.process_time()
    log.write_lines(LINES)
    return time.process_time() - began


@pytest.mark.alone
def test_a_writer_at_full_speed_loses_little_with_a_witness(tmp_path: Path) -> None:
    logs = {}
    with serving() as witness:
        for name, named in (("alone", ()), ("shown", (witness.named,))):
            store = {"store": f"file:{tmp_path}/store"}
            tallystick.create(name, **store, custody=f"master-key:{tmp_path}/{name}.master", key_file=tmp_path / name)
            logs[name] = tallystick.open(name, output=tmp_path / f"{name}.log", witness=named, **store)
        best = {name: min(spent(log) for _ in range(ROUNDS)) for name, log in logs.items()}
        for log in logs.values():
            log.close()
        assert witness.newest is not None
    assert best["shown"] <= best["alone"] * (1 + MOST), best

"""What witnesses cost, in processor time within one run: writers, and the witness itself."""

import time
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tests.witness.served import serving
from tests.witness.service import Service, Writer, running

LINES = b"".join(b"user=%d action=login from=192.0.2.%d\n" % (number, number % 256) for number in range(50_000))
PAIRS, ROUNDS = 6, 20
MOST = 0.05  # what was measured is below 0.02; the rest is room for the noise of machines with other work


def spent(log: tallystick.Log) -> float:
    began = time.process_time()
    log.write_lines(LINES)
    return time.process_time() - began


@pytest.mark.alone
def test_a_writer_at_full_speed_loses_little_with_a_witness(tmp_path: Path) -> None:
    store, rounds = {"store": f"file:{tmp_path}/store"}, []
    for pair in range(PAIRS):  # where a log's memory happens to lie makes it up to 10 % slower
        with serving() as witness:
            logs = {}
            for kind, named in (("alone", ()), ("shown", (witness.named,))):
                name = f"{kind}{pair}"
                custody = f"master-key:{tmp_path}/{name}.master"
                tallystick.create(name, **store, custody=custody, key_file=tmp_path / name)
                logs[kind] = tallystick.open(name, output=tmp_path / f"{name}.log", witness=named, **store)
            # One after the other, so that other work of the machine meets both alike.
            rounds += [{kind: spent(log) for kind, log in logs.items()} for _ in range(ROUNDS)]
            for log in logs.values():
                log.close()
            assert witness.newest is not None
    best = {kind: min(each[kind] for each in rounds) for kind in ("alone", "shown")}
    assert best["shown"] <= best["alone"] * (1 + MOST), best


HEADS, BATCH = 1600, 200
LEAST = 0.4  # 0.62 was measured


@pytest.mark.alone
def test_a_witness_accepts_heads_in_batches_at_no_less_than_two_fifths_of_the_speed_of_their_signatures(
    tmp_path: Path,
) -> None:
    writer = Writer(50)
    opened = writer.open()
    steps = [writer.step() for _ in range(HEADS)]
    log = _core.WitnessedLog(writer.public.encode())
    log.show([], [(opened.strip(), [])])
    best = 0.0
    with running(Service(tmp_path)) as service:
        writer.known_to(service)
        assert service.show(writer.root, opened).status == 200
        for at in range(0, HEADS, BATCH):
            began, before = time.process_time(), cpu(service)
            for step in steps[at : at + BATCH]:  # each by itself: its signature, paths, and a cert that is known
                log.show([], [(step.split(b"\n")[0], [])])
            alone = time.process_time() - began
            assert service.show(writer.root, b"".join(steps[at : at + BATCH])).status == 200
            best = max(best, alone / max(cpu(service) - before, 0.001))
    assert best >= LEAST, best


def cpu(service: Service) -> float:
    """Return the processor time that a witness took, in seconds: of all its threads, finer than its clock ticks."""
    assert service.process is not None
    tasks = Path(f"/proc/{service.process.pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

"""Writers are killed at random; whatever line was acknowledged as critical, nobody removes it unnoticed.

TALLYSTICK_WITNESS_KILLS says how often; `make torture` sets it.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import tallystick
from tallystick import keystore
from tallystick.verify import Kind, Report, Verdict
from tallystick.witness.client import ask
from tests import sealed
from tests.witness.served import Witness, serving

KILLS = int(os.environ.get("TALLYSTICK_WITNESS_KILLS", "6"))

WRITER = """
import sys, tallystick
store, output, witness, run = sys.argv[1:]
log = tallystick.open("app", output=output, store=store, witness=witness, epoch_lines=5)
for number in range(100_000):
    log.write(f"run {run} entry {number}", critical=number % 3 == 0)
    if number % 3 == 0:
        print(f"run {run} entry {number}", flush=True)
"""


def verified(log: Path, key: Path, witness: Witness) -> Report:
    return tallystick.verify([log], keys=[key], store="none", witnesses=[witness.named], ask=ask)


def test_no_acknowledged_critical_line_can_be_removed_unnoticed_whenever_the_writer_is_killed(tmp_path: Path) -> None:
    store, log, key = f"file:{tmp_path}/store", tmp_path / "app.log", tmp_path / "app.key"
    tallystick.create("app", store=store, custody=f"master-key:{tmp_path}/master.key", key_file=key)
    rng, acknowledged = random.Random(KILLS), list[bytes]()
    with serving() as witness:
        for run in range(KILLS):
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, store, log, witness.named, str(run)], stdout=subprocess.PIPE
            )
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(rng.random() / 5)
            writer.kill()
            acknowledged += [first.strip(), *writer.stdout.read().splitlines()]
            writer.communicate()
            data = log.read_bytes()
            entries = sealed.entries(data[: data.rindex(b"\n") + 1])
            assert set(acknowledged) <= set(entries)
            whole = verified(log, key, witness)
            assert whole.verdict is not Verdict.FAILED, whole.findings
            # An intruder with an older head cuts the log right before the line that was acknowledged last.
            lines = data.splitlines(keepends=True)
            at = next(number for number, line in enumerate(lines) if line.startswith(acknowledged[-1] + b" tally="))
            cut = tmp_path / "cut.log"
            cut.write_bytes(b"".join(lines[:at]))
            report = verified(cut, key, witness)
            assert report.verdict is Verdict.FAILED
            assert {one.kind for one in report.findings} & {Kind.TRUNCATED, Kind.MISSING}
    assert "fork" not in witness.decisions
    assert len(acknowledged) > KILLS
    assert keystore.connect(store).head("app") is not None

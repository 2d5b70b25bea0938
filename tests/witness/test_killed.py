"""Writers and witnesses are killed at random; no line that was acknowledged as critical is removed unnoticed.

TALLYSTICK_WITNESS_KILLS says how often; `make torture` sets it.
"""

import base64
import os
import random
import threading
import time
from pathlib import Path

import pytest

import tallystick
from tallystick import keystore
from tallystick.verify import Kind, Report, Verdict
from tallystick.witness.client import ask
from tests import sealed
from tests.preloaded import Running, killed_after
from tests.servers import free_port, until
from tests.witness.service import PATIENCE, Service, running
from tests.witness.test_tree import leaf, plain_root

KILLS = int(os.environ.get("TALLYSTICK_WITNESS_KILLS", "12"))
EACH = 3  # kills for each writer: two of the witness, and then its own

WRITER = """
import sys, tallystick
from tallystick.errors import UnknownError
store, output, witness, run = sys.argv[1:]
log = tallystick.open("app", output=output, store=store, witness=witness, epoch_lines=5)
for number in range(100_000):
    line = f"run {run} entry {number}"
    try:
        log.write(line, critical=number % 3 == 0, timeout=120)
    except UnknownError:
        continue
    if number % 3 == 0:
        print(line, flush=True)
"""


def verified(log: Path, key: Path, witness: Service) -> Report:
    return tallystick.verify([log], keys=[key], store="none", witnesses=[witness.named], ask=ask)


class Place:
    """A log, its witness, and what was acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.store, self.log, self.key = f"file:{directory}/store", directory / "app.log", directory / "app.key"
        public, custody = directory / "app.pub", f"master-key:{directory}/master.key"
        tallystick.create("app", store=self.store, custody=custody, key_file=self.key, public_file=public)
        self.witness = Service(directory, "--interval", "50ms", port=free_port())
        (directory / "logs" / "app.pub").write_bytes(public.read_bytes())
        self.cut, self.acknowledged = directory / "cut.log", list[bytes]()
        self.trees: dict[int, str] = {}

    def killed(self, run: int, rng: random.Random) -> None:
        """Run a writer; kill the witness twice meanwhile, then the writer."""
        arguments = [self.store, str(self.log), self.witness.named, str(run)]
        writer, said = Running(arguments, WRITER), list[bytes]()
        reader = threading.Thread(target=lambda: said.extend(line.encode().strip() for line in writer.stdout))
        reader.start()
        with killed_after(9 * PATIENCE, writer.pid):
            try:
                for _ in range(EACH - 1):
                    before = len(said)
                    until(lambda: len(said) > before or writer.poll() is not None, "a line", 3 * PATIENCE)  # noqa: B023
                    assert writer.poll() is None
                    time.sleep(rng.random() / 10)
                    self.witness.kill()
                    self.witness.start()
                time.sleep(rng.random() / 5)
            finally:
                writer.kill()
                reader.join()
                writer.communicate(PATIENCE)
        self.acknowledged += said
        if (checkpoint := self.witness.ask("GET", "/checkpoint")).status == 200:
            _, size, root, *_ = checkpoint.body.decode().split("\n")
            assert self.trees.setdefault(int(size), root) == root

    def entries(self, count: int) -> list[bytes]:
        """Return entries of the witness's tree."""
        entries = list[bytes]()
        for tile in range(-(-count // 256)):
            left = min(256, count - 256 * tile)
            path = f"/tile/entries/{tile:03}" + (f".p/{left}" if left < 256 else "")
            data = self.witness.ask("GET", path).body
            while data:
                size = int.from_bytes(data[:2])
                entries.append(data[2 : 2 + size])
                data = data[2 + size :]
        assert len(entries) == count
        return entries


ROUNDS = max(1, KILLS // EACH)
OF_ONE_LOG = 60  # rounds: its whole is verified after each


@pytest.mark.parametrize("first", range(0, ROUNDS, OF_ONE_LOG))
def test_no_acknowledged_critical_line_can_be_removed_unnoticed_whatever_is_killed(first: int, tmp_path: Path) -> None:
    place, rng, rounds = Place(tmp_path), random.Random(KILLS + first), range(first, min(first + OF_ONE_LOG, ROUNDS))
    with running(place.witness):
        for run in rounds:
            place.killed(run, rng)
            data = place.log.read_bytes()
            entries = sealed.entries(data[: data.rindex(b"\n") + 1])
            assert set(place.acknowledged) <= set(entries)
            whole = verified(place.log, place.key, place.witness)
            assert whole.verdict is not Verdict.FAILED, whole.findings
            # An intruder with an older head cuts the log right before the line that was acknowledged last.
            lines, last = data.splitlines(keepends=True), place.acknowledged[-1] + b" tally="
            at = next(number for number, line in enumerate(lines) if line.startswith(last))
            place.cut.write_bytes(b"".join(lines[:at]))
            report = verified(place.cut, place.key, place.witness)
            assert report.verdict is Verdict.FAILED
            assert {one.kind for one in report.findings} & {Kind.TRUNCATED, Kind.MISSING}
        # Nothing that the witness published of its own tree was taken back.
        leaves = [leaf(entry) for entry in place.entries(max(place.trees))]
        assert all(base64.b64decode(root) == plain_root(leaves[:size]) for size, root in place.trees.items())
        assert "FORK" not in place.witness.end()
    assert len(place.acknowledged) >= len(rounds) * (EACH - 1)  # one before each kill of the witness, at least
    assert keystore.connect(place.store).head("app") is not None

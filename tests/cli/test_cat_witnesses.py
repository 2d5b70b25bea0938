"""`cat` asks witnesses as `verify` does: an end that they do not vouch for is no end, and what they received holds."""

import subprocess
import sys
from pathlib import Path

import pytest

import tallystick
from tests.witness.served import Witness, serving


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tallystick.create("app", store=f"file:{tmp_path}/store", custody=f"master-key:{tmp_path}/master.key",
                      key_file=tmp_path / "app.key", public_file=tmp_path / "app.pub")  # fmt: skip
    return tmp_path


def written(place: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tallystick", "cat", "--pins", "none", place / "app.log", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)


def test_lines_of_the_running_epoch_that_a_witness_received_are_written_with_the_public_key(place: Path) -> None:
    with (
        serving() as witness,
        tallystick.open("app", output=place / "app.log", store=f"file:{place}/store", witness=[witness.named]) as log,
    ):
        log.write("one", critical=True)
        log.write("two", critical=True)
        public = ["--public", "app.pub"]
        assert written(place, *public).stdout == ""
        assert written(place, *public, "--witness", witness.named).stdout == "one\ntwo\n"
        assert witness.newest is not None
        (place / "app.receipts").write_bytes(witness.receipt())
        asked = written(place, *public, "--witness", str(witness.signer.key), "--receipts", "app.receipts")
        assert (asked.stdout, asked.returncode) == ("one\ntwo\n", 0)


def test_lines_come_with_the_verdict_that_witnesses_give(place: Path) -> None:
    with serving() as witness:
        options = {"output": place / "app.log", "store": f"file:{place}/store", "witness": [witness.named]}
        with tallystick.open("app", **options) as log:
            log.write("one")
            log.write("two")
        key, asked = ["--key", "app.key"], ["--witness", witness.named]
        assert written(place, *key, *asked).returncode == 0
        lines = (place / "app.log").read_bytes().splitlines(keepends=True)
        (place / "app.log").write_bytes(b"".join(lines[:2]))
        cut = written(place, *key, *asked)
        assert (cut.stdout, cut.returncode) == ("one\n", 5)
        assert "truncated" in cut.stderr


def test_what_is_asked_of_witnesses_takes_a_witness(place: Path) -> None:
    (place / "app.log").write_text("")
    done = written(place, "--key", "app.key", "--fresh", "1m")
    assert (done.returncode, "go with --witness" in done.stderr) == (2, True)


def test_the_witness_stands_in_for_nothing(place: Path) -> None:
    with serving(Witness(status=503)) as witness:
        with tallystick.open("app", output=place / "app.log", store=f"file:{place}/store") as log:
            log.write("one")
        done = written(place, "--key", "app.key", "--witness", witness.named)
        assert (done.stdout, done.returncode) == ("one\n", 3)

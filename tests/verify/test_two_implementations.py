"""What the package seals, spec/check.py verifies, and what the script of the vectors seals, the package verifies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Verdict
from tests import forging
from tests.forging import MAKE
from tests.vectors import VECTORS
from tests.verify.table import Case
from tests.verify.test_table import CASES

SCRIPT = VECTORS.parent / "check.py"
CHECK = MAKE.check  # the same as a module
TEXT = b"".join(b"user=%d action=login\n" % i if i % 3 else b'{"user":%d,"z":[1,2]}\n' % i for i in range(500))


def check(*arguments: object) -> tuple[int, dict[str, object]]:
    """Run spec/check.py as an auditor would; return its exit status and report."""
    command = [sys.executable, str(SCRIPT), "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def seal_with_package(place: Path, text: bytes, *, ended: bool, control: str = "auto") -> None:
    """Seal text in three runs."""
    store = f"file:{place}/store"
    tallystick.create(
        "app",
        store=store,
        custody=f"master-key:{place}/master.key",
        key_file=place / "app.key",
        public_file=place / "app.pub",
    )
    lines = text.splitlines(keepends=True)
    third = len(lines) // 3 + 1
    for run in range(3):
        part = b"".join(lines[run * third : (run + 1) * third])
        log = tallystick.open("app", output=place / "app.log", store=store, epoch_lines=50, control=control)
        log.write_lines(part)
        if ended and run == 2:
            log.end()
        log.close()
    head = subprocess.run(
        [Path(sys.executable).with_name("tallystick"), "head", "app", "--store", store], capture_output=True, check=True
    )
    (place / "app.head").write_bytes(head.stdout)


@pytest.mark.parametrize("control", ["plain", "json"])
def test_the_second_implementation_verifies_what_the_package_seals(control: str, tmp_path: Path) -> None:
    seal_with_package(tmp_path, TEXT, ended=True, control=control)
    status, report = check(tmp_path / "app.log", "--key", tmp_path / "app.key", "--head", tmp_path / "app.head")
    assert (status, report["verdict"], report["findings"]) == (0, "ok", [])
    status, report = check(tmp_path / "app.log", "--public", tmp_path / "app.pub")
    assert (status, report["verdict"], report["findings"]) == (0, "ok", [])


def test_the_second_implementation_finds_one_changed_byte(tmp_path: Path) -> None:
    seal_with_package(tmp_path, TEXT, ended=True)
    data = (tmp_path / "app.log").read_bytes()
    (tmp_path / "app.log").write_bytes(data.replace(b"user=100 ", b"user=101 ", 1))
    for given in (("--key", tmp_path / "app.key", "--head", tmp_path / "app.head"), ("--public", tmp_path / "app.pub")):
        status, report = check(tmp_path / "app.log", *given)
        assert (status, report["verdict"]) == (5, "failed")


@pytest.mark.parametrize("options", [[], ["--control", "json"], ["--chains", "5", "--epoch-lines", "20"]])
def test_the_package_verifies_what_the_script_of_the_vectors_seals(options: list[str], tmp_path: Path) -> None:
    outs = [f"--{what}-out={tmp_path}/app.{what}" for what in ("key", "public", "head")]
    command = [sys.executable, VECTORS / "make.py", "seal", "--name", "app", "--seed", "11" * 32, *outs, "--end"]
    done = subprocess.run([*command, *options], input=TEXT, capture_output=True, check=True)
    (tmp_path / "app.log").write_bytes(done.stdout)
    report = tallystick.verify([tmp_path / "app.log"], keys=[tmp_path / "app.key"], head=tmp_path / "app.head")
    assert (report.verdict, report.findings) == (Verdict.OK, ())
    report = tallystick.verify([tmp_path / "app.log"], public=[tmp_path / "app.public"])
    assert (report.verdict, report.findings) == (Verdict.OK, ())


def test_real_logs_go_through_both_implementations(tmp_path: Path) -> None:
    data = os.environ.get("TALLYSTICK_DATA")
    if not data:
        pytest.skip("TALLYSTICK_DATA does not name a directory with real logs")
    logs = sorted(Path(data, "loghub").glob("*.log"))
    assert len(logs) == 4
    for log in logs:
        place = tmp_path / log.stem
        place.mkdir()
        seal_with_package(place, log.read_bytes().removesuffix(b"\n") + b"\n", ended=True)
        ours = tallystick.verify([place / "app.log"], keys=[place / "app.key"], head=place / "app.head")
        assert ours.verdict is Verdict.OK
        for given in (("--key", place / "app.key", "--head", place / "app.head"), ("--public", place / "app.pub")):
            status, _ = check(place / "app.log", *given)
            assert status == 0, log


JUDGED_BY_BOTH = [case for case in CASES if set(case.settings) <= {"start"} and len(case.keys) < 2]


def test_many_cases_of_the_table_are_judged_by_both() -> None:
    assert len(JUDGED_BY_BOTH) > 120


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in JUDGED_BY_BOTH])
def test_the_second_implementation_tells_what_the_table_says(case: Case) -> None:
    key = case.keys[0] if case.keys else forging.key_text() if case.key == "V" else forging.public_text()
    given = {"key_text": key} if case.key == "V" else {"public_text": key}
    theirs = CHECK.verify(case.files, **given, head_text=case.head, pins=case.pins, **case.settings)
    verdict, *findings = case.told.split("\n")
    # The table has no word for an input in which nothing could be verified; the package tells it as a finding.
    kinds = {" ".join(finding.split(" ×")[0].split()[1:]) for finding in findings} - {"nothing verified"}
    if "certs that name different roots" in case.promise:
        kinds |= {"open end"} | ({"uncovered"} if case.key == "P" else set())  # it distrusts the chain's ending, too
    assert (theirs["verdict"], {finding["kind"] for finding in theirs["findings"]}) == (verdict, kinds)

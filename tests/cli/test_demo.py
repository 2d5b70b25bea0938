"""`tallystick demo`: the main job on a real log, and every attack found."""

import subprocess
import sys
from pathlib import Path

import pytest

from tallystick import attacks, ceremony, keystore
from tallystick import open as open_log
from tallystick.verify import Verdict, verify

COMMAND = Path(sys.executable).with_name("tallystick")


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the demonstration."""
    return subprocess.run([COMMAND, "demo", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_demonstration_finds_every_attack_on_this_machines_own_log() -> None:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 of 13 attacks found" in done.stdout
    for attack in attacks.ATTACKS:
        assert attack.name in done.stdout


def test_the_demonstration_has_four_processes_write_one_log() -> None:
    *_, agent, verified = demo().stdout.splitlines()
    assert agent.startswith("6. agent    four times: tallystick send unix:agent")
    assert verified.startswith("7. verify")
    assert verified.endswith(": ok")


def test_the_demonstration_takes_a_file_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(b'{"n":%d,"odd":"\xff\x00"}\r\n' % i for i in range(200)))
    before = log.read_bytes(), log.stat().st_mtime_ns
    done = demo(log)
    assert (done.returncode, "13 of 13" in done.stdout) == (0, True), done.stdout + done.stderr
    assert (log.read_bytes(), log.stat().st_mtime_ns) == before


def test_the_demonstration_refuses_a_log_that_is_too_short_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "short.log").write_text("one line\n")
    for path, status in ((tmp_path / "short.log", 2), (tmp_path / "none.log", 4), (tmp_path, 4)):
        done = demo(path)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        assert str(path) in done.stderr


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[attacks.Scene, Path]:
    """A log of three chains as an intruder finds it."""
    place = tmp_path_factory.mktemp("scene")
    store = f"file:{place}/store"
    ceremony.create("app", store=store, custody=f"master-key:{place}/master.key", key_file=place / "app.key")
    heads = []
    for run in range(3):
        with open_log("app", output=place / "app.log", store=store, epoch_lines=10) as log:
            log.write_lines(b"".join(b"run %d line %d\n" % (run, i) for i in range(40)))
        heads.append(keystore.connect(store).load("app").head or b"")
    lines = (place / "app.log").read_bytes().removesuffix(b"\n").split(b"\n")
    return attacks.Scene(tuple(lines), heads[-1], heads[-2]), place


@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_changes_the_log_and_is_found(
    attack: attacks.Attack, scene: tuple[attacks.Scene, Path], tmp_path: Path
) -> None:
    before, place = scene
    after = attack.doctor(before)
    assert (after.lines, after.head) != (before.lines, before.head)
    (tmp_path / "app.log").write_bytes(b"\n".join(after.lines) + b"\n")
    (tmp_path / "head").write_bytes(after.head)
    report = verify([tmp_path / "app.log"], keys=[place / "app.key"], head=tmp_path / "head")
    assert report.verdict is not Verdict.OK
    assert attack.expected & {finding.kind for finding in report.findings}

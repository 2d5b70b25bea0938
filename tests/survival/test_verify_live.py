"""A log that is being written is verified while its files are rotated, compressed and removed: each time `ok`.

A small number of runs in `make test`, 500 and 200 in `make torture`.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import tallystick
from tests.log.test_log import Place
from tests.preloaded import Running
from tests.processes import Started
from tests.survival.test_contrib import tool
from tests.survival.writing import until

RUNS = int(os.environ.get("TALLYSTICK_LIVE_RUNS", "6"))
LOGROTATE_RUNS = int(os.environ.get("TALLYSTICK_LOGROTATE_RUNS", "10"))
KEEP = 30

# Writes until its directory has a file `stop`; its arguments are the output, the store, and bytes for a rotation.
PROGRAM = """
import os, sys, time, tallystick
from tallystick.sinks.rotation import Rotation
output, store, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
rotation = Rotation(size=size, compress="gz", keep=30) if size else None
stop, number = os.path.join(os.path.dirname(store), "stop"), 0
with tallystick.open("payments", output=output, store=f"file:{store}", rotation=rotation) as log:
    while not os.path.exists(stop):
        for number in range(number, number + 20):
            log.write(f"n={number} user=7 action=transfer amount=100")
        number += 1
        time.sleep(0.005)
"""


@contextmanager
def writing(tmp_path: Path, size: int) -> Iterator[tuple[Place, Path]]:
    """Give a place whose log is being written, in a directory where nothing else is."""
    place = Place(tmp_path)
    directory = tmp_path / "logs"
    directory.mkdir(mode=0o700)
    store = place.store.removeprefix("file:")
    arguments = [directory / "audit.log", store, str(size)]
    writer = Running(list(map(str, arguments)), PROGRAM)
    try:
        until(lambda: writer.poll() is not None or any(directory.glob("audit.log*")), 60)
        yield place, directory
    finally:
        (Path(store).parent / "stop").touch()
        said = writer.communicate(timeout=30)[1]
        assert (writer.returncode, said) == (0, "")


def chain_of(path: Path) -> int:
    found = re.search(r"audit\.log\.(\d{10})", path.name)
    return int(found[1]) if found else 0


WAYS: dict[str, Callable[[Path], list[str]]] = {
    "directory": lambda logs: [str(logs)],
    "pattern": lambda logs: [f"{logs}/audit.log*"],
    "directory above": lambda logs: [f"{logs.parent}/**/audit.log*"],
}


def judged(place: Place, paths: list[str], start: int | None = None) -> tuple[str, list[str], float]:
    """Verify; return the verdict, the findings, and how much of the processors that took."""
    began = time.process_time()
    report = tallystick.verify(paths, keys=[place.key], store=place.store, start=start, jobs=1)
    took = time.process_time() - began
    return report.verdict.value, [f"{f.kind}: {f.detail} ({f.path})" for f in report.findings], took


# Beyond 256 chains the opening of an older generation would be needed, which retention removed.
@pytest.mark.parametrize("runs", [100] * (RUNS // 100) + [RUNS % 100] * (RUNS % 100 > 0))
def test_a_log_that_its_writer_rotates_compresses_and_removes_is_ok_at_any_moment(tmp_path: Path, runs: int) -> None:
    slow = []
    with writing(tmp_path, 20_000) as (place, logs):
        until(lambda: len(list(logs.glob("audit.log.*"))) >= KEEP, 60)
        for run in range(runs):
            way = list(WAYS)[run % len(WAYS)]
            # The oldest ones may go at any moment: the log begins with one in the middle.
            start = sorted(map(chain_of, logs.glob("audit.log.*")))[KEEP // 2]
            verdict, findings, took = judged(place, WAYS[way](logs), start)
            assert verdict == "ok", (run, way, findings)
            assert {finding.split(":")[0] for finding in findings} <= {
                "unclean end",
                "duplicate",
                "passed over",
                "notice",
            }
            in_peace = quiet(place, logs, tmp_path / "quiet", start)
            slow.append(took / in_peace)
            assert took < 2 * in_peace + 0.02  # seconds: it is measured in ticks
    print(f"{runs} runs, {max(slow):.2f} times the quiet run at most")


def quiet(place: Place, logs: Path, copy: Path, start: int) -> float:
    """Return how much of the processors it takes to verify what is here now, while it is left in peace."""
    copy.mkdir()
    for path in logs.iterdir():
        with suppress(FileNotFoundError):
            shutil.copy2(path, copy)
    took = judged(place, [str(copy)], start)[2]
    shutil.rmtree(copy)
    return took


def test_a_log_that_logrotate_renames_and_compresses_is_ok_at_any_moment(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    with writing(tmp_path, 0) as (place, logs):
        conf.write_text(f"{logs}/audit.log {{\nrotate 1000\ncompress\ndelaycompress\ncreate 0640\nmissingok\n}}\n")
        stop = tmp_path / "rotated enough"
        # A file that is rotated twice before its writer ran again is gone, and reported: that is another test.
        followed = f'until [ -s "{logs}/audit.log" ] || [ -e "{stop}" ]; do sleep .02; done'
        rotate = f'"{tool("logrotate")}" -f -s "{tmp_path}/state" "{conf}"; sleep .1; {followed}'
        command = f'while [ ! -e "{stop}" ]; do {rotate}; done'
        with Started(["sh", "-c", command], stderr=subprocess.PIPE) as rotating:
            try:
                until(lambda: len(list(logs.glob("audit.log.*"))) >= 3)
                for run in range(LOGROTATE_RUNS):
                    way = list(WAYS)[run % len(WAYS)]
                    verdict, findings, _ = judged(place, WAYS[way](logs))
                    assert verdict == "ok", (run, way, findings)
            finally:
                stop.touch()
                rotating.communicate(timeout=60)

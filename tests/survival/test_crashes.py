"""Writers that are killed, again and again, all in one log."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import tallystick
from tests.cases import some
from tests.log.test_log import Place
from tests.survival.remains import Remains

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("TALLYSTICK_KILLS", "30"))
SEED = int(os.environ.get("TALLYSTICK_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


@pytest.fixture
def place(tmp_path):
    """A log in a directory of its own, so that what else a test writes is not hit."""
    (tmp_path / "log").mkdir()
    return Place(tmp_path / "log")


def killing(place, *arguments, **more):
    """Run tests/survival/killing.py; return what it says of each run."""
    directory = place.output.parent
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [sys.executable, "-m", "tests.survival.killing", arguments[0], directory, *map(str, arguments[1:])],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=said, check=False, env=os.environ | more.get("env", {}),
        )  # fmt: skip
        said.seek(0)
        assert (done.returncode, said.read()) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def remains(place):
    """Read all files of the log; nothing half done is left."""
    directory = place.output.parent
    left = [path for path in directory.iterdir() if path.name.startswith(".") or ".new" in path.name]
    assert not left, left
    return Remains.of([place.output, *directory.glob("audit.log.*"), *directory.glob("old/*")])


def assert_nothing_is_lost(runs, found):
    """What was acknowledged is there; what a writer took in was sealed in order and without a hole."""
    for run in runs:
        numbers = found.runs.get(run["run"], [])
        assert sorted(numbers) == list(range(len(numbers))), f"run {run} has holes"
        if run["how"] != "seal":
            assert len(numbers) >= run["noted"], f"of run {run} only {len(numbers)} lines are there"
    found.assert_nothing_twice()


def test_kills_at_any_instant_leave_one_log_that_verifies(place):
    print(f"TALLYSTICK_SEED={SEED} plays the same instants again")
    runs = killing(place, "random", KILLS, SEED)
    assert [run["status"] for run in runs] == [-signal.SIGKILL] * KILLS + [0]
    assert {run["how"] for run in runs} == {"library", "seal"}

    found = remains(place)
    print(
        f"{len(found.files)} files, {len(found.opened)} chains, {sum(found.positions.values())} lines, "
        f"{len(found.unclean())} unclean ends, {len(found.torn)} torn lines, at most {found.uncounted()} ms uncounted"
    )
    assert {path.suffix for path in found.files} == {".log", ".gz", ".zst"}
    assert len(found.runs) > KILLS / 4, "most writers died before their first line"
    assert_nothing_is_lost(runs, found)
    assert len(found.unclean()) <= KILLS
    assert len(found.torn) <= KILLS
    found.assert_verifies(place.key, place.store)
    # A head follows within 1 s (spec section 6); the rest is what a machine with other work may take longer.
    assert found.uncounted() < 2000


PARTS = 6
"""Parts of a test: one has every sixth call. `make test` plays another one each time."""


@pytest.mark.parametrize("part", some(range(PARTS), [SEED % PARTS]), ids=lambda part: "every sixth call")
def test_a_kill_at_each_call_that_changes_a_file_loses_nothing(place, tmp_path, preload, part):
    control = tmp_path / "faults"
    control.touch()
    runs = killing(place, "points", control, part, PARTS, env=preload("faults", FAULTS=control))
    assert [run["status"] for run in runs] == [-signal.SIGKILL] * (len(runs) - 1) + [0]
    print(f"{len(runs) - 1} calls")
    assert len(runs) > 100 / PARTS
    found = remains(place)
    assert_nothing_is_lost(runs, found)
    assert not found.twice
    found.assert_verifies(place.key, place.store)


@pytest.mark.parametrize("call", ["rename", "unlink"])
@pytest.mark.parametrize("forms", [("gz", "gz"), ("gz", "zst"), ("zst", "gz")], ids="-".join)
def test_what_was_killed_while_it_compressed_is_finished_by_the_next(place, tmp_path, preload, call, forms):
    with place.open() as log:
        log.write_lines(b"".join(b"run=0 line=%d at=0\n" % i for i in range(500)))
    rotated = place.output.with_name("audit.log.0000000001")
    os.rename(place.output, rotated)
    code = (
        "import sys, time, tallystick\n"
        f"rotation = tallystick.Rotation(size=10**6, compress={forms[0]!r})\n"
        f"log = tallystick.open('payments', output={str(place.output)!r}, store={place.store!r}, rotation=rotation)\n"
        "time.sleep(20)\n"
    )
    control = tmp_path / "faults"
    part = f".audit.log.0000000001.{forms[0]}.new" if call == "rename" else "/audit.log.0000000001"
    control.write_text(f"{call} kill 0 1 {part}\n")
    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | preload("faults", FAULTS=control))
    assert done.returncode == -signal.SIGKILL
    assert rotated.exists()
    assert rotated.with_name(f"{rotated.name}.{forms[0]}").exists() == (call == "unlink")
    # What the killed one was just starting may have its lease for a moment more.
    after = {"wait": 30, "on_trouble": lambda _: None}
    with place.open(rotation=tallystick.Rotation(size=10**6, compress=forms[1]), **after) as log:
        log.write("run=1 line=0 at=0")
    found = remains(place)
    assert (found.twice, len(found.files)) == ([], 2)
    assert {run: len(numbers) for run, numbers in found.runs.items()} == {0: 500, 1: 1}
    found.assert_nothing_twice()
    found.assert_verifies(place.key, place.store)

"""A writer ends within seconds whatever it is doing, and says what it could not seal; so does a fork."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.log.ending import EVENTS, STATES
from tests.log.test_log import Place

REPORTED = {
    "blocked": r"bytes of sealed lines that were not written|dropped and not reported",
    "unread": r"its reader takes nothing|which file descriptor [0-9]+ does not take",
    "dropping": r"lines? that (was|were) dropped and not reported",
    "syncing": r"may not be on the disk",
    "opening": r"was ended before it had answered|did not answer in time",
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_whatever_a_writer_does_its_end_comes_within_six_seconds(tmp_path, state, event):
    place = Place(tmp_path)
    program = [sys.executable, "-m", "tests.log.ending", str(tmp_path), state, event]
    root = Path(__file__).parents[2]
    with subprocess.Popen(program, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            before = []
            while "now\n" not in before and (line := process.stdout.readline()):
                before.append(line)
            began = time.monotonic()
            rest, _ = process.communicate(timeout=20)
            took = time.monotonic() - began
        finally:
            process.kill()
    if found := re.search(r"took ([0-9.]+)", rest):
        took = float(found[1])
    assert took < 6, (before, rest)
    assert process.returncode == (-signal.SIGTERM if event.startswith("SIGTERM") else 0), (before, rest)
    assert "Traceback" not in rest, rest
    if event != "fork":
        if state in REPORTED:
            assert re.search(REPORTED[state], rest), (before, rest)
        if state != "unread":
            assert place.verify()[0] in ("ok", "incomplete")

"""A writer ends within seconds whatever it is doing, and says what it could not seal; so does a fork."""

import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.log.ending import EVENTS, STATES
from tests.log.test_log import Place
from tests.preloaded import Running

PROGRAM = "from tests.log.ending import main; main()"
REPORTED = {
    "blocked": r"bytes of sealed lines that were not written|dropped and not reported",
    "unread": r"its reader takes nothing|which file descriptor [0-9]+ does not take",
    "hanging": r"may not be written whole",
    "dropping": r"lines? that (was|were) dropped and not reported",
    "syncing": r"may not be on the disk",
    "storing": r"no head counts the last lines",
    "witnessing": r"has not received the end of the chain",
    "opening": r"was ended before it had answered|did not answer in time",
}


@dataclass
class End:
    """How a program ended.

    Args:
        status: Its exit status, or the signal that ended it, below 0.
        took: Seconds from the event to its end, or to where it went on.
        said: What it printed from the event on.
        verdict: What a verifier says of the log.
    """

    status: int
    took: float
    said: str
    verdict: str


def ending(directory, state, event):
    """Run a program whose end comes in a state of its writer."""
    directory.mkdir()
    place = Place(directory)
    with Running([str(directory), state, event], PROGRAM, stderr=subprocess.STDOUT) as process:
        try:
            before = []
            while "now\n" not in before and (line := process.stdout.readline()):
                before.append(line)
            began = time.monotonic()
            late = threading.Timer(30, process.kill)
            late.start()
            said = process.stdout.read()  # not `communicate`, which leaves out what was read ahead with the lines
            process.wait()
            took = time.monotonic() - began
            late.cancel()
        finally:
            process.kill()
            for pid in (directory / "stopped").read_text().split() if (directory / "stopped").exists() else ():
                with suppress(ProcessLookupError):  # one that is stopped does not hear that its writer has gone
                    os.kill(int(pid), signal.SIGKILL)
    if found := re.search(r"took ([0-9.]+)", said):
        took = float(found[1])
    verdict = place.verify(*directory.glob("audit.log.*"))[0] if state not in ("unread", "hanging") else "ok"
    return End(process.returncode, took, said if "now\n" in before else "".join(before), verdict)


@pytest.mark.parametrize("state", STATES)
def test_whatever_a_writer_does_its_end_comes_within_six_seconds(tmp_path, state):
    with ThreadPoolExecutor(len(EVENTS)) as pool:  # they mostly wait
        found = dict(zip(EVENTS, pool.map(lambda event: ending(tmp_path / event, state, event), EVENTS), strict=True))
    statuses = dict.fromkeys(EVENTS, 0) | {"SIGTERM here": -signal.SIGTERM, "SIGTERM elsewhere": -signal.SIGTERM}
    if state == "hanging":
        statuses["SIGTERM here"] = -signal.SIGKILL  # nothing else ends a call that does not return
    assert {event: end.status for event, end in found.items()} == statuses, found
    assert max(end.took for end in found.values()) < 6, found
    for event, end in found.items():
        assert "Traceback" not in end.said, end
        assert end.verdict in ("ok", "incomplete"), end
        if event != "fork" and state in REPORTED:
            assert re.search(REPORTED[state], end.said), (event, end)

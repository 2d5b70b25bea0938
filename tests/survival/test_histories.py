"""Random histories of one log: forks and daemons, files that move, a full disk with room again, kills.

`make torture` plays many: TALLYSTICK_HISTORIES says how many, TALLYSTICK_SEED plays the same again.
"""

import os
import random
import re
import select
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tallystick
from tests.places import mounted
from tests.processes import Started
from tests.survival import histories
from tests.survival.remains import Remains

ROOT = Path(__file__).parents[2]
HISTORIES = int(os.environ.get("TALLYSTICK_HISTORIES", 4))
SEED = int(os.environ.get("TALLYSTICK_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
STEPS = 25
DROPPED = re.compile(rb" dropped (?:the\+writer\+before\+dropped\+)?([0-9]+)\+lines?\+")


def played(seed, run, directory, store, journal):
    """Play one history to the end of its last process."""
    ours, theirs = os.pipe()
    try:
        command = [sys.executable, "-m", histories.__name__, str(seed), str(STEPS), str(run), directory, store, journal]
        process = Started(
            command, cwd=ROOT, stderr=subprocess.PIPE, pass_fds=[theirs], start_new_session=True, text=True
        )
        os.close(theirs)
        assert select.select([ours], [], [], 120)[0], "it does not end"
        return process.communicate(timeout=10)[1]
    finally:
        os.close(ours)


@pytest.mark.parametrize("together", [False, True], ids=["a disk of its own", "the key store on the same disk"])
def test_no_record_is_lost_without_a_report_whatever_forks_moves_fills_and_dies(site, tmp_path, together):
    print(f"TALLYSTICK_SEED={SEED} plays the same histories again")
    directory, journal = tmp_path / "disk", tmp_path / "journal"
    with mounted(directory, size=f"{2 + HISTORIES // 4}m"):
        if together:
            shutil.move(site.store, directory / "store")
            site.env["TALLYSTICK_STORE"] = str(directory / "store")
        store = f"file:{site.env['TALLYSTICK_STORE']}"
        for number in range(HISTORIES):
            said = played(SEED + number, number * 1000, directory, store, journal)
            assert all(line.startswith("tallystick: ") for line in said.splitlines()), (number, said)
            (directory / histories.BALLAST).unlink(missing_ok=True)
        with tallystick.open("payments", output=directory / "audit.log", store=store) as log:
            log.write("the end")
        shutil.copytree(directory, tmp_path / "copy")
        noted = [line.split() for line in journal.read_text().splitlines()]
        found = Remains.of((tmp_path / "copy").glob("audit.log*"))
        print(Counter(words[2] for words in noted if words[0] == "step"), Counter(words[0] for words in noted))
        verdict, kinds = site.verdict(*map(str, found.files))
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True), kinds
    assert not [words for words in noted if words[0] == "stuck"]
    accounted(noted, found)


def accounted(noted, found):
    """Each record whose call returned is in the log once, or is counted among those that were dropped.

    Of a process that dies on a full disk the last count may be lacking, and nobody is left who could say it.
    """
    found.assert_nothing_twice()
    taken, tried, died = {}, {}, {int(words[1]) for words in noted if words[0] == "lossy"}
    for word, *rest in noted:
        if word not in ("step", "said", "lossy"):
            run, number = int(rest[0]), int(rest[1])
            tried[run] = max(number, tried.get(run, -1))
            if word == "ok":
                taken.setdefault(run, set()).add(number)
    for run, numbers in found.runs.items():
        assert len(set(numbers)) == len(numbers), run
        # A process may die after a record and before its note.
        more = set(numbers) - taken.get(run, set())
        assert more <= {tried.get(run, -1) + 1}, (run, more)
    missing = {run: len(numbers - set(found.runs.get(run, []))) for run, numbers in taken.items()}
    dropped = sum(int(count) for path in found.files for count in DROPPED.findall(path.read_bytes()))
    certain = sum(count for run, count in missing.items() if run not in died)
    assert certain <= dropped <= sum(missing.values()), (missing, died)

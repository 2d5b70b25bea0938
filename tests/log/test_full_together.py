"""A full disk under log and key store together: with `on_full="drop"` a service starts and goes on, and every line that
was dropped is reported: by its log, or by the next writer."""

import json
import os
import shutil
import signal
import time
from contextlib import suppress

import pytest

from tallystick import keystore
from tallystick.errors import NoRoomError, SealError
from tests.log.test_log import Place, until
from tests.places import Site, mounted
from tests.sealed import entries
from tests.survival.test_faults import fill


@pytest.fixture
def place(small_disk):
    return Place(small_disk)


@pytest.fixture
def full(place, small_disk):
    fill(small_disk)
    return place


def room(small_disk):
    (small_disk / "ballast").unlink()


def told(place):
    return [entry.decode() for entry in place.entries() if entry.startswith(b"[")]


def test_a_log_opens_on_a_full_disk_drops_lines_and_goes_on_when_there_is_room(full, small_disk):
    said = []
    with full.open(on_full="drop", on_trouble=said.append) as log:
        for number in range(3):
            log.write(f"dropped {number}")
        assert log.position == "0.0.0"
        room(small_disk)
        until(lambda: told(full))  # even if no line comes any more
        log.write("after")
    assert "log payments drops lines until it goes on" in said[0]
    assert [line.split(" from ")[0] for line in told(full)] == ["[dropped] 3 lines were dropped"]
    assert full.entries()[-1] == b"after"
    assert full.verify() == ("ok", [])


@pytest.mark.parametrize("on_full", ["raise", "block", "stop"])
def test_in_other_modes_it_is_refused_at_once(full, on_full):
    with pytest.raises(NoRoomError, match="no space left on device"):
        full.open(on_full=on_full)


def test_what_was_dropped_at_the_end_is_reported_by_the_next_writer(full, small_disk):
    for _ in range(2):  # writers that came and went while the disk was full
        log = full.open(on_full="drop", on_trouble=lambda _: None)
        log.write("dropped")
        log.write("dropped")
        with pytest.raises(SealError, match="lines that were dropped and not reported in it"):
            log.close()
    room(small_disk)
    with full.open() as log:
        log.write("after")
    (said,) = told(full)
    assert said.startswith("[dropped] the writer before dropped 4 lines from 20")
    assert "no space left on device" in said
    with full.open() as log:
        log.write("later")
    assert len(told(full)) == 1
    assert full.verify() == ("ok", [])


def test_what_was_dropped_in_the_middle_of_a_chain_and_never_reported_is_reported_by_the_next_writer(place, small_disk):
    log = place.open(on_full="drop", on_trouble=lambda _: None)
    for number in range(100):
        log.write(f"{number} " + "x" * 100)
    fill(small_disk)
    while not (keystore.connect(place.store).note("payments") or b"").count(b'"unreported": {'):
        log.write("x" * 5000)
        time.sleep(0.05)
    log.write("one that is dropped")
    with pytest.raises(SealError, match="dropped and not reported in it"):
        log.close()
    room(small_disk)
    with place.open() as log:
        log.write("after")
    assert b" dropped the+writer+before+dropped+" in place.read()
    verdict, kinds = place.verify()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True)


def test_what_a_killed_writer_had_dropped_is_reported_by_the_next_one(small_disk):
    site = Site(small_disk)
    site.init()
    fill(small_disk)
    writer = site.start("seal", "payments", "-o", "audit.log", "--on-full", "drop")
    writer.stdin.write(b"one\ntwo\n")

    def unreported():
        note = json.loads(keystore.connect(f"file:{site.store}").note("payments") or b"null") or {}
        return (note.get("unreported") or {}).get("count")

    until(lambda: unreported() == 2)
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    room(small_disk)
    site.seal(b"after\n")
    assert any(b"the writer before dropped 2 lines" in entry for entry in entries(site.read()))
    (shown,) = json.loads(site("status", "--format", "json").out)
    assert shown["health"] == "good"


def test_run_starts_its_command_on_a_full_disk(small_disk):
    site = Site(small_disk)
    site.init()
    fill(small_disk)
    run = site.start(
        "run", "payments", "-o", "audit.log", "--on-full", "drop", "--", "sh", "-c", "echo one; cat; echo two"
    )
    until(lambda: run.stderr.readline().count(b"drops lines until it goes on"))
    room(small_disk)
    until(lambda: (site.path / "audit.log").exists() and b"dropped+from" in site.read())
    _, err = run.communicate(timeout=20)
    assert run.returncode == 0, err
    assert entries(site.read())[-1] == b"two"
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize(
    "said", [b"null", b'{"unreported": 7}', b'{"unreported": {"count": 1e999, "since": 0, "until": 0, "why": ""}}',
             b'{"unreported": {"count": -1, "since": 0, "until": 0, "why": ""}}',
             b'{"unreported": {"count": 1, "since": 1e300, "until": 0, "why": ""}}'],
)  # fmt: skip
def test_a_note_that_others_wrote_breaks_no_writer(place, said):
    with keystore.connect(place.store).lease("payments") as lease:
        lease.replace_note(said)
    with place.open() as log:
        log.write("one")
    assert told(place) == []


def test_a_reason_in_a_note_adds_no_line(place):
    why = "x\ntallystick/v1 open"
    note = {"unreported": {"count": 1, "since": 0, "until": 0, "why": why}, "closed": "well"}
    with keystore.connect(place.store).lease("payments") as lease:
        lease.replace_note(json.dumps(note).encode())
    with place.open() as log:
        log.write("one")
    times = "from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z"
    assert told(place) == [f"[dropped] the writer before dropped 1 line {times}: xtallystick/v1 open"]
    assert place.verify() == ("ok", [])


# A disk that has room, but for no file more


@pytest.fixture
def crowded(tmp_path):
    """A log on a disk with no inode left; what is removed to make some."""
    with mounted(tmp_path / "disk", size="2m,nr_inodes=60") as disk:
        place = Place(disk)
        (disk / "others").mkdir()
        with suppress(OSError):
            for number in range(1000):
                (disk / "others" / str(number)).touch()
        yield place


def inodes(place):
    shutil.rmtree(place.output.parent / "others")


def test_a_log_whose_file_cannot_be_made_opens_drops_lines_and_goes_on_when_it_can(crowded):
    said = []
    with crowded.open(on_full="drop", on_trouble=said.append) as log:
        for number in range(3):
            log.write(f"dropped {number}")
        assert (log.position, crowded.output.exists()) == ("0.0.0", False)
        inodes(crowded)
        until(lambda: crowded.output.exists() and told(crowded))  # even if no line comes any more
        log.write("after")
    assert "no space left on device; make room there; log payments drops lines until it goes on" in said[0]
    assert [line.split(" from ")[0] for line in told(crowded)] == ["[dropped] 3 lines were dropped"]
    assert crowded.entries()[-1] == b"after"
    assert crowded.output.stat().st_mode & 0o777 == 0o640 & ~umask()
    assert crowded.verify() == ("ok", [])


def test_what_was_dropped_for_want_of_a_file_is_reported_by_the_next_writer(crowded):
    log = crowded.open(on_full="drop", on_trouble=lambda _: None)
    log.write("dropped")
    with pytest.raises(SealError, match="1 line that was dropped and not reported in it"):
        log.close()
    inodes(crowded)
    with crowded.open() as log:
        log.write("after")
    (said,) = told(crowded)
    assert said.startswith("[dropped] the writer before dropped 1 line from 20")
    assert crowded.verify() == ("ok", [])


@pytest.mark.parametrize("on_full", ["raise", "block", "stop"])
def test_in_other_modes_a_log_whose_file_cannot_be_made_is_refused(crowded, on_full):
    with pytest.raises(SealError, match="no space left on device"):
        crowded.open(on_full=on_full)


def umask():
    before = os.umask(0)
    os.umask(before)
    return before

"""Files that are rotated, by the writer or by others, while lines are written."""

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tallystick
from tallystick import securefile
from tallystick.errors import KeyStoreError, SealError
from tallystick.sinks.rotation import Archive, Rotation
from tests.log.test_log import Place, until
from tests.sealed import entries, lines


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def files(place):
    """Rotated files, the oldest first."""
    return sorted(place.output.parent.glob("audit.log.*"))


def read(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def everything(place):
    return [entry for path in [*files(place), place.output] for entry in entries(read(path))]


def write(log, numbers):
    for i in numbers:
        log.write(f"{i} " + "x" * 100)
        if not i % 50:
            time.sleep(0.006)  # the file is looked at every 5 ms


def test_files_are_rotated_by_size_and_each_begins_with_a_chain(place):
    with place.open(rotation=tallystick.Rotation(size=20_000)) as log:
        write(log, range(1000))
    assert len(files(place)) >= 3
    for path in [*files(place), place.output]:
        assert lines(read(path))[0].startswith(b"tallystick/v1 open ")
        assert b" closed " in lines(read(path))[-1]
    assert [int(path.name[-10:]) for path in files(place)] == list(range(1, len(files(place)) + 1))
    assert [int(entry.split()[0]) for entry in everything(place)] == list(range(1000))
    assert place.verify(*files(place)) == ("ok", [])


def test_a_file_that_is_removed_while_it_is_compressed_does_not_come_back(tmp_path, monkeypatch):
    told, filled, removed = [], threading.Event(), threading.Event()
    archive = Archive(securefile.Place.of(tmp_path / "audit.log"), Rotation(size=1, keep=2, compress="gz"), told.append)
    for chain in (1, 2, 3):
        Path(archive.name_for(chain)).write_bytes(b"x" * 1000)
    utime = os.utime  # the last call before the compressed file gets its name

    def slow(*given, **times):
        utime(*given, **times)
        filled.set()
        removed.wait(10)

    monkeypatch.setattr(os, "utime", slow)
    archive.compress()
    assert filled.wait(10)
    assert archive.prune() == ["audit.log.0000000001 was removed, as one too many of the rotated files"]
    removed.set()
    archive.finish()
    assert (told, [path.name for path in sorted(tmp_path.iterdir())]) == (
        [], ["audit.log.0000000002.gz", "audit.log.0000000003.gz"],
    )  # fmt: skip


def test_a_file_that_stands_plain_and_compressed_counts_once(tmp_path):
    archive = Archive(securefile.Place.of(tmp_path / "audit.log"), Rotation(size=1, keep=2))
    for name in ("0000000001.gz", "0000000001", "0000000002", "0000000003", "0000000003.gz"):
        (tmp_path / f"audit.log.{name}").touch()
    assert [said.split()[0][10:] for said in archive.prune()] == ["0000000001", "0000000001.gz"]
    assert archive.prune() == []


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_rotated_files_are_compressed_and_the_rest_verifies_after_old_ones_were_removed(place, form):
    with place.open(rotation=tallystick.Rotation(size=10_000, keep=2, compress=form)) as log:
        write(log, range(1000))
    assert [path.suffix for path in files(place)] == [f".{form}"] * 2
    first = int(files(place)[0].name.split(".")[2])
    assert first > 2
    assert not list(place.output.parent.glob(".*"))
    assert place.verify(*files(place), start=first) == ("ok", [])
    assert any(b"was removed, as one too many" in entry for entry in entries(place.read()))


def test_a_file_is_rotated_by_age_even_if_no_line_comes(place):
    with place.open(rotation=tallystick.Rotation(age=0.5)) as log:
        log.write("one")
        until(lambda: files(place))
    assert place.verify(*files(place)) == ("ok", [])


def test_a_large_file_of_an_earlier_run_is_rotated_before_the_first_line(place):
    with place.open() as log:
        write(log, range(100))
    with place.open(rotation=tallystick.Rotation(size=1000)) as log:
        log.write("new")
    assert [path.name for path in files(place)] == ["audit.log.0000000001"]
    assert entries(place.read()) == [b"new"]
    assert place.verify(*files(place)) == ("ok", [])


def test_what_a_crash_left_of_compression_is_finished_by_the_next_writer(place):
    rotation = tallystick.Rotation(size=1000, compress="gz")
    with place.open() as log:
        write(log, range(100))
    os.rename(place.output, f"{place.output}.0000000001")
    (place.output.parent / ".audit.log.0000000001.gz.new").write_bytes(b"half")
    with place.open(rotation=rotation) as log:
        log.write("new")
    assert [path.name for path in files(place)] == ["audit.log.0000000001.gz"]
    assert not list(place.output.parent.glob(".*"))
    assert place.verify(*files(place)) == ("ok", [])


def test_garbage_among_the_rotated_files_is_no_obstacle(place):
    for form in ("gz", "zst"):
        (place.output.parent / f"audit.log.0000000001.{form}").write_bytes(b"garbage")
    with place.open(rotation=tallystick.Rotation(size=1000, compress="gz")) as log:
        write(log, range(20))
    assert place.verify(*(path for path in files(place) if path.stat().st_size > 7)) == ("ok", [])


def test_a_pipe_cannot_be_rotated(place):
    with pytest.raises(SealError, match="cannot be rotated"):
        place.open(output=lambda _: None, rotation=tallystick.Rotation(size=1))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"age": -1}, {"keep": 0}, {"keep_for": 0}, {"compress": "rar"}])
def test_a_rotation_without_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="rotat"):
        tallystick.Rotation(**wrong)


# Rotation by others


def test_a_file_that_was_renamed_is_followed_by_a_new_one(place):
    with place.open() as log:
        for i in range(5):
            log.write(f"before {i}")
        os.rename(place.output, f"{place.output}.1")
        time.sleep(0.006)
        log.write("after")
        assert entries(place.read()) == [b"after"]
    assert place.verify(f"{place.output}.1") == ("ok", [])


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_new_file_after_others_moved_the_old_one_has_its_mode(place, mode):
    with place.open() as log:
        log.write("before")
        place.output.chmod(mode)
        os.rename(place.output, f"{place.output}.1")
        log.reopen()
        log.write("after")
    assert entries(place.read()) == [b"after"]
    assert place.output.stat().st_mode & 0o777 == mode


def test_a_file_can_be_reopened_on_demand_even_if_no_line_comes(place):
    with place.open() as log:
        log.write("before")
        until(lambda: place.head()[2] == 2)
        os.rename(place.output, f"{place.output}.1")
        log.reopen()
        until(place.output.exists)
        log.write("after")
    assert place.verify(f"{place.output}.1") == ("ok", [])


def test_a_file_that_was_cut_is_reported_and_the_log_says_so(place):
    told = []
    with place.open(on_trouble=told.append) as log:
        log.write("lost")
        os.truncate(place.output, 0)
        time.sleep(0.006)
        log.write("after")
    assert [b"was cut from" in entry for entry in place.entries()] == [True, False]
    assert len(told) == 1
    assert place.verify()[0] == "incomplete"  # the log begins too late: its first lines were cut off


def test_a_file_that_was_removed_is_reported_and_the_log_says_so(place):
    told = []
    with place.open(on_trouble=told.append) as log:
        log.write("lost")
        place.output.unlink()
        time.sleep(0.006)
        log.write("after")
    assert [b"was removed while it was written" in entry for entry in place.entries()] == [True, False]
    assert len(told) == 1


def test_an_older_store_is_recognised_by_the_file_that_was_just_rotated(place):
    state = place.state / "state"
    before = state.read_bytes()
    with place.open() as log:
        log.write("one")
    os.rename(place.output, f"{place.output}.1")
    state.write_bytes(before)
    with pytest.raises(KeyStoreError, match="a restored backup must not be sealed with: start a new log"):
        place.open()


def test_an_older_store_is_recognised_by_a_file_that_was_compressed(place):
    state = place.state / "state"
    before = state.read_bytes()
    rotation = tallystick.Rotation(size=1000, compress="gz")
    with place.open(rotation=rotation) as log:
        write(log, range(20))
    state.write_bytes(before)
    place.output.unlink()
    assert [path.suffix for path in files(place)] == [".gz"] * len(files(place))
    with pytest.raises(KeyStoreError, match="a restored backup must not be sealed with: start a new log"):
        place.open(rotation=rotation)


def test_lines_that_another_log_writes_to_a_rotated_file_are_not_removed_with_it(tmp_path, monkeypatch):
    path, told = tmp_path / "audit.log.0000000001", []
    path.write_bytes(b"copied\n")

    def write_late(*descriptors):
        """Be another log that has not heard of the rotation; the copy is made by now."""
        with open(path, "ab") as file:
            file.write(b"late\n")
        return securefile.keep_rights(*descriptors)

    monkeypatch.setattr("tallystick.sinks.rotation.keep_rights", write_late)
    archive = Archive(securefile.Place.of(tmp_path / "audit.log"), Rotation(size=1, compress="gz"), told.append)
    archive.compress()
    archive.finish()
    assert path.read_bytes() == b"copied\nlate\n"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert told == [f"{path} could not be compressed: lines are still written to it; it stays as it is"]


def test_a_new_log_may_go_on_in_the_place_of_an_older_one(place, tmp_path):
    rotation = tallystick.Rotation(size=1000, compress="zst")
    with place.open(rotation=rotation) as log:
        write(log, range(20))
    tallystick.create(
        "orders", store=place.store, custody=f"master-key:{tmp_path}/master.key", key_file=tmp_path / "orders.key"
    )
    with tallystick.open(
        "orders", output=place.output, store=place.store, rotation=rotation, mixed=True, on_trouble=list
    ) as log:
        write(log, range(20))
    assert len({path.name for path in files(place)}) == len(files(place)) >= 2


# Signs of life, durability, the end of the process


def test_a_silent_log_gives_signs_of_life(place):
    with place.open(heartbeat=0.5):
        until(lambda: place.output.exists() and place.read().count(b"tallystick/v1 checkpoint") >= 2)
    assert place.verify() == ("ok", [])


def test_signs_of_life_alone_fill_a_chain_and_go_on_in_the_next(place, monkeypatch):
    monkeypatch.setattr("tallystick.writer.background.HEAD_AFTER", 0.001)
    with place.open(heartbeat=0.001) as log:
        until(lambda: log.position.startswith("2."), seconds=60)
    statements = place.read().decode().splitlines()
    assert [line.split()[2:5:2] for line in statements if line.startswith("tallystick/v1 open ")] == [
        ["payments", "1"], ["payments", "2"],
    ]  # fmt: skip
    first = [line for line in statements if line.startswith("tallystick/v1 checkpoint ") and line.split()[4] == "1"]
    assert len(first) == 256
    assert {line.split()[6] for line in first[1:]} == {"0"}
    assert place.verify() == ("ok", [])


def synced(monkeypatch):
    calls, real = [], os.fdatasync

    def fdatasync(fd):
        calls.append(fd)
        time.sleep(0.001)  # as a disk takes; temporary files may be in memory
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return calls


def test_each_line_is_on_the_disk_when_write_returns_and_one_sync_serves_many(place, monkeypatch):
    calls = synced(monkeypatch)
    with place.open(durability="sync-each") as log:
        for i in range(10):
            log.write(f"{i}")
            assert len(calls) >= i + 1
        threads = [threading.Thread(target=lambda: [log.write("x") for _ in range(100)]) for _ in range(8)]
        before = len(calls)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(calls) - before < 800
    assert place.verify() == ("ok", [])


def test_a_checkpoint_is_on_the_disk_when_it_was_asked_for(place, monkeypatch):
    calls = synced(monkeypatch)
    with place.open(durability="sync") as log:
        log.write("one")
        before = len(calls)
        log.checkpoint()
        assert len(calls) > before


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "sys.exit(3)", "pass"])
def test_the_chain_is_closed_when_the_process_ends(place, how):
    code = (
        "import os, signal, sys, time, tallystick\n"
        f"log = tallystick.open('payments', output={str(place.output)!r}, store={place.store!r})\n"
        f"log.write('one')\n{how}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == ({"o": -signal.SIGTERM, "s": 3, "p": 0}[how[0]], b"")
    assert place.verify() == ("ok", [])


def test_a_sync_that_fails_stops_the_log_and_no_head_counts_what_came_after_the_last(place, monkeypatch):
    told = []

    def fails(_):
        raise OSError(5, "Input/output error")

    log = place.open(on_trouble=told.append)
    log.write("one")
    until(lambda: place.head()[2] == 2)
    monkeypatch.setattr(os, "fdatasync", fails)
    log.write("two")
    until(lambda: log.stopped and told)  # the key store, which syncs too, may have been hit before
    for call in (lambda: log.write("three"), log.close):
        with pytest.raises(SealError, match="the lines may not be on the disk"):
            call()
    monkeypatch.undo()
    assert place.head() == (1, 0, 2)
    assert place.verify()[0] == "ok"

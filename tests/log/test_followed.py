"""Files that others move, remove or replace while a log is written: nothing is lost without a report."""

import errno
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

import tallystick
from tallystick import securefile
from tallystick.errors import OutputError, SealError
from tallystick.moving import rekey
from tallystick.sinks import FileSink
from tallystick.sinks.rotation import Rotation
from tests.log.test_log import Place, until
from tests.sealed import entries


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def logs(place):
    """The same, with the log's file in a directory of its own."""
    directory = place.output.parent / "logs"
    directory.mkdir()
    place.output = directory / "audit.log"
    return place


def circle(path):
    os.symlink(path.name, path)


IN_THE_WAY = {"a directory": os.mkdir, "a named pipe": os.mkfifo, "a circle of links": circle}


@pytest.mark.parametrize("put", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_lines_go_on_in_the_old_file_while_the_new_one_cannot_be_opened(place, put):
    reported, old = [], place.output.with_name("audit.log.1")
    with place.open(on_trouble=reported.append) as log:
        log.write("before")
        os.rename(place.output, old)
        put(place.output)
        until(lambda: reported)
        log.write("meanwhile")
        assert b"meanwhile" in entries(old.read_bytes())
        (os.rmdir if place.output.is_dir() else os.unlink)(place.output)
        until(lambda: len(reported) == 2)
        log.write("after")
    assert "lines go on in the old file until the new one can be opened" in reported[0]
    assert reported[1] == f"{place.output} was opened; lines until here are in the old file"
    noticed = [b"lines go on in the old file" in entry for entry in entries(old.read_bytes())]
    assert noticed == [False, True, False]
    assert place.entries() == [b"[output] " + reported[1].encode(), b"after"]
    assert place.verify(old) == ("ok", [])


def test_lines_go_on_when_the_directory_was_renamed_and_there_is_no_other(logs):
    reported, away = [], logs.output.parent.with_name("logs.old")
    with logs.open(on_trouble=reported.append) as log:
        log.write("before")
        os.rename(logs.output.parent, away)
        until(lambda: reported)
        log.write("after")
    assert "no such file or directory; lines go on in the old file" in reported[0]
    logs.output = away / "audit.log"
    assert logs.entries()[-1] == b"after"
    assert logs.verify() == ("ok", [])


def test_trouble_that_cannot_be_reported_ends_neither_a_line_nor_the_thread_that_stores_heads(place, monkeypatch):
    failed = []
    monkeypatch.setattr(threading, "excepthook", lambda given: failed.append(str(given.exc_value)))

    def report(message):
        raise RuntimeWarning(message)  # as the default does with python -W error

    with place.open(on_trouble=report) as log:
        log.write("before")
        os.rename(place.output, f"{place.output}.1")
        place.output.mkdir()
        until(lambda: failed)  # by the thread
        log.write("meanwhile")
        place.output.rmdir()
        until(place.output.exists)
        log.write("after")
        before = place.head()
        until(lambda: place.head() != before)
        assert log.background.is_alive()
    assert "lines go on in the old file until the new one can be opened" in failed[0]
    assert place.verify(f"{place.output}.1") == ("ok", [])


def test_a_file_that_comes_back_under_its_name_is_gone_on_with(place):
    reported = []
    with place.open(on_trouble=reported.append) as log:
        log.write("before")
        os.rename(place.output, place.output.with_name("aside"))
        os.mkdir(place.output)
        until(lambda: reported)
        os.rmdir(place.output)
        os.rename(place.output.with_name("aside"), place.output)
        until(lambda: len(reported) == 2)
        log.write("after")
    assert reported[1].endswith(("is the file again that lines go to", "lines until here are in the old file"))
    assert place.verify() == ("ok", [])


def test_a_removed_directory_is_reported_by_a_silent_log_and_lines_are_refused_until_it_is_back(logs):
    reported = []
    with logs.open(on_trouble=reported.append) as log:
        log.write("lost")
        shutil.rmtree(logs.output.parent)
        until(lambda: reported, seconds=5)
        assert "no such file or directory" in reported[0]
        assert "refuses lines until it goes on" in reported[0]
        with pytest.raises(OutputError, match="no such file or directory"):
            log.write("refused")
        logs.output.parent.mkdir()
        until(logs.output.exists)
        log.write("after")
    said = logs.entries()
    assert any(b"was removed while it was written: lines that no copy has are lost" in entry for entry in said)
    assert any(b"1 line was dropped" in entry for entry in said)
    assert said[-1] == b"after"


def test_a_file_that_its_server_has_no_longer_is_followed_by_a_new_one(place, monkeypatch):
    fstat, stale = os.fstat, []

    def fails(fd):
        found = fstat(fd)
        if found.st_ino in stale:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return found

    reported = []
    with place.open(on_trouble=reported.append) as log:
        log.write("lost")
        until(lambda: place.head()[2] == 2)
        stale.append(place.output.stat().st_ino)
        os.rename(place.output, place.output.with_name("on the server"))
        monkeypatch.setattr(os, "fstat", fails)
        until(lambda: reported)
        log.write("after")
        monkeypatch.undo()
    assert "was removed while it was written" in reported[0]
    assert place.entries()[-1] == b"after"


def test_a_file_is_never_rotated_where_its_name_means_that_of_somebody_else(tmp_path):
    path, other = tmp_path / "audit.log", tmp_path / "other"
    place = securefile.Place.of(path)
    sink = FileSink(place.begin(), str(path), place, Rotation(size=1))
    sink.output.put(b"line\n")
    sink.push()
    other.write_bytes(b"of somebody else")
    os.rename(other, path)
    with pytest.raises(OutputError, match="could not be rotated: its name means another file now"):
        sink.rotate(1)
    assert (path.read_bytes(), list(tmp_path.glob("audit.log.*"))) == (b"of somebody else", [])
    sink.close()


def test_a_rotation_that_finds_no_room_for_a_new_file_leaves_the_old_one_in_its_place(tmp_path, monkeypatch):
    path = tmp_path / "audit.log"
    place = securefile.Place.of(path)
    sink = FileSink(place.begin(), str(path), place, Rotation(size=1))
    sink.output.put(b"line\n")
    sink.push()
    opened = os.open

    def full(name, flags, *more, **options):
        if flags & os.O_EXCL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(name, flags, *more, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OutputError, match="no space left on device; lines go on in the old file"):
        sink.rotate(1)
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["audit.log"]
    sink.close()


# Names are resolved once


def test_a_later_change_of_the_working_directory_changes_nothing(tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    tallystick.create("payments", store="file:store", custody="master-key:master.key", key_file="payments.key")
    options = {"store": "file:store", "custody": "master-key:master.key", "rotation": Rotation(size=2000)}
    with tallystick.open("payments", output="audit.log", **options) as log:
        monkeypatch.chdir(tmp_path / "there")
        for number in range(4):
            log.write(f"{number} " + "x" * 1500)
            log.reopen()
            log.checkpoint()
    assert list((tmp_path / "there").iterdir()) == []
    files = sorted((tmp_path / "here").glob("audit.log*"))
    assert len(files) > 1
    report = tallystick.verify(files, keys=["../here/payments.key"], store="file:../here/store")
    assert report.verdict.value == "ok"


def test_the_next_chain_opens_after_a_change_of_directory_where_modules_are_found_by_relative_paths(tmp_path):
    for name, place in {"lib": sysconfig.get_path("purelib"), "src": Path(tallystick.__file__).parents[1]}.items():
        (tmp_path / name).symlink_to(place)
    program = (
        "import os, tallystick\n"
        "where = {'store': 'file:store'}\n"
        "tallystick.create('payments', custody='master-key:master.key', key_file='payments.key', **where)\n"
        "with tallystick.open('payments', output='audit.log', epoch_lines=1, **where) as log:\n"
        "    os.chdir('/')\n"
        "    for number in range(300):\n"
        "        log.write(str(number))\n"
    )
    python = os.path.realpath(sys.executable)  # without the modules of a virtual environment
    done = subprocess.run(
        [python, "-c", program], cwd=tmp_path, env={"PYTHONPATH": "src:lib"}, check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(entries((tmp_path / "audit.log").read_bytes())) == 300


def test_the_file_that_a_link_means_is_rotated_and_not_the_link(place, tmp_path):
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "payments.log"
    place.output.symlink_to("data/payments.log")
    with place.open(rotation=tallystick.Rotation(size=500)) as log:
        log.write("x" * 600)
        log.checkpoint()
        log.write("after")
    assert os.readlink(place.output) == "data/payments.log"
    rotated = sorted(target.parent.glob("payments.log.*"))
    assert (len(rotated), list(tmp_path.glob("audit.log.*"))) == (1, [])
    assert place.verify(*rotated) == ("ok", [])


def test_a_link_that_leads_elsewhere_later_does_not_move_the_log(place, tmp_path):
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    place.output.symlink_to(first)
    with place.open() as log:
        log.write("one")
        place.output.unlink()
        place.output.symlink_to(second)
        log.reopen()
        log.write("two")
    assert (entries(first.read_bytes()), second.exists()) == ([b"one", b"two"], False)


@pytest.mark.parametrize("name", [b"with\nline end.log", b"\xff.log"], ids=["line end", "no UTF-8"])
def test_a_notice_is_one_line_whatever_the_name_of_the_file_is(place, tmp_path, name):
    place.output = tmp_path / os.fsdecode(name)
    reported = []
    with place.open(on_trouble=reported.append) as log:
        log.write("lost")
        os.truncate(place.output, 0)
        until(lambda: reported)
        log.write("after")
    assert [b"was cut from" in entry for entry in place.entries()] == [True, False]


# The file of another log


def test_the_file_of_another_log_is_refused_and_nothing_is_changed(place, tmp_path):
    with place.open() as log:
        log.write("of payments")
    more = {"store": place.store, "custody": f"master-key:{tmp_path}/master.key"}
    tallystick.create("orders", key_file=tmp_path / "orders.key", **more)
    state, before = tmp_path / "store" / "orders" / "state", place.read()
    states = state.read_bytes()
    with pytest.raises(SealError, match=r"holds lines of another log.*\nhint: name another file"):
        tallystick.open("orders", output=place.output, **more)
    assert (state.read_bytes(), place.read()) == (states, before)


def test_the_file_of_another_log_is_refused_also_where_it_was_just_rotated(place, tmp_path):
    rotation = tallystick.Rotation(size=100)
    with place.open(rotation=rotation) as log:
        log.write("x" * 200)
        until(lambda: list(tmp_path.glob("audit.log.0*")))
    place.output.write_bytes(b"")
    more = {"store": place.store, "custody": f"master-key:{tmp_path}/master.key"}
    tallystick.create("orders", key_file=tmp_path / "orders.key", **more)
    with pytest.raises(SealError, match="holds lines of another log"):
        tallystick.open("orders", output=place.output, **more)


def test_the_file_of_a_log_of_the_same_name_is_no_slip_also_where_that_did_not_end(place, tmp_path):
    with place.open() as log:
        log.write("of the one before")
    reported, more = [], {"store": f"file:{tmp_path}/new", "custody": f"master-key:{tmp_path}/master.key"}
    tallystick.create("payments", key_file=tmp_path / "new.key", **more)
    with tallystick.open("payments", output=place.output, on_trouble=reported.append, **more) as log:
        log.write("of the next one")
    assert reported == []
    assert entries(place.read()) == [b"of the one before", b"of the next one"]


def test_two_logs_share_a_file_where_that_was_asked_for_and_it_is_reported(place, tmp_path):
    with place.open() as log:
        log.write("of payments")
    reported, more = [], {"store": place.store, "custody": f"master-key:{tmp_path}/master.key"}
    tallystick.create("orders", key_file=tmp_path / "orders.key", **more)
    with tallystick.open("orders", output=place.output, mixed=True, on_trouble=reported.append, **more) as log:
        log.write("of orders")
    assert len(reported) == 1
    assert "verify it with the keys of both" in reported[0]
    keys = [place.key, tmp_path / "orders.key"]
    assert tallystick.verify([place.output], keys=keys, store=place.store).verdict.value == "ok"


def test_a_log_beside_another_one_of_a_longer_name_is_no_slip(place, tmp_path):
    with place.open() as log:
        log.write("of payments")
    os.rename(place.output, tmp_path / "audit.log.payments")
    more = {"store": place.store, "custody": f"master-key:{tmp_path}/master.key"}
    tallystick.create("orders", key_file=tmp_path / "orders.key", **more)
    with tallystick.open("orders", output=place.output, **more) as log:
        log.write("of orders")
    assert entries(place.read()) == [b"of orders"]


def test_a_successor_goes_on_in_the_file_of_the_log_that_ended(place, tmp_path):
    with place.open() as log:
        log.write("one")
    rekey("payments", output=place.output, store=place.store, key_file=tmp_path / "new.key")
    with place.open() as log:
        log.write("two")
    keys = [place.key, tmp_path / "new.key"]
    assert tallystick.verify([place.output], keys=keys, store=place.store).verdict.value == "ok"

"""`--wait`: a writer that starts while the old one ends holds its lines, and refuses or seals them all."""

import json
import os
import signal
import threading
import time

import pytest

import tallystick
from tallystick import keystore
from tallystick.errors import LogBusyError
from tallystick.integrations.logging import SealedFileHandler
from tallystick.writer.status import Dropped
from tests.log.test_log import Place, until
from tests.sealed import entries


@pytest.fixture
def old(site):
    """A writer that has the log."""
    writer = site.start("seal", "payments", "-o", "audit.log")
    writer.stdin.write(b"old\n")
    until(lambda: (site.path / "audit.log").exists() and b"old" in site.read())
    yield writer
    writer.kill()
    writer.communicate()


def waits(site, old, *command, **more):
    """Start a writer that waits; return it when it has said for whom."""
    new = site.start(*command, **more)
    said = new.stderr.readline().decode()
    assert f"log payments is being written by pid {old.pid} (tallystick seal payments)" in said
    assert "; waiting for " in said
    return new


def ends(process, data=None):
    _, err = process.communicate(data, timeout=30)
    return process.returncode, err.decode()


def test_lines_that_come_while_the_old_writer_ends_are_sealed_after_its_own(site, old):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "30s")
    new.stdin.write(b"new 1\nnew 2\nhal")
    old.stdin.write(b"old 2\n")
    assert ends(old) == (0, "")
    assert ends(new, b"f\n")[0] == 0
    assert entries(site.read()) == [b"old", b"old 2", b"new 1", b"new 2", b"half"]
    assert site.verdict() == ("ok", [])


def test_status_says_how_long_the_writer_has_waited(site, old):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "30s")
    ends(old)
    new.stdin.write(b"new\n")
    until(lambda: b"new" in site.read())
    (shown,) = json.loads(site("status", "--format", "json").out)
    assert any("waited for the lease" in each and f"pid {old.pid}" in each for each in shown["recovered"])
    assert ends(new)[0] == 0


def test_after_the_wait_it_is_refused_with_the_reason_and_the_lines_are_counted(site, old):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "1s")
    status, err = ends(new, b"one\ntwo\n")
    assert status == 4
    assert f"being written by pid {old.pid}" in err
    assert "also after a wait of " in err
    assert "not sealed: 2 lines that came" in err
    assert "one" not in site.read().decode()


def test_a_writer_that_is_free_is_not_waited_for(site):
    assert site("seal", "payments", "-o", "audit.log", "--wait", "30s", stdin=b"one\n").err == ""
    assert site.verdict() == ("ok", [])


def test_what_is_no_other_writer_is_refused_at_once(site):
    began = time.monotonic()
    done = site("seal", "absent", "-o", "audit.log", "--wait", "30s")
    assert (done.status, "there is no log absent" in done.err) == (4, True)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_within_seconds_and_lines_are_counted(site, old, number):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "10m")
    new.stdin.write(b"one\n")
    time.sleep(0.2)
    began = time.monotonic()
    new.send_signal(number)
    status, err = ends(new)
    assert time.monotonic() - began < 6
    assert status == 4
    assert "not sealed: 1 line" in err


def test_a_signal_to_a_writer_that_waits_without_a_line_ends_it(site, old):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "10m")
    new.send_signal(signal.SIGTERM)
    new.send_signal(signal.SIGTERM)
    assert ends(new)[0] in (4, 128 + signal.SIGTERM)


def test_no_more_is_read_than_can_be_held_and_nothing_is_lost(site, old):
    new = waits(site, old, "seal", "payments", "-o", "new.log", "--wait", "60s")
    line = b"x" * 65_535 + b"\n"
    count = 400  # 26 MB, and 16 MiB are held
    feeding = threading.Thread(target=lambda: [new.stdin.write(line) for _ in range(count)])
    feeding.start()
    feeding.join(2)
    assert feeding.is_alive()  # the one who writes waits
    with open(f"/proc/{new.pid}/status") as status:
        (peak,) = [int(each.split()[1]) for each in status if each.startswith("VmHWM")]
    assert peak < 200_000  # kB
    ends(old)
    feeding.join(30)
    assert ends(new)[0] == 0
    assert len(entries(site.read("new.log"))) == count


def test_with_on_full_drop_the_one_who_writes_does_not_wait_and_the_log_says_what_was_dropped(site, old):
    new = waits(site, old, "seal", "payments", "-o", "audit.log", "--wait", "60s", "--on-full", "drop")
    line, count = b"x" * 65_535 + b"\n", 400
    for _ in range(count):
        new.stdin.write(line)
    time.sleep(0.5)
    ends(old)
    assert ends(new, b"last\n")[0] == 0
    sealed = entries(site.read())
    (said,) = [each.decode() for each in sealed if b" were dropped from " in each]
    assert "another writer had the log" in said
    assert int(said.split()[1]) + sum(len(each) == 65_535 for each in sealed) + (b"last" in sealed) == count + 1
    assert site.verdict() == ("ok", [])


# run


def test_run_starts_its_command_at_once_and_seals_its_output_when_the_log_is_free(site, old):
    command = ("run", "payments", "-o", "audit.log", "--wait", "30s", "--", "sh", "-c", "echo started; touch up; cat")
    new = waits(site, old, *command)
    until((site.path / "up").exists)
    assert b"started" not in site.read()
    ends(old)
    until(lambda: b"started" in site.read())
    assert ends(new)[0] == 0
    assert entries(site.read()) == [b"old", b"started"]
    assert site.verdict() == ("ok", [])


def test_run_that_waits_in_vain_ends_its_command_and_counts_its_lines(site, old):
    command = ("run", "payments", "-o", "audit.log", "--wait", "1s", "--", "sh", "-c", "echo one; echo two; sleep 60")
    new = waits(site, old, *command)
    status, err = ends(new)
    assert status == 4
    assert "COMMAND is ended" in err
    assert "up to 2 lines are not sealed" in err


def test_run_whose_command_has_ended_waits_for_the_log_with_its_lines(site, old):
    new = waits(site, old, "run", "payments", "-o", "audit.log", "--wait", "30s", "--", "sh", "-c", "echo one; exit 3")
    time.sleep(0.5)
    ends(old)
    assert ends(new)[0] == 3
    assert entries(site.read()) == [b"old", b"one"]


def test_run_reports_to_its_manager_that_it_waits_and_then_that_it_is_ready(site, old, tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        site.env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        new = waits(site, old, "run", "payments", "-o", "audit.log", "--wait", "30s", "--", "cat")
        assert manager.recv(1000) == b"STATUS=waiting until log payments is free"
        ends(old)
        assert manager.recv(1000).startswith(b"READY=1\n")
        ends(new)


# The library


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_open_waits_and_reports_for_whom(place):
    told = []
    first = place.open()
    threading.Timer(1.5, first.close).start()
    with place.open(wait=30, on_trouble=told.append) as log:
        log.write("second")
    assert f"being written by pid {os.getpid()}" in told[0]
    assert place.verify() == ("ok", [])


def test_open_that_waits_in_vain_is_refused(place):
    with place.open(), pytest.raises(LogBusyError, match="also after a wait of"):
        place.open(wait=0.2, on_trouble=lambda _: None)


def test_a_handler_waits(place, capsys):
    first = place.open()
    threading.Timer(1.5, first.close).start()
    handler = SealedFileHandler("payments", place.output, store=place.store, wait=30)
    handler.close()
    assert "waiting for 30 s at most" in capsys.readouterr().err


def test_a_store_that_goes_away_during_the_wait_is_asked_again(place, tmp_path):
    first, told = place.open(), []

    def away():
        until(lambda: told)
        os.rename(tmp_path / "store", tmp_path / "elsewhere")
        until(lambda: len(told) > 1)
        os.rename(tmp_path / "elsewhere", tmp_path / "store")
        first.close()

    mover = threading.Thread(target=away)
    mover.start()
    with place.open(wait=30, on_trouble=told.append):
        mover.join()
    assert "there is no key store" in told[1]


def test_a_lease_is_given_back_where_the_log_cannot_be_opened_after_the_wait(place):
    first = place.open()
    threading.Timer(1.0, first.close).start()
    with pytest.raises(tallystick.TallystickError, match="no such file or directory"):
        place.open(wait=30, output=place.output.parent / "absent" / "audit.log", on_trouble=lambda _: None)
    assert keystore.connect(place.store).holder("payments") is None


def test_lines_that_never_came_count_as_dropped_in_the_log(place):
    dropped = Dropped()
    dropped.add(3, "another writer had the log")
    with place.open() as log:
        log.note_dropped(dropped)
        until(lambda: any(b"3 lines were dropped from" in entry for entry in place.entries()))

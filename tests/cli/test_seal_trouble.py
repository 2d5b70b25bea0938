"""`tallystick seal` when outputs fail, signals come and writers are killed (spec section 6)."""

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import suppress

import pytest

import tallystick
from tests.places import limited, mounted
from tests.sealed import controls, entries, lines, position

UNCLEAN = {"unclean end", "torn line"}
UNANCHORED = UNCLEAN | {"open end"}  # until the next opening, where no head counted a line of the chain yet


def until(condition, seconds=20):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def size(path):
    return path.stat().st_size if path.exists() else 0


# Outputs that cannot be written


@pytest.fixture(autouse=True)
def stopping(request):
    """Here a full output stops the writer; that it waits for room by default is tested elsewhere."""
    for name in {"site", "bare"} & set(request.fixturenames):
        request.getfixturevalue(name).env["TALLYSTICK_ON_FULL"] = "stop"


def assert_reported(done, what):
    """One line of talk that names the output and says what happened and what to do."""
    assert done.status == 4
    assert done.err.startswith(f"tallystick: {what}")
    assert done.err.count("\n") == 1
    assert "; " in done.err


def assert_goes_on(site, noted, *paths):
    """A healthy output takes lines again, and what stands in all files was never failed."""
    site.seal(b"after\n", "healthy.log")
    verdict, kinds = site.verdict(*paths, "healthy.log")
    assert (verdict, set(kinds) <= noted) == ("ok", True), kinds


def test_a_full_device_is_reported_and_the_log_goes_on_elsewhere(site):
    assert_reported(
        site("seal", "payments", "-o", "/dev/full", stdin=b"1\n"), "/dev/full: no space left on device; make room"
    )
    assert_goes_on(site, UNCLEAN)


def test_a_full_standard_output_is_reported_and_the_log_goes_on_elsewhere(site):
    with open("/dev/full", "wb") as full:
        done = site("seal", "payments", stdin=b"1\n", stdout=full)
    assert_reported(done, "standard output: no space left on device; make room there")
    assert_goes_on(site, UNCLEAN)


def test_a_standard_output_that_is_closed_is_reported(site):
    done = site("seal", "payments", stdin=b"1\n", stdout=None, preexec_fn=lambda: os.close(1))
    assert_reported(done, "standard output: bad file descriptor")
    assert_goes_on(site, UNCLEAN)


@pytest.mark.parametrize(
    ("output", "reported"),
    [
        ("/tmp", "/tmp: is a directory; name a file"),
        ("not/there/audit.log", "not/there/audit.log: no such file or directory; make its directory first"),
        ("master.key/audit.log", "master.key/audit.log: not a directory; name a place in a directory"),
    ],
)
def test_an_output_that_cannot_be_opened_is_reported_and_uses_no_number_up(site, output, reported):
    assert_reported(site("seal", "payments", "-o", output, stdin=b"1\n"), reported)
    site.seal(b"2\n")
    assert position(lines(site.read())[0]) == (1, 0, 0)
    assert site.verdict() == ("ok", [])


def test_a_reader_that_has_gone_is_reported(site):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = site("seal", "payments", stdin=b"1\n", stdout=writing)
    finally:
        os.close(writing)
    assert_reported(done, "standard output: broken pipe; the reader is gone")
    assert_goes_on(site, UNCLEAN)


@pytest.mark.parametrize("limit", [20_000, 20_001, 65_536, 100_003])
def test_a_line_that_was_written_half_is_a_torn_line_and_nothing_worse(site, limit):
    data = b"".join(b"line %d\n" % i for i in range(5000))
    done = site("seal", "payments", "-o", "audit.log", stdin=data, preexec_fn=limited(limit))
    assert_reported(done, "audit.log: file too large; raise the limit of the size of files (ulimit -f)")
    assert "log payments was stopped at" in done.err
    assert size(site.path / "audit.log") == limit
    assert set(site.verdict()[1]) <= UNANCHORED
    site.seal(b"after\n")
    verdict, kinds = site.verdict()
    assert (verdict, "unclean end" in kinds, set(kinds) <= UNCLEAN) == ("ok", True, True), kinds


def test_a_limit_that_is_met_while_lines_come_slowly_leaves_a_log_that_verifies(site):
    with site.start("seal", "payments", "-o", "audit.log", preexec_fn=limited(15_000)) as running:
        with suppress(BrokenPipeError):
            for i in range(2000):
                running.stdin.write(b"a line that comes alone %d\n" % i)
                time.sleep(0.01)
        assert running.wait(20) == 4
    verdict, kinds = site.verdict()
    assert (verdict, set(kinds) <= UNCLEAN) == ("ok", True), kinds
    site.seal(b"after\n")
    verdict, kinds = site.verdict()
    assert (verdict, set(kinds) <= UNCLEAN) == ("ok", True), kinds


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", size="64k") as place:
        yield place


def test_a_disk_that_is_full_takes_lines_again_when_there_is_room(site, small_disk):
    (small_disk / "ballast").write_bytes(bytes(32_768))
    done = site("seal", "payments", "-o", "disk/audit.log", stdin=b"a line of the log\n" * 2000)
    assert_reported(done, "disk/audit.log: no space left on device; make room there")
    (small_disk / "ballast").unlink()
    site.seal(b"after\n", "disk/audit.log")
    verdict, kinds = site.verdict("disk/audit.log")
    assert (verdict, set(kinds) <= UNCLEAN) == ("ok", True), kinds


def test_a_read_only_disk_is_reported(site, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = site("seal", "payments", "-o", "disk/audit.log", stdin=b"1\n")
    assert_reported(done, "disk/audit.log: read-only file system; choose a place that can be written")


def test_a_full_disk_under_the_key_store_is_reported_and_uses_no_number_up(bare, small_disk):
    bare.env["TALLYSTICK_STORE"] = str(small_disk / "store")
    bare.init()
    (small_disk / "ballast").write_bytes(bytes(16_384))
    with open(small_disk / "ballast", "ab", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    done = bare("seal", "payments", "-o", "audit.log", stdin=b"1\n")
    assert_reported(done, f"{small_disk}/store/payments")
    assert "no space left on device; make room there" in done.err
    assert size(bare.path / "audit.log") == 0
    (small_disk / "ballast").unlink()
    bare.seal(b"2\n")
    assert bare.verdict() == ("ok", [])


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_closes_the_chain_and_is_reported_by_the_exit_status(site, number):
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\ntwo\nhalf a li")
        until(lambda: b"two" in (site.read() if size(site.path / "audit.log") else b""))
        running.send_signal(number)
        assert running.wait(20) == 128 + number
        assert running.stderr.read() == b""
    assert entries(site.read())[:2] == [b"one", b"two"]
    assert controls(site.read()) == ["open", "closed"]
    assert site.verdict() == ("ok", [])


def test_what_stands_in_the_pipe_when_the_signal_comes_is_sealed(site):
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n")
        until(lambda: size(site.path / "audit.log"))
        running.send_signal(signal.SIGSTOP)
        running.stdin.write(b"last words\n")
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGCONT)
        assert running.wait(20) == 143
    assert entries(site.read()) == [b"one", b"last words"]


def test_a_signal_that_is_ignored_stays_ignored(site):
    """As under nohup."""
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with site.start("seal", "payments", "-o", "audit.log", **ignoring) as running:
        running.stdin.write(b"one\n")
        until(lambda: size(site.path / "audit.log"))
        running.send_signal(signal.SIGHUP)
        running.stdin.write(b"two\n")
        running.stdin.close()
        assert running.wait(20) == 0
    assert entries(site.read()) == [b"one", b"two"]


def feed(running, first, rng):
    """Write numbered lines until the reader is gone."""
    number = first
    with suppress(BrokenPipeError):
        while True:
            count = rng.choice([1, 3, 50, 700])
            running.stdin.write(b"".join(b"line %d of many\n" % i for i in range(number, number + count)))
            number += count
            time.sleep(rng.choice([0, 0.001, 0.005]))


def ended_at_random(site, seed, number, output="audit.log", more=()):
    """Seal a stream of lines and send a signal at a random instant; return the exit status."""
    rng = random.Random(seed)
    before = size(site.path / output)
    with site.start("seal", "payments", "-o", output, *more) as running:
        feeder = threading.Thread(target=feed, args=(running, seed * 10_000_000, rng))
        feeder.start()
        until(lambda: size(site.path / output) > before)
        time.sleep(rng.random() * 0.25)
        running.send_signal(number)
        status = running.wait(20)
        feeder.join()
    return status


def test_sigterm_at_any_instant_loses_no_line_and_leaves_nothing_to_note(site):
    for seed in range(6):
        assert ended_at_random(site, seed, signal.SIGTERM, more=("--epoch-lines", "100")) == 143
    assert controls(site.read()).count("closed") == controls(site.read()).count("open")
    assert site.verdict() == ("ok", [])
    said = [int(entry.split()[1]) for entry in entries(site.read()) if entry.endswith(b"many")]
    for seed in range(6):
        mine = [n for n in said if n // 10_000_000 == seed]
        assert mine == list(range(seed * 10_000_000, seed * 10_000_000 + len(mine)))


def test_sigkill_at_any_instant_is_an_unclean_end_and_never_failed(site):
    keys, output = [site.path / "payments.key"], [site.path / "audit.log"]
    for seed in range(4):  # tests/survival does it two hundred times
        assert ended_at_random(site, 100 + seed, signal.SIGKILL, more=("--epoch-lines", "500")) == -signal.SIGKILL
        report = tallystick.verify(output, keys=keys, store=f"file:{site.store}")
        assert {finding.kind for finding in report.findings} <= UNANCHORED, report.findings
    site.seal(b"the end\n")
    report = tallystick.verify(output, keys=keys, store=f"file:{site.store}")
    assert report.verdict is tallystick.Verdict.OK, report.findings
    kinds = [finding.kind for finding in report.findings]
    assert kinds.count("unclean end") == 4
    assert set(kinds) <= UNCLEAN
    torn = {finding.line for finding in report.findings if finding.kind == "torn line"}
    whole = [line for number, line in enumerate(lines(site.read()), 1) if number not in torn]
    positions = [position(line) for line in whole]
    assert len(set(positions)) == len(positions), "a position was used twice"
    assert positions == sorted(positions)
    assert len({chain for chain, _, _ in positions}) >= 5


def test_a_number_whose_chain_was_killed_before_its_first_line_is_passed_over(site):
    site.seal(b"1\n")
    with site.start("seal", "payments", "-o", "audit.log") as running:
        until(lambda: b"next chain  3" in site("status").out)
        running.kill()
    site.seal(b"2\n")
    assert [chain for chain, _, _ in map(position, lines(site.read()))] == [1, 1, 1, 3, 3, 3]
    assert site.verdict() == ("ok", [])


# Two writers


def test_a_second_writer_is_refused_and_told_who_the_first_is(site):
    with site.start("seal", "payments", "-o", "audit.log") as first:
        first.stdin.write(b"one\n")
        until(lambda: size(site.path / "audit.log"))
        second = site("seal", "payments", "-o", "audit.log", stdin=b"two\n")
        assert second.status == 4
        assert f"log payments is being written by pid {first.pid} (tallystick seal payments" in second.err
        first.stdin.close()
        assert first.wait(20) == 0
        first.stdin = None
    site.seal(b"three\n")
    assert entries(site.read()) == [b"one", b"three"]
    assert site.verdict() == ("ok", [])


def test_a_writer_that_lost_its_right_says_so_at_once_and_seals_nothing_more(site):
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n")
        until(lambda: b"2" in site("head", "payments").out.split(b" ")[2].split(b".")[2])
        (site.store / "payments" / "lock").unlink()
        running.stdin.write(b"two\n")
        reported = running.stderr.readline()
        assert b"unlocked while log payments was being written" in reported
        before = site.read()
        with suppress(BrokenPipeError):  # it may have ended by now
            running.stdin.write(b"three\n")
            running.stdin.close()
        assert running.wait(20) == 4
    assert site.read() == before


def test_a_writer_that_lost_its_right_is_no_success_even_if_no_line_follows(site):
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n")
        until(lambda: size(site.path / "audit.log"))
        (site.store / "payments" / "lock").unlink()
        assert b"unlocked" in running.stderr.readline()
        running.stdin.close()
        assert running.wait(20) == 4


def test_a_writer_whose_head_cannot_be_stored_says_so_and_goes_on_when_it_can(site):
    moved, place = site.path / "moved", site.store / "payments" / "head.new"
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n")
        until(lambda: size(site.path / "audit.log"))
        place.mkdir()  # the next head has no place
        running.stdin.write(b"two\n")
        assert b"head.new" in running.stderr.readline()
        place.rename(moved)
        running.stdin.write(b"three\n")
        running.stdin.close()
        assert running.wait(20) == 0
    assert entries(site.read()) == [b"one", b"two", b"three"]
    assert site.verdict() == ("ok", [])

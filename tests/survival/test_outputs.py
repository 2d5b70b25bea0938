"""Outputs where services really run: logrotate for root, standard output of a shell, clocks that are wrong.

`make torture` moves a writer's file at random, on a disk that fills up: TALLYSTICK_MOVES says how often.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from tallystick.securefile import Place
from tallystick.sinks.ages import Ages
from tests.places import COMMAND, mounted
from tests.processes import Started
from tests.sealed import entries
from tests.survival.remains import Remains
from tests.survival.test_contrib import tool
from tests.survival.writing import size, until

USER = 4242
MOVES = int(os.environ.get("TALLYSTICK_MOVES", 12))

PROGRAM = """
import sys, tallystick
log = tallystick.open("payments", output=sys.argv[1], on_trouble=lambda said: print(f"tallystick: {said}", file=sys.stderr, flush=True))
with log:
    for line in sys.stdin:
        log.write(line)
"""  # noqa: E501
WRITERS = {
    "seal": (COMMAND, "seal", "payments", "-o", "logs/audit.log"),
    "run": (COMMAND, "run", "payments", "-o", "logs/audit.log", "--", "cat"),
    "library": (sys.executable, "-c", PROGRAM, "logs/audit.log"),
}


class Fed:
    """A writer that gets lines by its standard input."""

    def __init__(self, site, command, **more):
        self.said_in, self.site = site.path / "said", site
        with open(self.said_in, "wb") as said:
            streams = {"stdout": subprocess.DEVNULL, "stderr": said} | more
            if command[0] == COMMAND:
                self.process = site.start(*command[1:], **streams)
            else:
                self.process = Started(
                    command, cwd=site.path, env=site.env, stdin=subprocess.PIPE, bufsize=0, **streams
                )

    def write(self, text):
        self.process.stdin.write(f"{text}\n".encode())

    @property
    def said(self):
        return self.said_in.read_text()

    def done(self):
        self.process.stdin.close()
        return self.process.wait(20)


@contextmanager
def fed(site, command, **more):
    one = Fed(site, command, **more)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def lines_of(path):
    """Return the whole lines of a file; none where there is none, as for a moment when it is rotated."""
    with suppress(FileNotFoundError):
        data = path.read_bytes()
        return entries(data[: data.rfind(b"\n") + 1])
    return []


# A new file that the writer may not open


@pytest.mark.parametrize("writer", WRITERS)
def test_a_new_file_that_logrotate_made_for_root_does_not_stop_a_writer_of_another_user(site, writer):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    directory = site.path / "logs"
    directory.mkdir()
    for path in (site.path, *site.path.rglob("*")):
        os.chown(path, USER, USER)
    for path in site.path.parents[:-1]:
        os.chmod(path, path.stat().st_mode | 0o001)
    conf = site.path / "conf"
    conf.write_text(f"{directory}/audit.log {{\nsu root root\nrotate 9\ncreate 0600 root root\n}}\n")
    # Python may stand where only root can read; what one may write is the same.
    drop = [tool("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
            "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # fmt: skip
    new, old = directory / "audit.log", directory / "audit.log.1"
    with fed(site, [*drop, *WRITERS[writer]]) as one:
        one.write("before")
        until(lambda: lines_of(new))
        subprocess.run([tool("logrotate"), "-f", "-s", site.path / "state.lr", conf], check=True)
        until(lambda: "permission denied; lines go on in the old file" in one.said)
        one.write("meanwhile")
        until(lambda: lines_of(old)[-1:] == [b"meanwhile"])
        assert size(new) == 0
        os.chown(new, USER, USER)  # put right by hand
        until(lambda: "was opened; lines until here are in the old file" in one.said)
        one.write("after")
        assert one.done() == 0
    assert any(b"permission denied; lines go on in the old file" in entry for entry in lines_of(old))
    assert lines_of(new)[-1] == b"after"
    for path in (site.path, *site.path.rglob("*")):
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    assert site.verdict(str(old), str(new)) == ("ok", [])


# Standard output that others opened


@pytest.mark.parametrize(
    ("writer", "change", "reported"),
    [
        ("seal", "mv out out.1", "was renamed to"),
        ("run", "rm out", "was removed while it was written: lines that no copy has are lost"),
        ("run", ": > out", "was cut from"),
        ("seal", "mv out.new out", "was removed while it was written: lines that no copy has are lost"),
    ],
    ids=["renamed", "removed", "cut", "replaced"],
)
def test_what_happens_to_the_file_of_standard_output_is_reported_by_a_silent_writer(site, writer, change, reported):
    arguments = ["--", "cat"] if writer == "run" else []
    (site.path / "out.new").touch()
    with open(site.path / "out", "ab") as out, fed(site, [COMMAND, writer, "payments", *arguments], stdout=out) as one:
        one.write("before")
        until(lambda: lines_of(site.path / "out"))
        began = time.monotonic()
        subprocess.run(["sh", "-c", change], cwd=site.path, check=True)
        until(lambda: reported in one.said, seconds=10)
        assert one.said.startswith("tallystick: standard output")
        assert time.monotonic() - began < 5  # about 0.7; the machine may be busy
        one.write("after")
        assert one.done() == 0
    assert one.said.count(reported) == 1
    if change == "mv out out.1":
        assert [entry.startswith(b"[output] ") for entry in lines_of(site.path / "out.1")] == [False, True, False]
        assert site.verdict("out.1") == ("ok", [])


# Clocks that are wrong


LINES = [b"x" * 1500 + b" %d" % number for number in range(5)]


def keep(site, *before, keep="90d"):
    """Write enough for several files; return what was said.

    Args:
        before: A command that runs the writer, such as one that shows it a clock that is wrong.
        keep: How long they stay.
    """
    words = [COMMAND, "seal", "payments", "-o", "audit.log", "--rotate-size", "2kB", "--keep", keep]
    with fed(site, [*before, *words]) as one:
        for line in LINES:
            one.write(line.decode())
            until(lambda line=line: line in [each for path in files_of(site)[-2:] for each in lines_of(path)])
            time.sleep(0.01)  # the file is looked at every 5 ms
        assert one.done() == 0, one.said
        return one.said


def files_of(site):
    return [*rotated(site), site.path / "audit.log"]


def faketime(clock):
    return (tool("faketime"), "-f", clock) if clock else ()


def rotated(site):
    return sorted(site.path.glob("audit.log.*"))


@pytest.mark.parametrize(
    ("first", "then"), [(None, "+100d"), ("@1970-01-02 00:00:00", None), ("+100d", None)],
    ids=["jumps forward", "began in 1970", "was ahead"],
)  # fmt: skip
def test_a_clock_that_is_wrong_removes_no_file(site, first, then):
    keep(site, *faketime(first))
    before = rotated(site)
    assert len(before) >= 2
    said = keep(site, *faketime(then))
    assert set(before) <= set(rotated(site))
    assert ("stay: by the clock and the log it is" in said) == (first != "+100d")
    assert [line for path in files_of(site) for line in lines_of(path)] == LINES * 2


def test_a_time_namespace_whose_machine_seems_to_have_run_for_long_removes_no_file(site):
    seconds = str(200 * 86_400)
    apart = ("unshare", "--time", "--boottime", seconds, "--monotonic", seconds, "--fork")
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("there are no time namespaces here")
    keep(site)
    before = rotated(site)
    keep(site, *apart, *faketime("+100d"))
    assert set(before) <= set(rotated(site))


def test_files_go_by_their_age_and_the_log_says_that_it_was_the_age(site):
    keep(site)
    before = rotated(site)
    time.sleep(1.1)  # the age itself
    assert keep(site, keep="1s") == ""
    assert set(before) & set(rotated(site)) == set()
    noticed = [entry for path in files_of(site) for entry in lines_of(path) if entry.startswith(b"[rotation] ")]
    assert noticed
    assert all(entry.endswith(b" was removed, as older than 1s") for entry in noticed)


def test_what_is_remembered_of_ages_is_passed_over_by_a_verifier_of_the_directory(site):
    (site.path / "logs").mkdir()
    site.seal(b"one\n", output="logs/audit.log")
    Ages(Place.of(site.path / "logs" / "audit.log")).note(["0000000001"])
    report = site.report("logs")
    assert (report["verdict"], [finding["kind"] for finding in report["findings"]]) == ("ok", ["passed over"])
    assert "the ages of rotated files" in str(report["findings"][0])


# All at once


def test_no_line_is_lost_without_a_report_while_a_file_is_moved_at_random_on_a_full_disk(site, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, directory = random.Random(seed), tmp_path / "logs"
    with mounted(directory, size=f"{600 + 25 * MOVES}k"):
        ballast = directory / "ballast"
        with fed(site, [*WRITERS["seal"], "--on-full", "drop"]) as one:
            one.write("run=0 line=0 at=0 first")
            number = 1
            until(lambda: lines_of(directory / "audit.log"))
            for move in range(MOVES):
                for _ in range(chance.randrange(1, 200)):
                    one.write(f"run=0 line={number} at=0 " + "x" * 50)
                    number += 1
                path, other = directory / "audit.log", directory / f"audit.log.{move}"
                what = chance.choice(["rename", "directory", "fill", "free", "hup"])
                if what in ("rename", "directory") and path.is_file():
                    os.rename(path, other)
                    if what == "directory":
                        path.mkdir()
                elif what == "fill":
                    fill(ballast)
                elif what == "hup":
                    one.process.send_signal(signal.SIGHUP)
                if what in ("free", "hup"):
                    ballast.unlink(missing_ok=True)
                if path.is_dir() and chance.random() < 0.5:
                    path.rmdir()
                time.sleep(chance.random() * 0.05)
                assert one.process.poll() is None, one.said
            ballast.unlink(missing_ok=True)
            if (directory / "audit.log").is_dir():
                (directory / "audit.log").rmdir()
            assert one.done() == 0, one.said
        shutil.copytree(directory, tmp_path / "copy")
    found = [path for path in (tmp_path / "copy").glob("audit.log*") if path.is_file()]
    here = Remains.of(found)
    here.assert_nothing_twice()
    dropped = sum(int(word.split()[1]) for path in found for word in notices_of(path) if b" dropped from " in word)
    assert len(set(here.runs[0])) + dropped == number, (seed, one.said)
    assert site.verdict(*map(str, found))[0] == "ok", seed


def fill(path):
    """Let a file grow until there is no room."""
    with suppress(OSError), open(path, "ab", buffering=0) as file:
        while file.write(bytes(65_536)):  # the last one is shorter
            pass


def notices_of(path):
    return [entry for entry in lines_of(path) if entry.startswith((b"[output] ", b"[dropped] "))]

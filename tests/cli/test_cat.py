"""`tallystick cat`: lines as they were, the exit status of `verify`, nothing that a terminal would act on."""

import contextlib
import gzip
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from tallystick.verify.following import Following
from tallystick.verify.texts import texts
from tests.places import COMMAND
from tests.servers import until

CAT = ("cat", "audit.log*", "--key", "payments.key")
LINES = b'user=7 action=login\n{"a":1}\n\n  blanks  \n\x1b]0;owned\x07 caf\xe9\n'


def test_lines_come_as_they_were_and_the_exit_status_is_that_of_verify(site):
    site.seal(LINES)
    done = site(*CAT)
    assert (done.status, done.out, done.err) == (0, LINES, "")
    site.seal(b"more\n")
    (site.path / "audit.log.1").write_bytes(gzip.compress(site.read()))
    assert site(*CAT).out == LINES + b"more\n"


def test_a_log_that_fails_is_reported_before_its_lines_and_only_what_holds_comes(site):
    site.seal(LINES)
    data = site.read().replace(b"action=login", b"action=logon")
    (site.path / "audit.log").write_bytes(data + b"no seal\n")
    done = site(*CAT)
    assert (done.status, done.out) == (5, LINES.split(b"\n", 1)[1])
    report = site("verify", *CAT[1:]).out.decode()
    assert done.err.splitlines()[:-1] == report.splitlines()[:-1]  # the last one names the time that it took
    marked = site(*CAT, "--all").out.split(b"\n")
    assert marked[0].startswith(b"! user=7 action=logon tally=")
    assert [line[:2] for line in marked[1:-2]] == [b"  "] * 4
    assert marked[-2:] == [b"! no seal", b""]


def test_with_the_public_file_the_end_that_no_checkpoint_covers_stays_out(site):
    site.seal(b"one\n")
    site.seal(b"two\n")
    lines = site.read().split(b"\n")
    (site.path / "audit.log").write_bytes(b"\n".join([*lines[:5], b""]))  # without the second chain's checkpoint
    done = site("cat", "audit.log", "--public", "payments.pub")
    assert (done.status, done.out) == (3, b"one\n")
    assert "uncovered" in done.err


def test_standard_input_is_read_as_verify_reads_it(site):
    site.seal(LINES)
    assert site("cat", "-", "--key", "payments.key", stdin=gzip.compress(site.read())).out == LINES


def test_a_terminal_gets_nothing_that_it_would_act_on(site):
    site.seal(LINES)
    ours, theirs = pty.openpty()
    with site.start(*CAT, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other end was closed
                break
    assert process.returncode == 0
    os.close(ours)
    assert b"\x1b" not in shown
    assert b"\x07" not in shown
    assert rb"\x1b]0;owned\x07 caf\xe9" in shown
    assert b"user=7 action=login\r\n" in shown


@pytest.mark.parametrize("more", [(), ("--follow",)])
def test_a_file_that_is_read_is_not_written(site, more):
    site.seal(LINES)
    before = site.read()
    with (site.path / "audit.log").open("ab") as output:
        done = site(*CAT, *more, stdout=output)
    assert (done.status, site.read()) == (4, before)
    assert "standard output is a file that is read; write into another one" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cat", "audit.log"), "no key was given"),
        (("cat", "-", "--key", "payments.key", "--follow"), "--follow goes with files"),
        (("cat", "audit.log", "--key", "payments.key", "--follow", "--all"), "--follow goes with files"),
    ],
)
def test_what_makes_no_sense_is_refused(site, arguments, said):
    site.seal(LINES)
    done = site(*arguments)
    assert (done.status, done.out) == (2, b"")
    assert said in done.err


class Followed:
    """A `cat --follow` whose output goes to a file."""

    def __init__(self, site, *more, paths="audit.log*", key=("--key", "payments.key")):
        self.site = site
        with (site.path / "out").open("wb") as out:
            self.process = site.start("cat", paths, *key, "--follow", *more, stdout=out)

    def out(self):
        return self.site.read("out")

    def come(self, lines):
        until(lambda: len(self.out()) >= len(lines), "the lines")
        assert self.out() == lines

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode()


@pytest.fixture
def follow(site):
    """Start following; end it at the end."""
    started = []

    def start(*more, **settings):
        started.append(Followed(site, *more, **settings))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def some(first, last):
    return b"".join(b"n=%d\n" % number for number in range(first, last + 1))


def test_what_is_sealed_later_comes_through_rotation_and_compression(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    rotating = ("seal", "payments", "-o", "audit.log", "--rotate-size", "20k", "--compress", "gz")
    assert site(*rotating, stdin=some(4, 2000)).status == 0
    followed.come(some(1, 2000))
    (site.path / "audit.log").rename(site.path / "audit.log.moved")
    site.seal(some(2001, 2003))
    followed.come(some(1, 2003))
    (site.path / "audit.log.moved").unlink()
    site.seal(some(2004, 2005), output="audit.log.other")
    followed.come(some(1, 2005))
    assert followed.end() == (0, "")


def test_files_that_were_removed_are_let_go_of(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    (site.path / "audit.log").rename(site.path / "moved")
    site.seal(some(4, 5))
    followed.come(some(1, 5))
    (site.path / "moved").unlink()
    fds = f"/proc/{followed.process.pid}/fd"

    def held():
        with contextlib.suppress(FileNotFoundError):  # a descriptor that was closed meanwhile
            return [name for name in os.listdir(fds) if os.readlink(f"{fds}/{name}").endswith("(deleted)")]
        return ["?"]

    until(lambda: not held(), "the end of the removed file")
    assert followed.end() == (0, "")


def test_with_the_public_file_lines_come_with_the_checkpoint_that_covers_them(site, follow):
    site.seal(some(1, 3))
    sealed = site.read()
    site.seal(some(4, 30), output="elsewhere")
    lines = site.read("elsewhere").splitlines(keepends=True)
    path = site.path / "audit.log"
    path.write_bytes(sealed + b"".join(lines[:5]))  # the last ones are not covered
    followed = follow(key=("--public", "payments.pub"))
    followed.come(some(1, 3))
    with path.open("ab") as file:
        file.write(b"".join(lines[5:9]))
    path.rename(site.path / "audit.log.1")
    path.write_bytes(b"".join(lines[9:-1]))
    site.seal(some(31, 31), output="later")
    assert followed.out() == some(1, 3)
    with path.open("ab") as file:
        file.write(lines[-1])
    followed.come(some(1, 30))
    with path.open("ab") as file:
        file.write(b"no seal\n" + site.read("later"))
    followed.come(some(1, 31))
    status, err = followed.end()
    assert status == 5
    assert err.endswith("tallystick: failed: unsealed in audit.log\n")


def test_a_file_that_is_truncated_and_one_that_comes_later_are_read_from_the_beginning(site, follow):
    followed = follow(paths="audit.lo*")
    site.seal(some(1, 3), output="audit.log")
    followed.come(some(1, 3))
    data = site.read()
    (site.path / "kept").write_bytes(data)  # as copytruncate does
    (site.path / "audit.log").write_bytes(b"")
    site.seal(some(4, 60))
    followed.come(some(1, 60))
    status, err = followed.end(signal.SIGINT)
    if status:  # at first there was nothing, if it was that quick
        assert (status, err[:37]) == (3, "incomplete: nothing could be verified")
    assert "tallystick: " not in err


def test_a_line_that_a_killed_writer_broke_off_is_no_trouble_where_the_next_one_goes_on(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    writer = site.start("seal", "payments", "-o", "audit.log")
    writer.stdin.write(some(4, 5))
    followed.come(some(1, 5))
    until(lambda: b" tally=" in site.read()[-60:], "a whole line")
    writer.kill()
    writer.communicate()
    with (site.path / "audit.log").open("ab") as file:
        file.write(b"n=6 tally=half a li")
    site.seal(some(7, 8))
    followed.come(some(1, 5) + some(7, 8))
    assert followed.end()[0] == 0


def test_lines_that_do_not_hold_and_lines_that_are_lacking_are_reported_and_others_go_on(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    site.seal(some(4, 9), output="elsewhere")
    lines = site.read("elsewhere").splitlines(keepends=True)
    with (site.path / "audit.log").open("ab") as file:
        file.write(b"".join([*lines[:2], lines[2].replace(b"n=5", b"n=9"), b"no seal\n", *lines[4:]]))
    followed.come(some(1, 3) + b"n=4\n" + some(7, 9))
    until(lambda: followed.process.poll() is None and len(followed.out()) > 0, "output")
    status, err = followed.end()
    assert status == 5
    assert err == (
        "tallystick: failed: altered 2.0.2 in audit.log\n"
        "tallystick: failed: unsealed in audit.log\n"
        "tallystick: failed: missing 2.0.3\n"
    )


def test_each_line_without_a_seal_is_reported_when_it_comes(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    for number in range(2):
        with (site.path / "audit.log").open("ab") as file:
            file.write(b"no seal\n")
        site.seal(some(4 + number, 4 + number))
        followed.come(some(1, 4 + number))
    assert followed.end() == (5, 2 * "tallystick: failed: unsealed in audit.log\n")


def test_copies_and_replays_come_once(site, follow):
    site.seal(some(1, 3))
    followed = follow()
    followed.come(some(1, 3))
    data = site.read()
    (site.path / "audit.log.copy").write_bytes(data)
    (site.path / "audit.log.gz").write_bytes(gzip.compress(data))
    with (site.path / "audit.log").open("ab") as file:
        file.write(data.splitlines(keepends=True)[1])  # a replay
    site.seal(some(4, 5))
    followed.come(some(1, 5))
    status, err = followed.end()
    assert status == 5
    assert "reordered" in err


def test_lines_come_out_of_an_envelope_that_grows(site, follow):
    site.seal(some(1, 5), output="sealed")
    wrapped = b"".join(
        b"2026-11-27T17:00:00.0Z stdout F " + line + b"\n" for line in site.read("sealed").splitlines()
    ).splitlines(keepends=True)
    path = site.path / "audit.log"
    path.write_bytes(b"".join(wrapped[:3]))
    followed = follow("--envelope", "cri")
    followed.come(some(1, 2))
    with path.open("ab") as file:
        file.write(b"".join(wrapped[3:]))
    followed.come(some(1, 5))


def test_it_ends_when_its_reader_has_gone(site):
    site.seal(some(1, 3))
    command = f"{COMMAND} cat audit.log --key payments.key --follow | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
        cwd=site.path,
        env=site.env,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"n=1\n4\n", b"")


def long(first, last):
    return b"".join(b"n=%d %s\n" % (number, 1000 * b"x") for number in range(first, last + 1))


@contextlib.contextmanager
def held_up(followed):
    """Hold a reader up, as one does that reads its output slowly."""
    followed.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        followed.process.send_signal(signal.SIGCONT)


def test_a_reader_that_is_behind_gets_the_older_file_first(site, follow):
    site.seal(long(1, 3))
    followed = follow()
    followed.come(long(1, 3))
    with held_up(followed):
        site.seal(long(4, 500))
        (site.path / "audit.log").rename(site.path / "audit.log.1")
        site.seal(long(501, 20_000))
    followed.come(long(1, 20_000))
    assert followed.end() == (0, "")


@pytest.mark.parametrize("key", [("--key", "payments.key"), ("--public", "payments.pub")])
def test_lines_that_were_compressed_before_they_were_seen_are_not_missing(site, follow, key):
    site.seal(some(1, 3))
    followed = follow(key=key)
    followed.come(some(1, 3))
    with held_up(followed):
        site.seal(some(4, 9), output="elsewhere")
        site.seal(some(10, 19), output="elsewhere")
        lines = site.read("elsewhere").splitlines(keepends=True)
        # What was rotated and compressed twice ends in the midst of an epoch.
        (site.path / "audit.log.3.gz").write_bytes(gzip.compress(b"".join(lines[:12])))
        (site.path / "audit.log.2.gz").write_bytes(gzip.compress(b"".join(lines[12:15])))
        with (site.path / "audit.log").open("ab") as file:
            file.write(b"".join(lines[15:]))
        site.seal(some(20, 21))
    followed.come(some(1, 21))
    assert "tallystick: " not in followed.end()[1]


def test_a_file_that_was_renamed_away_is_read_while_its_writer_goes_on(site, follow):
    site.seal(some(1, 3))
    followed = follow(paths="audit.log")
    followed.come(some(1, 3))
    site.seal(some(4, 6), output="later")
    time.sleep(6)  # it was quiet for long
    with (site.path / "audit.log").open("ab") as file:
        (site.path / "audit.log").rename(site.path / "moved")
        time.sleep(1)
        file.write(site.read("later"))
    followed.come(some(1, 6))
    site.seal(some(7, 9))
    followed.come(some(1, 9))
    assert followed.end() == (0, "")


def test_lines_wait_for_their_checkpoint_when_their_file_has_gone(site, follow):
    site.seal(some(1, 3))
    site.seal(some(4, 9), output="elsewhere")
    lines = site.read("elsewhere").splitlines(keepends=True)
    followed = follow(paths="audit.log", key=("--public", "payments.pub"))
    followed.come(some(1, 3))
    with (site.path / "audit.log").open("ab") as file:
        file.write(b"".join(lines[:4]))
    time.sleep(1)
    (site.path / "audit.log").rename(site.path / "moved")
    time.sleep(7)
    (site.path / "audit.log").write_bytes(b"".join(lines[4:]))
    followed.come(some(1, 9))
    assert "tallystick: " not in followed.end()[1]


def test_an_epoch_of_long_lines_comes_with_its_checkpoint(site, follow):
    followed = follow(paths="audit.lo*", key=("--public", "payments.pub"))
    time.sleep(2)
    wide = b"".join(b"n=%d %s\n" % (number, 4000 * b"x") for number in range(5000))
    assert site("seal", "payments", "-o", "audit.log", "--epoch-lines", "8000", stdin=wide).status == 0
    followed.come(wide)


def test_a_new_file_with_the_number_of_one_that_was_removed_is_read_from_the_beginning(site):
    site.seal(some(1, 50), output="audit.log.1")
    site.seal(some(51, 52))
    site.seal(some(53, 55), output="later")
    pattern, later = f"{site.path}/audit.log*", (site.path / "later").stat()
    with texts([pattern], key=site.path / "payments.key", pins_directory=site.path / "pins") as found:
        list(found.pieces())
        (site.path / "audit.log.1").unlink()  # while it was verified
        removed = next(one for one in found.verified.inputs if one.path.endswith(".1"))
        removed.file.identity = (later.st_dev, later.st_ino)  # as many file systems number the next file
        following = Following([pattern], found, None)
    with contextlib.closing(following):
        (site.path / "later").rename(site.path / "audit.log.2")
        assert b"".join(following.round()) == some(53, 55)

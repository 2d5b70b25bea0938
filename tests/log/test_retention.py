"""How long rotated files stay: no clock alone removes one, and a new file has the rights of the old one."""

import os
import resource
import stat
import struct
import time

import pytest

from tallystick.securefile import Place, keep_rights
from tallystick.sinks import FileSink
from tallystick.sinks.ages import Ages
from tallystick.sinks.retention import Retention, Rotated
from tallystick.sinks.rotation import Archive, Rotation

DAY = 86_400.0
FILES = [Rotated(f"{number:010}", (f"audit.log.{number:010}",)) for number in (1, 4, 9)]


class Machine:
    """How long a machine has run, as a test says."""

    def __init__(self, seconds=1000.0, start="first"):
        self.seconds, self.start = seconds, start


class Kept:
    """Rotated files that came at certain days by the clock, on a machine whose uptime a test moves."""

    def __init__(self, directory, keep=None, keep_for=90 * DAY):
        self.place, self.machine, self.reported = Place.of(directory / "audit.log"), Machine(), []
        self._keep, self._keep_for = keep, keep_for
        self.began = {}
        self.start()

    def start(self):
        """Begin as another process."""
        self.ages = Ages(self.place, self.machine)
        self.retention = Retention(self._keep, self._keep_for, self.ages, self.reported.append)

    def look(self, files=FILES):
        """Return the names that have to go."""
        return [file.name for file, _ in self.retention.chosen(files, lambda file: self.began.get(file.name))]


@pytest.fixture
def kept(tmp_path):
    made = Kept(tmp_path)
    made.began = {file.name: time.time() for file in FILES}
    assert made.look() == []
    return made


def aged(kept, days):
    """Let time pass, by the log and by the machine."""
    kept.machine.seconds += days * DAY
    kept.began = {name: at - days * DAY for name, at in kept.began.items()}


def test_a_file_goes_when_the_log_and_the_machine_agree_that_it_is_old(kept):
    aged(kept, 89)
    assert kept.look() == []
    aged(kept, 2)
    # Nothing in the log says when the last one ended.
    assert kept.look() == [FILES[0].name, FILES[1].name]
    assert kept.retention.chosen(FILES, lambda file: kept.began[file.name])[0][1] == "as older than 90d"


@pytest.mark.parametrize("days", [100, 20_000], ids=["100 days ahead", "from 1970 to now"])
def test_a_clock_that_jumps_forward_removes_nothing_and_that_is_reported_once(kept, days):
    kept.began = {name: at - days * DAY for name, at in kept.began.items()}
    kept.machine.seconds += 60
    assert (kept.look(), kept.look(), len(kept.reported)) == ([], [], 1)
    assert (
        f"audit.log.0000000001 and the files after it stay: by the clock and the log it is {days}d old, but "
        in (kept.reported[0])
    )
    assert "this machine has seen 1min pass since" in kept.reported[0]


def test_a_clock_that_jumps_back_removes_nothing_early_and_that_is_reported(kept):
    kept.machine.seconds += 91 * DAY
    kept.began = {name: time.time() + DAY for name in kept.began}
    assert kept.look() == []
    assert "from a time 1d ahead, but this machine has seen 91d pass" in kept.reported[0]


def test_a_small_difference_between_two_clocks_is_no_report(kept):
    aged(kept, 90)
    kept.machine.seconds -= 1
    assert (kept.look(), kept.reported) == ([], [])


def test_a_file_that_does_not_say_when_it_began_stays_and_that_is_reported(kept):
    aged(kept, 91)
    kept.began.clear()
    assert kept.look() == []
    assert "the log does not say how old it is" in kept.reported[0]


def test_what_stays_in_doubt_keeps_all_later_files(kept):
    aged(kept, 91)
    kept.began[FILES[1].name] = kept.began[FILES[2].name] = time.time()
    assert kept.look() == []


def test_time_is_added_up_over_writers_and_starts_of_the_machine(kept):
    aged(kept, 30)
    kept.retention.save()
    kept.start()  # the same start: what passed meanwhile counts
    aged(kept, 30)
    assert kept.look() == []
    kept.machine.seconds, kept.machine.start = 5000.0, "second"
    kept.start()
    aged(kept, 29)
    assert kept.look() == []
    aged(kept, 2)
    assert kept.look() == [FILES[0].name, FILES[1].name]


def test_how_long_another_machine_has_run_does_not_count(kept):
    kept.retention.save()
    kept.machine.seconds, kept.machine.start = 1000 * DAY, "another"
    kept.began = {name: at - 100 * DAY for name, at in kept.began.items()}
    kept.start()
    assert kept.look() == []


@pytest.mark.parametrize("left", [b"", b"garbage\n", b"tallystick-ages v1\nseen nan first 0\n", b"\xff\0"])
def test_what_is_remembered_and_cannot_be_read_makes_files_new(kept, tmp_path, left):
    (tmp_path / ".audit.log.ages").write_bytes(left)
    aged(kept, 91)
    kept.start()
    assert kept.look() == []


def test_the_reason_is_the_number_where_it_is_the_number(tmp_path):
    kept = Kept(tmp_path, keep=2)
    kept.began = {file.name: time.time() for file in FILES}
    assert [why for _, why in kept.retention.chosen(FILES, lambda _: None)] == ["as one too many of the rotated files"]


def test_a_directory_that_takes_no_file_of_ours_is_reported_and_nothing_goes_early(tmp_path):
    (tmp_path / "removed").mkdir()
    kept = Kept(tmp_path / "removed")
    (tmp_path / "removed").rmdir()
    kept.began = {file.name: time.time() - 100 * DAY for file in FILES}
    assert kept.look() == []
    assert "how long rotated files have been there cannot be remembered beside the log" in kept.reported[0]


def test_a_file_that_cannot_be_removed_is_reported(tmp_path):
    reported = []
    archive = Archive(Place.of(tmp_path / "audit.log"), Rotation(keep=1), reported.append)
    (tmp_path / "audit.log.0000000001").mkdir()
    (tmp_path / "audit.log.0000000002").touch()
    assert archive.prune() == []
    assert "audit.log.0000000001 could not be removed, as one too many of the rotated files: " in reported[0]


# The rights of the new file


def rotated(tmp_path, prepare):
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    prepare(path)
    before, reported = path.stat(), []
    place = Place.of(path)
    sink = FileSink(place.begin(), str(path), place, Rotation(size=1), reported.append)
    sink.output.put(b"line\n")
    sink.push()
    sink.rotate(1)
    sink.close()
    assert (tmp_path / "audit.log.0000000001").read_bytes() == b"line\n"
    return before, path.stat(), reported


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o604])
def test_a_new_file_has_the_mode_of_the_old_one_whatever_the_umask(tmp_path, mode):
    umask = os.umask(0o077)
    try:
        _, after, reported = rotated(tmp_path, lambda path: os.chmod(path, mode))
    finally:
        os.umask(umask)
    assert (stat.S_IMODE(after.st_mode), reported) == (mode, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_new_file_has_the_owner_and_the_group_of_the_old_one(tmp_path):
    def give(path):
        os.chown(path, 4242, 4343)
        os.chmod(path, 0o640)

    _, after, reported = rotated(tmp_path, give)
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode), reported) == (4242, 4343, 0o640, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_group_does_not_get_the_rights_of_the_one_that_cannot_be_kept(tmp_path):
    with open(tmp_path / "old", "w") as old, open(tmp_path / "new", "w") as new:
        os.fchown(old.fileno(), 0, 4343)
        os.fchmod(old.fileno(), 0o664)
        os.fchown(new.fileno(), 4242, 4242)
        pid = os.fork()
        if not pid:
            os.setgroups([])
            os.setresgid(4242, 4242, 4242)
            os.setresuid(4242, 4242, 4242)
            os._exit({"owner and group": 7}.get(keep_rights(new.fileno(), old.fileno()) or "", 1))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert stat.S_IMODE(os.fstat(new.fileno()).st_mode) == 0o604


def test_a_new_file_has_the_access_list_of_the_old_one(tmp_path):
    def entry(tag, rights, identity=0xFFFFFFFF):
        return struct.pack("<HHI", tag, rights, identity)

    # The owner 6, the user 4242 4, the group nothing, mask 4, others nothing: the mode says 0640 all the same.
    listed = struct.pack("<I", 2) + entry(1, 6) + entry(2, 4, 4242) + entry(4, 0) + entry(16, 4) + entry(32, 0)

    def allow(path):
        try:
            os.setxattr(path, "system.posix_acl_access", listed)
        except OSError:
            pytest.skip("this file system has no access lists")

    _, _, reported = rotated(tmp_path, allow)
    assert os.getxattr(tmp_path / "audit.log", "system.posix_acl_access") == listed
    assert reported == []


def test_a_directory_that_cannot_be_listed_for_a_moment_makes_no_file_young_again(tmp_path):
    place, said = Place.of(tmp_path / "audit.log"), []
    for number in (1, 4):
        (tmp_path / f"audit.log.{number:010}").write_bytes(b"")
    archive = Archive(place, Rotation(size=1, keep_for=DAY), said.append)
    assert archive.prune() == []
    noted = (tmp_path / ".audit.log.ages").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        assert (archive.prune(), archive.prune()) == ([], [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert said == [f"rotated files in {tmp_path} cannot be listed: too many open files; they all stay"]
    assert archive.prune() == []
    again = (tmp_path / ".audit.log.ages").read_bytes()
    assert again.splitlines()[2:] == noted.splitlines()[2:]
    place.close()
